"""Identity is content: what names prepared images, and when files are read again."""

import os
import shutil

import cv2
import numpy as np
import pytest
from unprivileged import permissions_hold

from jaxseg.data import index as index_module
from jaxseg.data.index import FileIndex
from jaxseg.data.prepare import prepare_views
from jaxseg.data.sources import Reading, find_files
from jaxseg.errors import JaxsegError

BMP = np.zeros((16, 16), np.uint8)


def make(root, seed, n=4):
    """A data set whose files have one size whatever they hold, as BMP has it."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True, exist_ok=True)
            values = BMP.copy()
            y, x = rng.integers(0, 8, 2)
            values[y : y + 8, x : x + 8] = 255
            cv2.imwrite(str(root / part / f"a{k}.bmp"), values)
            os.utime(root / part / f"a{k}.bmp", ns=(10**18, 10**18))
    return root


def masks_of(root, cache, **options):
    views = prepare_views(
        "folders", "train", size=16, views=["full"], manual_dir=root, data_dir=cache, **options
    )
    return views["full"].masks[:, 0]


def sizes_and_times(root):
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*.bmp")}


def test_data_sets_of_equal_names_sizes_and_times_get_their_own_images(tmp_path):
    a, b, cache = make(tmp_path / "a", 0), make(tmp_path / "b", 1), tmp_path / "cache"
    assert sizes_and_times(a) == sizes_and_times(b)
    first, second = masks_of(a, cache), masks_of(b, cache)
    assert (first != second).any()
    np.testing.assert_array_equal(second, masks_of(b, tmp_path / "other"))


def test_files_replaced_in_their_place_are_noticed(tmp_path):
    root, cache = make(tmp_path / "a", 0), tmp_path / "cache"
    first = masks_of(root, cache)
    before = sizes_and_times(root)
    make(root, 1)
    assert sizes_and_times(root) == before
    assert (masks_of(root, cache) != first).any()


def test_a_copy_elsewhere_finds_what_was_prepared(tmp_path):
    root, cache = make(tmp_path / "a", 0), tmp_path / "cache"
    masks_of(root, cache)
    prepared = sorted((cache / "prepared").rglob("store.json"))
    shutil.copytree(root, tmp_path / "copy")
    masks_of(tmp_path / "copy", cache)
    assert sorted((cache / "prepared").rglob("store.json")) == prepared


def test_files_are_read_once_and_again_where_they_changed_or_on_request(tmp_path, monkeypatch):
    root, cache = make(tmp_path / "a", 0), tmp_path / "cache"
    seen = []
    look = index_module.survey_file
    monkeypatch.setattr(
        index_module, "survey_file", lambda path, *a: seen.append(path.name) or look(path, *a)
    )
    mark = find_files("folders", root, cache=cache).mark
    assert len(seen) == 4
    assert find_files("folders", root, cache=cache).mark == mark and len(seen) == 4
    (root / "masks/a1.bmp").touch()
    assert find_files("folders", root, cache=cache).mark == mark and seen[4:] == ["a1.bmp"]
    assert find_files("folders", root, Reading(rehash=True), cache=cache).mark == mark
    assert len(seen) == 9


def test_a_cache_that_cannot_be_written_is_read_and_named_where_it_must_be(tmp_path):
    root, cache = make(tmp_path / "a", 0), tmp_path / "cache"
    expected = masks_of(root, cache)
    shutil.copytree(root, tmp_path / "copy")  # not in the index yet, but prepared
    folders = [cache, *(path for path in cache.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    with permissions_hold():
        np.testing.assert_array_equal(masks_of(tmp_path / "copy", cache), expected)
        with pytest.raises(
            JaxsegError, match=r"Permission denied, but data is prepared there; set"
        ):
            masks_of(make(tmp_path / "b", 1), cache / "none")
    for folder in folders:
        folder.chmod(0o755)


def test_a_damaged_index_is_made_again(tmp_path):
    root, cache = make(tmp_path / "a", 0), tmp_path / "cache"
    mark = find_files("folders", root, cache=cache).mark
    (kept,) = (cache / "index").iterdir()
    kept.write_text(kept.read_text().replace("sha256", "sha255", 1))
    assert find_files("folders", root, cache=cache).mark == mark
    kept.write_text("{}")
    assert find_files("folders", root, cache=cache).mark == mark


def test_a_cache_that_cannot_be_written_is_reported_without_an_error(tmp_path, capsys):
    root = make(tmp_path / "a", 0)
    cache = tmp_path / "cache"
    cache.write_text("a file")
    assert find_files("folders", root, cache=cache).mark == find_files("folders", root).mark
    assert "cannot be saved" in capsys.readouterr().err


def test_names_and_how_masks_are_read_are_part_of_the_mark(tmp_path):
    root = make(tmp_path / "a", 0)
    marks = {find_files("folders", root).mark}
    (root / "images/a0.bmp").rename(root / "images/z.bmp")
    (root / "masks/a0.bmp").rename(root / "masks/z_mask.bmp")
    marks.add(find_files("folders", root).mark)
    from jaxseg.data.mask_coding import MaskOptions

    marks.add(find_files("folders", root, Reading(truth=MaskOptions(threshold=0.5))).mark)
    marks.add(find_files("folders", root, Reading(truth=MaskOptions(several="first"))).mark)
    assert len(marks) == 4


def test_slices_of_a_volume_have_digests_of_their_own(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.zeros((8, 8, 3), np.uint8)
    volume[2:4, 2:4] = 1
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii.gz")
    found = FileIndex(None, tmp_path)
    digests = {found.digest(tmp_path / f"a.nii.gz#{k}") for k in range(3)}
    assert len(digests) == 3
    assert found.labels(tmp_path / "a.nii.gz#1").counts == {0: 60, 1: 4}
