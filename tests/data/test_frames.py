"""Images as users have them reach the prepared arrays as the one reader gives them."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxseg.data.builders import Folders
from jaxseg.data.images import read_image
from jaxseg.data.prepare import prepare_views
from jaxseg.data.sources import Pair, SourceFiles
from jaxseg.errors import JaxsegError
from jaxseg.progress import silent

GREY = np.add.outer(np.arange(24, dtype=np.uint8), 3 * np.arange(40, dtype=np.uint8)) + 90
COLOUR = np.dstack([GREY, GREY[::-1], 255 - GREY])
MASK = (GREY > 150).astype(np.uint8)


def decoded(path, mask=MASK):
    """What the builders make of an image file."""
    files = SourceFiles({}, "", SimpleNamespace(read=lambda paths: mask), {}, ())
    return Folders._read(files, Pair(path.stem, path, (path,))).image


def write(path, pixels):
    bgr = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]]
    assert cv2.imwrite(str(path), bgr)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp", ".npy"])
def test_frames_are_those_of_the_one_reader(tmp_path, suffix):
    path = tmp_path / f"frame{suffix}"
    np.save(path, COLOUR) if suffix == ".npy" else write(path, COLOUR)
    np.testing.assert_array_equal(decoded(path), read_image(path))
    assert suffix == ".jpg" or (decoded(path) == COLOUR).all()


@pytest.mark.parametrize("mode", ["P", "LA", "1"])
def test_palette_grey_with_alpha_and_single_bits(tmp_path, mode):
    picture = Image.fromarray(GREY).convert(mode)
    picture.save(tmp_path / "frame.png")
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(decoded(tmp_path / "frame.png"), expected)


def test_a_tagged_photograph_meets_its_mask_as_viewers_show_it(tmp_path):
    tag = Image.Exif()
    tag[274] = 6
    Image.fromarray(COLOUR).save(tmp_path / "frame.jpg", exif=tag, quality=95)
    assert decoded(tmp_path / "frame.jpg", MASK.T).shape == (40, 24, 3)


def test_a_jpeg_that_is_cut_short_is_named_while_it_is_decoded(make_folder, tmp_path, capfd):
    root = make_folder(n=3, suffix=".jpg")
    path = root / "images" / "im1.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    options = {"manual_dir": root, "data_dir": tmp_path / "a", "progress": silent}
    with pytest.raises(JaxsegError, match=r"im1\.jpg: cannot be read as an image"):
        prepare_views("folders", "train", size=24, views=["full"], **options)
    capfd.readouterr()


def test_masks_that_resizing_empties_are_counted_with_the_size_that_keeps_them(tmp_path):
    """Objects of 6 of 512 pixels: one pixel in 85, so that sides below 85 can miss them."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for k in range(8):
        mask = np.zeros((512, 512), np.uint8)
        side, (y, x) = (6 if k % 2 else 60), rng.integers(80, 400, 2)
        mask[y : y + side, x : x + side] = 255
        for part in ("images", "masks"):
            cv2.imwrite(str(tmp_path / "data" / part / f"a{k}.png"), mask)

    def prepare(size, views=("full",)):
        return prepare_views(
            "folders", "train", size=size, views=list(views), manual_dir=tmp_path / "data",
            data_dir=tmp_path / "cache", progress=silent,
        )  # fmt: skip

    small = prepare(32)["full"]
    empty = [not mask.any() for mask in small.masks]
    assert len(small.lost) == sum(empty) > 0
    enough = max(small.lost)
    assert enough <= 96 and not prepare(enough)["full"].lost
    assert prepare(enough)["full"].masks.any((1, 2, 3)).all()
    # Of four quarters three are empty as they were drawn: nothing is lost there.
    quarters = prepare(64, ["quarter"])["quarter"]
    assert len(quarters.lost) == sum(not mask.any() for mask in quarters.masks)
    assert len(prepare(48, ["frame2x"])["frame2x"].lost) == len(prepare(96)["full"].lost)


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
