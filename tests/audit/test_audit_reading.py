"""Files as users have them: every format reads the same, every mistake is one line."""

import os
import zlib

import cv2
import numpy as np
import pytest
import scipy.ndimage

from jaxseg.audit import reading
from jaxseg.audit.outlines import fill_outlines, is_line
from jaxseg.errors import JaxsegError, UsageError

MASK = np.zeros((6, 9), np.uint8)
MASK[2:4, 3:8] = 1


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(pixels)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".npz":
        np.savez_compressed(path, mask=pixels)
    else:
        assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "npy", "npz"])
@pytest.mark.parametrize("scale", [1, 255, 3])
def test_a_mask_is_the_same_in_every_format(suffix, scale, tmp_path):
    path = _save(tmp_path / f"a.{suffix}", MASK * np.uint8(scale))
    found = reading.read_mask(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, MASK if scale == 255 else MASK * scale)


@pytest.mark.parametrize(
    "pixels",
    [MASK.astype(bool), MASK.astype(np.int64), MASK.astype(np.float32), MASK[None], MASK[..., None],
     np.repeat(MASK[..., None], 3, -1)],
)  # fmt: skip
def test_arrays_of_any_number_type_and_with_an_axis_of_one(pixels, tmp_path):
    np.testing.assert_array_equal(reading.read_mask(_save(tmp_path / "a.npy", pixels)), MASK)


def test_an_image_has_its_red_first_whatever_the_format(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pictures = [_save(tmp_path / f"a.{s}", image[..., ::-1]) for s in ("png", "bmp", "tif")]
    arrays = [_save(tmp_path / "a.npy", image), _save(tmp_path / "b.npy", image / 255)]
    arrays.append(_save(tmp_path / "c.npy", image.astype(np.uint16) * 257))
    for path in pictures + arrays:
        np.testing.assert_array_equal(reading.read_image(path), image, str(path))
    grey = reading.read_image(_save(tmp_path / "d.png", image[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(image[..., :1], 3, -1))


def _huge_png(path, side=60_000):
    """A png of few bytes whose header declares a frame of side × side pixels."""
    content = bytearray(_save(path, MASK).read_bytes())
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


def _huge_npy(path):
    np.save(path, MASK)
    path.write_bytes(path.read_bytes().replace(b"(6, 9), }    ", b"(99999, 9999)}"))


def _cut(path, pixels, size):
    _save(path, pixels)
    path.write_bytes(path.read_bytes()[:size])


def _pages(path):
    assert cv2.imwritemulti(str(path), [MASK, MASK])


def _objects(path):
    np.save(path, np.array([[{}, 1]], object), allow_pickle=True)


BAD = {
    "colour.png": (lambda p: _save(p, np.dstack([MASK, MASK * 9, MASK])), "a colour or palette"),
    "mixture.png": (lambda p: _save(p, [[0, 1, 255]]), "values {0, 1, 255} up to 255; a mask"),
    "lossy.jpg": (
        lambda p: _save(p, cv2.GaussianBlur(MASK * 255, (3, 3), 1)),
        "JPEG spoils class indices",
    ),
    "high.npy": (lambda p: _save(p, [[0, 256]]), "values 0..256; a mask holds"),
    "half.npy": (lambda p: _save(p, [[0, 0.5]]), "values 0.0..0.5; a mask holds"),
    "nan.npy": (lambda p: _save(p, [[0, np.nan]]), "a mask holds"),
    "cut.png": (lambda p: _cut(p, np.eye(99, dtype=np.uint8), 70), "truncated or damaged"),
    "none.png": (lambda p: p.write_bytes(b""), "truncated or damaged"),
    "text.tif": (lambda p: p.write_text("hello"), "truncated or damaged"),
    "huge.png": (_huge_png, "declares over 178000000 pixels; must be from 1 to"),
    "large.png": (
        lambda p: _huge_png(p, 11_000),
        "11000×11000 pixels; must be from",
    ),
    "huge.npy": (_huge_npy, "99999×9999 pixels; must be from 1 to"),
    "pages.tif": (_pages, "holds 2 pages; save one image a file"),
    "pickle.npy": (_objects, "dtype object; must hold numbers (pickles are never read)"),
    "cut.npy": (lambda p: _cut(p, MASK, 140), "shorter than its header says"),
    "head.npy": (lambda p: _cut(p, MASK, 40), "not a valid npy array"),
    "text.npy": (lambda p: p.write_text("hello"), "not a valid npy array"),
    "strings.npy": (lambda p: _save(p, [["a"]]), "must hold numbers"),
    "volume.npy": (lambda p: _save(p, np.zeros((4, 5, 6))), "shape (4, 5, 6); must be [height"),
    "line.npy": (lambda p: _save(p, [1, 0]), "shape (2,); must be [height, width]"),
    "empty.npy": (lambda p: _save(p, np.zeros((0, 5))), "0×5 pixels; must be from 1"),
    "two.npz": (lambda p: np.savez(p, a=MASK, b=MASK), "holds a, b; must hold one array or one"),
    "text.npz": (lambda p: p.write_text("hello"), "not a readable npz file"),
    "cut.npz": (lambda p: _cut(p, MASK, 90), "not a readable npz file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_that_names_it(name, tmp_path, capfd):
    spoil, message = BAD[name]
    spoil(tmp_path / name)
    with pytest.raises(JaxsegError) as caught:
        reading.read_mask(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and message in str(caught.value)
    assert "\n" not in str(caught.value)
    capfd.readouterr()


def test_the_pixel_limit_is_the_callers(tmp_path):
    path = _save(tmp_path / "a.png", MASK)
    assert reading.read_mask(path, 54).shape == (6, 9)
    with pytest.raises(JaxsegError, match="declares 6×9 pixels; must be from 1 to 53"):
        reading.read_mask(path, 53)
    with pytest.raises(UsageError, match="limit_px 0"):
        reading.check_limit(0)


def test_no_pickle_is_ever_loaded(tmp_path):
    class Planted:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    np.save(tmp_path / "a.npy", np.array([[Planted()]], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", mask=np.array([[Planted()]], object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(JaxsegError, match="pickles are never read"):
            reading.read_mask(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_files_are_sorted_and_hidden_ones_passed_over(tmp_path):
    hidden = (".hidden.png", ".git/d.png", "e_superpixels.png")
    for name in ("b.png", "a.npy", "deep/er/c.png", *hidden):
        _save(tmp_path / name, MASK)
    (tmp_path / "notes.txt").write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in reading.find_files(tmp_path)]
    assert found == ["a.npy", "b.png", "deep/er/c.png"]
    assert [p.name for p in reading.find_files(tmp_path, (".npy",))] == ["a.npy"]
    assert [p.name for p in reading.find_files(tmp_path, pattern="b*")] == ["b.png"]


def test_links_that_loop_or_leave_the_root_are_refused_and_the_rest_goes_on(tmp_path):
    root = tmp_path / "root"
    _save(root / "good.png", MASK)
    _save(tmp_path / "outside.png", MASK)
    (root / "inside.png").symlink_to(root / "good.png")
    (root / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "itself.png").symlink_to(root / "itself.png")
    (root / "nowhere.png").symlink_to(root / "none.png")
    (root / "folder").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    with open(os.fsencode(root / "name-") + b"\xff.png", "wb"):
        pass
    found = reading.scan(root)
    assert [path.name for path in found.files] == ["good.png", "inside.png"]
    told = "\n".join(sorted(found.left_out))
    for name, rule in (("folder", "link to a folder"), ("itself.png", "link that loops or"),
                       ("nowhere.png", "link that loops or leads"), ("out.png", "link that leaves"),
                       ("pipe.png", "not a regular file"),
                       ("'name-\\udcff.png'", "name is not valid UTF-8")):  # fmt: skip
        assert f"{root / name}: {rule}" in told
    assert len(found.left_out) == 6
    with pytest.raises(JaxsegError, match="link"):
        reading.find_files(root)


def test_a_root_may_itself_be_a_link(tmp_path):
    _save(tmp_path / "real/a.png", MASK)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real/b.png").symlink_to(tmp_path / "real/a.png")
    assert len(reading.find_files(tmp_path / "link")) == 2


@pytest.mark.parametrize("made, error", [(False, UsageError), (True, JaxsegError)])
def test_a_folder_that_is_missing_or_empty(made, error, tmp_path):
    if made:
        (tmp_path / "masks").mkdir()
    with pytest.raises(error, match=r"masks: (no such folder|holds no files to read)"):
        reading.scan(tmp_path / "masks")


def test_stems_are_matched_and_the_rest_is_listed(tmp_path):
    for name in ("t/x_mask.png", "t/case/y_GT.png", "t/alone.png", "p/x.npy", "p/case/y.png",
                 "p/extra.png", "p/x.png"):  # fmt: skip
        _save(tmp_path / name, MASK)
    pairs, left_out = reading.match_files(tmp_path / "t", tmp_path / "p")
    assert [name for name, _ in pairs] == ["case/y", "x"]
    assert dict(pairs)["case/y"] == (tmp_path / "t/case/y_GT.png", tmp_path / "p/case/y.png")
    told = "\n".join(left_out)
    assert f"alone.png: no file of this stem in {tmp_path / 'p'}" in told
    assert f"extra.png: no file of this stem in {tmp_path / 't'}" in told
    assert "x.png: same stem as x.npy" in told and len(left_out) == 3


def test_no_stem_in_common_says_what_there_is(tmp_path):
    _save(tmp_path / "t/a.png", MASK)
    _save(tmp_path / "p/b.png", MASK)
    with pytest.raises(JaxsegError, match=r"no stem in common \(a against b\)"):
        reading.match_files(tmp_path / "t", tmp_path / "p")


def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on(tmp_path):
    paths = [_save(tmp_path / f"{k}.png", MASK) for k in range(3)]
    paths[1].write_bytes(b"")
    left_out = []
    found = list(reading.readable([(p.stem, p) for p in paths], reading.read_mask, left_out))
    assert [name for name, _ in found] == ["0", "2"]
    assert len(left_out) == 1 and left_out[0].startswith(str(paths[1]))


def test_files_that_belong_together_have_one_size(tmp_path):
    paths = [_save(tmp_path / "a.png", MASK), _save(tmp_path / "b.png", MASK.T)]
    with pytest.raises(JaxsegError, match=r"b\.png: 9×6 pixels but .*a\.png has 6×9"):
        reading.read_same_size(paths)


def _ellipse(thickness, end=360):
    canvas = np.zeros((120, 160), np.uint8)
    return cv2.ellipse(canvas, (80, 60), (60, 30), 20, 0, end, 255, thickness)


@pytest.mark.parametrize("thickness", [1, 3])
def test_closed_outlines_are_filled_and_filled_masks_stay(thickness, tmp_path):
    drawn = _ellipse(thickness)
    filled = reading.read_mask(_save(tmp_path / "a.png", drawn), fill=True)
    np.testing.assert_array_equal(filled, scipy.ndimage.binary_fill_holes(drawn))
    assert filled.sum() > 3 * (drawn > 0).sum()
    np.testing.assert_array_equal(fill_outlines(filled), filled)
    assert not is_line(filled) and not is_line(np.zeros((9, 9), np.uint8))


def test_an_open_outline_is_not_filled(tmp_path):
    path = _save(tmp_path / "a.png", _ellipse(2, end=200))
    with pytest.raises(JaxsegError, match="an open outline encloses nothing"):
        reading.read_mask(path, fill=True)


def test_without_nibabel_volumes_are_named_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "a.nii.gz").write_bytes(b"")
    paths = reading.find_files(tmp_path)
    with pytest.raises(JaxsegError, match=r"a\.nii\.gz: NIfTI files need nibabel; pip install"):
        reading.read_mask(paths[0])


def test_slices_of_a_volume_are_frames(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).integers(0, 3, (9, 6, 4)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "case.nii.gz")
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "case_flat.nii")
    (tmp_path / "damaged.nii.gz").write_bytes(b"no volume")
    paths = reading.find_files(tmp_path)
    assert len(paths) == 9
    for k in range(4):
        np.testing.assert_array_equal(reading.read_mask(paths[k]), volume[..., k].T)
        np.testing.assert_array_equal(reading.read_mask(paths[4 + k]), volume[..., k].T)
    assert reading.read_image(paths[0]).shape == (6, 9, 3)
    with pytest.raises(JaxsegError, match=r"damaged\.nii\.gz: not a readable NIfTI file"):
        reading.read_mask(paths[8])
    (tmp_path / "damaged.nii.gz").unlink()
    pairs, _ = reading.match_files(tmp_path, tmp_path)
    assert [name for name, _ in pairs][:2] == ["case#000", "case#001"]
