"""Mask files: what counts as classes and what is refused."""

import cv2
import numpy as np
import pytest

from jaxseg.data.masks import class_mask, class_names
from jaxseg.errors import JaxsegError


def write(tmp_path, values, dtype=np.uint8, name="m.png"):
    cv2.imwrite(str(tmp_path / name), np.array(values, dtype))
    return tmp_path / name


@pytest.mark.parametrize(
    ("values", "classes", "binary"),
    [
        ([[0, 255], [255, 0]], [[0, 1], [1, 0]], True),
        ([[255, 255]], [[1, 1]], True),
        ([[0, 1]], [[0, 1]], False),
        ([[0, 2, 254]], [[0, 2, 254]], False),
        ([[0, 0]], [[0, 0]], False),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_values_become_class_indices(tmp_path, values, classes, binary, channels):
    path = write(tmp_path, np.repeat(np.array(values)[..., None], channels, -1))
    mask, is_binary = class_mask(path)
    assert mask.tolist() == classes and mask.dtype == np.uint8 and is_binary == binary


@pytest.mark.parametrize("name", ["m.bmp", "m.tif", "m.tiff"])
def test_other_lossless_formats(tmp_path, name):
    assert class_mask(write(tmp_path, [[0, 255]], name=name))[0].tolist() == [[0, 1]]


def test_wrong_values_name_file_values_and_rule(tmp_path):
    with pytest.raises(JaxsegError, match=r"m\.png: values \{0, 37, 255\} .*a mask holds \{0, 255"):
        class_mask(write(tmp_path, [[0, 37, 255]]))
    with pytest.raises(JaxsegError, match=r"values 0\.\.700"):
        class_mask(write(tmp_path, [[0, 700]], np.uint16))
    with pytest.raises(JaxsegError, match="a colour or palette mask"):
        class_mask(write(tmp_path, [[[0, 0, 255], [0, 0, 0]]]))


def test_damaged_files_are_named(tmp_path, capfd):
    path = write(tmp_path, np.random.default_rng(0).integers(0, 2, (64, 64)))
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(JaxsegError, match=r"m\.png: cannot be read as an image"):
        class_mask(path)
    capfd.readouterr()


def test_class_names():
    assert class_names(1) == ("foreground",)
    assert class_names(2) == ("class 1", "class 2")
