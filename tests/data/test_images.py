"""The reader: every format gives the pixels that a viewer shows, every mistake is one line."""

import os
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
from unprivileged import permissions_hold

from jaxseg.data.images import (
    check_limit,
    check_same_size,
    oriented,
    read_file,
    read_image,
)
from jaxseg.errors import JaxsegError, UsageError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
MASK = np.zeros((6, 9), np.uint8)
MASK[2:4, 3:8] = 1


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(pixels)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".npz":
        np.savez_compressed(path, mask=pixels)
    else:
        assert cv2.imwrite(str(path), pixels)
    return path


def with_pillow(path, pixels, **options):
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def test_an_image_has_its_red_first_whatever_the_format(tmp_path):
    names = ("png", "bmp", "tif", "ppm")
    files = [with_pillow(tmp_path / f"a.{name}", RGB) for name in names]
    files.append(with_pillow(tmp_path / "a.webp", RGB, lossless=True))
    files += [save(tmp_path / "a.npy", RGB), save(tmp_path / "b.npy", RGB / 255)]
    files.append(save(tmp_path / "c.npy", RGB.astype(np.uint16) * 257))
    files.append(save(tmp_path / "d.npz", RGB))
    for path in files:
        np.testing.assert_array_equal(read_image(path), RGB, str(path))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_grey_is_repeated_alpha_is_dropped_and_16_bits_are_rounded(mode, dtype, suffix, tmp_path):
    if (mode, dtype) == ("LA", np.uint16):
        pytest.skip("OpenCV writes no grey with alpha")
    grey = RNG.integers(0, 256, (5, 7)).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, -1) if "L" in mode else RGB
    if dtype == np.uint8:
        image = PIL.Image.fromarray(colour).convert(mode)
        if "A" in mode:
            image.putalpha(PIL.Image.fromarray(RNG.integers(0, 256, (5, 7), np.uint8)))
        image.save(tmp_path / f"a{suffix}")
    else:
        wide = colour.astype(np.uint16) * 257 + (colour < 255)  # rounds to the same grey
        wide = wide[..., 0] if mode == "L" else wide[..., ::-1]
        alpha = np.full((5, 7, 1), 999, np.uint16)
        save(tmp_path / f"a{suffix}", np.dstack([wide, alpha]) if "A" in mode else wide)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), colour)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif", ".bmp"])
def test_palettes_show_their_colours(suffix, tmp_path):
    indices = RNG.integers(0, 4, (5, 7)).astype(np.uint8)
    palette = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [7, 8, 9]], np.uint8)
    image = PIL.Image.fromarray(indices, mode="P")
    image.putpalette(palette.ravel().tolist())
    image.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), palette[indices])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_orientation_tags_are_applied_as_viewers_do(tag, suffix, tmp_path):
    exif = PIL.Image.Exif()
    exif[274] = tag
    smooth = cv2.resize(RNG.integers(0, 256, (3, 4, 3)).astype(np.uint8), (24, 16))
    options = {".jpg": {"quality": 95}, ".webp": {"lossless": True}}.get(suffix, {})
    path = with_pillow(tmp_path / f"a{suffix}", smooth, exif=exif, **options)
    plain = read_image(with_pillow(tmp_path / f"b{suffix}", smooth, **options))
    turns = {2: PIL.Image.Transpose.FLIP_LEFT_RIGHT, 3: PIL.Image.Transpose.ROTATE_180,
             4: PIL.Image.Transpose.FLIP_TOP_BOTTOM, 5: PIL.Image.Transpose.TRANSPOSE,
             6: PIL.Image.Transpose.ROTATE_270, 7: PIL.Image.Transpose.TRANSVERSE,
             8: PIL.Image.Transpose.ROTATE_90}  # fmt: skip
    shown = PIL.Image.fromarray(plain)
    shown = np.asarray(shown.transpose(turns[tag]) if tag in turns else shown)
    np.testing.assert_array_equal(read_image(path), shown)
    np.testing.assert_array_equal(oriented(plain, tag), shown)


def test_jpeg_is_decoded_exactly(tmp_path):
    path = tmp_path / "a.jpg"
    PIL.Image.fromarray(RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(path, quality=60)
    exact = np.asarray(PIL.Image.open(path).convert("RGB"))  # libjpeg's accurate transform
    np.testing.assert_array_equal(read_image(path), exact)


def tiff(photometric, bits, data, shape):
    """A TIFF file of one strip, by hand: Pillow and OpenCV write no MinIsWhite."""
    rows, columns = shape
    tags = {256: columns, 257: rows, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1,
            278: rows, 279: len(data)}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<I", 8 + len(data))
    return b"II*\0" + start + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("bits", [8, 16])
def test_min_is_white_is_turned(bits, tmp_path):
    values = RNG.integers(2 ** (bits - 1), 2**bits, (3, 4)).astype(f"<u{bits // 8}")
    values[0, 0] = 0
    (tmp_path / "white.tif").write_bytes(tiff(0, bits, values.tobytes(), (3, 4)))
    (tmp_path / "black.tif").write_bytes(tiff(1, bits, values.tobytes(), (3, 4)))
    white, black = (read_file(tmp_path / f"{name}.tif").pixels for name in ("white", "black"))
    np.testing.assert_array_equal(black, values)
    np.testing.assert_array_equal(white, 2**bits - 1 - values.astype(int))


def test_of_several_pictures_in_one_jpeg_the_first_is_taken(tmp_path):
    second = PIL.Image.fromarray(255 - RGB)
    PIL.Image.fromarray(RGB).save(
        tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second]
    )
    alone = with_pillow(tmp_path / "b.jpg", RGB)
    with PIL.Image.open(tmp_path / "a.jpg") as picture:
        assert picture.format == "MPO"
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), read_image(alone))


@pytest.mark.parametrize("form", ["TIFF", "WEBP", "PNG", "BMP"])
def test_content_decides_not_the_suffix(form, tmp_path):
    options = {"lossless": True} if form == "WEBP" else {}
    PIL.Image.fromarray(RGB).save(tmp_path / "a.jpg", format=form, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), RGB)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"<!doctype html><html>", "a web page"),
        (b"%PDF-1.7", "a PDF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"hello", "truncated or damaged"),
    ],
)
def test_what_is_not_a_picture_is_called_what_it_is(content, words, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(JaxsegError, match=rf"a\.png: .*{words}"):
        read_file(tmp_path / "a.png")


def test_floating_point_images_are_read_where_their_scale_is_known(tmp_path):
    shares = RGB[..., 0].astype(np.float32) / 255
    expected = np.repeat(RGB[..., :1], 3, -1)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", shares)), expected)
    with pytest.raises(JaxsegError, match=r"b\.tif: float32 values .* floats in \[0, 1\]"):
        read_image(save(tmp_path / "b.tif", shares * 300))


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_few_bits_in_16_are_refused_not_shown_as_black(bits, suffix, tmp_path):
    dark = np.full((4, 4), 2**bits - 1, np.uint16)
    with pytest.raises(JaxsegError, match=rf"values up to {2**bits - 1}, nearly black as 8 bits"):
        read_image(save(tmp_path / f"a{suffix}", dark))
    black = read_image(save(tmp_path / f"b{suffix}", np.zeros((4, 4), np.uint16)))
    assert not black.any()


def huge_png(path, side=60_000):
    """A png of few bytes whose header declares a frame of side × side pixels."""
    content = bytearray(save(path, MASK).read_bytes())
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


def huge_npy(path):
    np.save(path, MASK)
    path.write_bytes(path.read_bytes().replace(b"(6, 9), }    ", b"(99999, 9999)}"))


def cut(path, pixels, size):
    save(path, pixels)
    path.write_bytes(path.read_bytes()[:size])


def pages(path):
    assert cv2.imwritemulti(str(path), [MASK, MASK])


def objects(path):
    np.save(path, np.array([[{}, 1]], object), allow_pickle=True)


BAD = {
    "cut.png": (lambda p: cut(p, np.eye(99, dtype=np.uint8), 70), "truncated or damaged"),
    "cut.jpg": (lambda p: cut(p, RGB.repeat(20, 0), 500), "truncated or damaged"),
    "text.tif": (lambda p: p.write_text("hello"), "truncated or damaged"),
    "huge.png": (huge_png, "declares over 178000000 pixels; must be from 1 to"),
    "large.png": (lambda p: huge_png(p, 11_000), "11000×11000 pixels; must be from"),
    "huge.npy": (huge_npy, "99999×9999 pixels; must be from 1 to"),
    "pages.tif": (pages, "holds 2 pages; save one image a file"),
    "pickle.npy": (objects, "dtype object; must hold numbers (pickles are never read)"),
    "cut.npy": (lambda p: cut(p, MASK, 140), "shorter than its header says"),
    "head.npy": (lambda p: cut(p, MASK, 40), "not a valid npy array"),
    "text.npy": (lambda p: p.write_text("hello"), "not a valid npy array"),
    "strings.npy": (lambda p: save(p, [["a"]]), "must hold numbers"),
    "volume.npy": (lambda p: save(p, np.zeros((4, 5, 6))), "shape (4, 5, 6); must be [height"),
    "line.npy": (lambda p: save(p, [1, 0]), "shape (2,); must be [height, width]"),
    "empty.npy": (lambda p: save(p, np.zeros((0, 5))), "0×5 pixels; must be from 1"),
    "two.npz": (lambda p: np.savez(p, a=MASK, b=MASK), "holds a, b; must hold one array or one"),
    "text.npz": (lambda p: p.write_text("hello"), "not a readable npz file"),
    "cut.npz": (lambda p: cut(p, MASK, 90), "not a readable npz file"),
    "gone.png": (lambda p: p.symlink_to(p.with_name("nothing")), "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_that_names_it(name, tmp_path, capfd):
    spoil, message = BAD[name]
    spoil(tmp_path / name)
    with pytest.raises(JaxsegError) as caught:
        read_file(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and message in str(caught.value)
    assert "\n" not in str(caught.value)
    capfd.readouterr()


@pytest.mark.parametrize("suffix", [".png", ".npy", ".npz"])
def test_a_file_that_may_not_be_read_says_so(suffix, tmp_path):
    path = save(tmp_path / f"a{suffix}", MASK)
    path.chmod(0)
    with (
        permissions_hold(),
        pytest.raises(JaxsegError, match=r"a\.\w+: permission denied; make it readable"),
    ):
        read_file(path)


def test_the_pixel_limit_is_the_callers(tmp_path):
    path = save(tmp_path / "a.png", MASK)
    assert read_file(path, 54).pixels.shape == (6, 9)
    with pytest.raises(JaxsegError, match="declares 6×9 pixels; must be from 1 to 53"):
        read_file(path, 53)
    with pytest.raises(UsageError, match="limit_px 0"):
        check_limit(0)


def test_no_pickle_is_ever_loaded(tmp_path):
    class Planted:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    np.save(tmp_path / "a.npy", np.array([[Planted()]], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", mask=np.array([[Planted()]], object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(JaxsegError, match="pickles are never read"):
            read_file(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_files_that_belong_together_have_one_size(tmp_path):
    paths = [save(tmp_path / "a.png", MASK), save(tmp_path / "b.png", MASK.T)]
    a, b = (read_file(path).pixels for path in paths)
    check_same_size(paths[0], a, paths[0], a)
    with pytest.raises(JaxsegError, match=r"b\.png: 9×6 pixels but .*a\.png has 6×9"):
        check_same_size(paths[0], a, paths[1], b)
