"""Images as users have them: grey, RGB, RGBA, palette and 16 bits, all to uint8 [H, W, 3]."""

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxseg.data.decoding import decode
from jaxseg.data.paired import image_bytes
from jaxseg.data.prepare import prepare_views
from jaxseg.data.progress import silent
from jaxseg.errors import JaxsegError

GREY = np.add.outer(np.arange(24, dtype=np.uint8), 3 * np.arange(40, dtype=np.uint8)) + 90
COLOUR = np.dstack([GREY, GREY[::-1], 255 - GREY])
ALPHA = np.full_like(GREY, 7)
MASK = cv2.imencode(".png", (GREY > 150).astype(np.uint8))[1].tobytes()


def decoded(path):
    """What the data path makes of a file."""
    image, mask = decode(image_bytes(path), MASK)
    assert mask.shape == GREY.shape
    return image.numpy()


def write(path, pixels):
    bgr = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]]
    assert cv2.imwrite(str(path), bgr)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["grey", "rgb", "rgba"])
def test_channels_and_depths_of_frames(tmp_path, kind, bits, suffix):
    pixels = {"grey": GREY, "rgb": COLOUR, "rgba": np.dstack([COLOUR, ALPHA])}[kind]
    wanted = np.dstack([GREY] * 3) if kind == "grey" else COLOUR
    if bits == 16:
        low = np.arange(pixels.size, dtype=np.uint16).reshape(pixels.shape) % 256
        pixels = pixels.astype(np.uint16) * 256 + low
    image = decoded(write(tmp_path / f"frame{suffix}", pixels))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, wanted)


@pytest.mark.parametrize("mode", ["P", "LA", "1"])
def test_palette_grey_with_alpha_and_single_bits(tmp_path, mode):
    picture = Image.fromarray(GREY).convert(mode)
    picture.save(tmp_path / "frame.png")
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(decoded(tmp_path / "frame.png"), expected)


def test_grey_jpeg(tmp_path):
    image = decoded(write(tmp_path / "frame.jpg", GREY))
    assert (image == image[..., :1]).all() and np.abs(image[..., 0].astype(int) - GREY).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_few_bits_in_a_16_bit_file_are_refused(tmp_path, suffix, bits):
    dim = GREY.astype(np.uint16) << (bits - 8)
    with pytest.raises(
        JaxsegError, match=rf"dim\{suffix}: 16-bit image with values up to"
    ) as error:
        image_bytes(write(tmp_path / f"dim{suffix}", dim))
    assert str(dim.max()) in str(error.value) and "\n" not in str(error.value)


def test_a_black_16_bit_frame_is_black(tmp_path):
    assert not decoded(write(tmp_path / "black.png", np.zeros((24, 40), np.uint16))).any()


def test_floating_point_images_are_refused(tmp_path):
    path = write(tmp_path / "float.tif", GREY.astype(np.float32))
    with pytest.raises(JaxsegError, match=r"float\.tif: float32 values; an image has 8 or 16 bits"):
        image_bytes(path)


def test_a_folder_may_mix_them(make_folder, tmp_path):
    root = make_folder(n=4)
    first, second, third = (root / "images" / f"im{n}.png" for n in range(3))
    write(first, cv2.imread(str(first), cv2.IMREAD_GRAYSCALE))
    colour = cv2.imread(str(second))[..., ::-1]
    write(second, np.dstack([colour, colour[..., 0]]))
    write(third, cv2.imread(str(third))[..., ::-1].astype(np.uint16) * 257)
    options = {"manual_dir": root, "progress": silent}
    store = prepare_views(
        "folders", "train", size=24, views=["full"], data_dir=tmp_path / "a", **options
    )["full"]
    whole = prepare_views(
        "folders", "train", size=24, views=["full"], data_dir=tmp_path / "b",
        **{**options, "manual_dir": make_folder(name="plain", n=4)},
    )["full"]  # fmt: skip
    by_name = dict(zip(whole.ids, whole.images))
    for name, image in zip(store.ids, store.images):
        if name != "im0":
            np.testing.assert_array_equal(image, by_name[name])
        else:
            assert (image == image[..., :1]).all()


def test_a_16_bit_frame_of_few_bits_is_named_while_it_is_read(make_folder, tmp_path):
    root = make_folder(n=3)
    path = root / "images" / "im1.png"
    write(path, cv2.imread(str(path))[..., ::-1].astype(np.uint16) * 16)
    options = {"manual_dir": root, "data_dir": tmp_path / "a", "progress": silent}
    with pytest.raises(JaxsegError, match=r"im1\.png: 16-bit image"):
        prepare_views("folders", "train", size=24, views=["full"], **options)
