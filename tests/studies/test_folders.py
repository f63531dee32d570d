"""Folders as audits take them: outlines are filled on request, what cannot be read is left out."""

import cv2
import numpy as np
import pytest
import scipy.ndimage

from jaxseg.data.images import read_image
from jaxseg.errors import JaxsegError
from jaxseg.studies.dataset.measures import fill_outlines, is_line, measure_folder
from jaxseg.studies.folders import read_predictions, readable


def ellipse(thickness, end=360):
    canvas = np.zeros((120, 160), np.uint8)
    return cv2.ellipse(canvas, (80, 60), (60, 30), 20, 0, end, 255, thickness)


@pytest.mark.parametrize("thickness", [1, 3])
def test_closed_outlines_are_filled_and_filled_masks_stay(thickness, tmp_path):
    drawn = ellipse(thickness)
    expected = scipy.ndimage.binary_fill_holes(drawn)
    filled = fill_outlines((drawn > 0).astype(np.uint8))
    np.testing.assert_array_equal(filled, expected)
    np.testing.assert_array_equal(fill_outlines(filled), filled)
    assert not is_line(filled) and not is_line(np.zeros((9, 9), np.uint8))
    cv2.imwrite(str(tmp_path / "a.png"), drawn)
    for fill, mask in ((True, expected), (False, drawn > 0)):
        assert measure_folder("d", tmp_path, fill=fill).area == pytest.approx(mask.mean())


def test_an_open_outline_is_not_filled(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), ellipse(2))
    cv2.imwrite(str(tmp_path / "b.png"), ellipse(2, end=200))
    found = measure_folder("d", tmp_path, fill=True)
    assert found.ids == ["a.png"]
    assert "b.png: an open outline encloses nothing; close it" in found.left_out[0]
    (tmp_path / "a.png").unlink()
    with pytest.raises(JaxsegError, match="an open outline encloses nothing"):
        measure_folder("d", tmp_path, fill=True)


def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on(tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((6, 9), np.uint8))
    paths[1].write_bytes(b"")
    left_out = []
    found = list(readable([(path.stem, path) for path in paths], read_image, left_out))
    assert [name for name, _ in found] == ["0", "2"]
    assert len(left_out) == 1 and left_out[0].startswith(str(paths[1]))


def test_images_are_shown_where_truths_and_predictions_share_a_suffix_of_their_own(tmp_path):
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    for folder in ("truth", "pred", "images"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        for folder in ("truth", "pred"):
            cv2.imwrite(str(tmp_path / folder / f"{name}_segmentation.png"), mask)
    picture = np.full((16, 16, 3), 77, np.uint8)
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture)
    found = read_predictions(tmp_path / "truth", [("m", tmp_path / "pred")], tmp_path / "images")
    first, second = [name for name, *_ in found.items]
    np.testing.assert_array_equal(found.show(first)[2], picture)
    assert found.show(second)[2] is None
    assert any("not shown: no image of b_segmentation.png" in line for line in found.left_out)
