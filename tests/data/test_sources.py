"""Finding files: what is matched, what is refused, and what a changed folder does."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from unprivileged import permissions_hold

from jaxseg.data import sources
from jaxseg.data.prepare import prepare_views
from jaxseg.data.sources import (
    FileIndex,
    Pair,
    Patterns,
    Reading,
    base_splits,
    check_split,
    find_files,
    find_pairs,
    find_source,
    isic2017_pairs,
)
from jaxseg.errors import JaxsegError, UsageError

PAIR = Pair("a", Path("images/a.png"), (Path("masks/a.png"),))


@pytest.mark.parametrize("ending", ["", "_mask", "_segmentation", "_gt"])
def test_masks_are_matched_by_stem(make_folder, ending):
    pairs = find_pairs("folders", make_folder(mask_ending=ending))
    assert list(pairs) == ["train"]
    assert [pair.id for pair in pairs["train"]] == [f"im{i}" for i in range(5)]
    assert all([m.stem for m in pair.masks] == [pair.id + ending] for pair in pairs["train"])


def test_splits_have_folders_of_their_own(make_folder):
    make_folder(home="train", n=3)
    pairs = find_pairs("folders", make_folder(home="test", n=2))
    assert {split: len(members) for split, members in pairs.items()} == {"train": 3, "test": 2}


def test_other_files_are_ignored(make_folder):
    root = make_folder(n=2)
    for name in (".DS_Store", "notes.csv", ".hidden.png", "im0_superpixels.png"):
        (root / "images" / name).touch()
    assert len(find_pairs("folders", root)["train"]) == 2


def remove_a_mask(root):
    (root / "masks" / "im3.png").unlink()


def remove_an_image(root):
    (root / "images" / "im3.png").unlink()


def second_image(root):
    shutil.copy(root / "images" / "im1.png", root / "images" / "im1.bmp")


def broken_link(root):
    (root / "images" / "im9.png").symlink_to(root / "nothing.png")


def no_images(root):
    for path in (root / "images").iterdir():
        path.unlink()


def no_masks_folder(root):
    shutil.rmtree(root / "masks")


def two_layouts(root):
    shutil.copytree(root / "images", root / "train" / "images")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_a_mask, "images/im3.png: image without a mask"),
        (remove_an_image, "masks/im3.png: mask without an image"),
        (second_image, "im1.png: same name as im1.bmp"),
        (broken_link, "im9.png: a link that loops or leads nowhere"),
        (no_images, "images: holds no files to read"),
        (no_masks_folder, "lacks the folder .*masks; add it"),
        (two_layouts, "keep one layout"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_a_wrong_folder_is_refused_in_one_line(make_folder, damage, words):
    root = make_folder()
    damage(root)
    with pytest.raises(JaxsegError, match=words) as caught:
        find_files("folders", root)
    assert "\n" not in str(caught.value)


def test_the_mark_is_that_of_content_and_names(make_folder):
    root = make_folder()
    marks = [find_files("folders", root).mark]
    os.utime(root / "images" / "im0.png", ns=(1, 1))
    assert find_files("folders", root).mark == marks[0]
    image = root / "images" / "im0.png"
    image.write_bytes(image.read_bytes() + b"0")
    marks.append(find_files("folders", root).mark)
    for part in ("images", "masks"):
        (root / part / "im4.png").rename(root / part / "im5.png")
    marks.append(find_files("folders", root).mark)
    assert len(set(marks)) == 3
    assert find_files("folders", root.rename(root.with_name("moved"))).mark == marks[-1]


def test_several_masks_of_an_image_are_kept_together(make_folder):
    root = make_folder()
    shutil.copy(root / "masks" / "im1.png", root / "masks" / "im1_mask.png")
    found = find_files("folders", root)
    assert [len(pair.masks) for pair in found.pairs["train"]] == [1, 2, 1, 1, 1]
    assert "1 of 5 pictures have several masks" in found.masks.cautions[0]


@pytest.mark.parametrize("home", ["", "train", "val"])
def test_images_and_masks_may_lie_side_by_side(make_folder, home):
    root = make_folder(home=home, mask_ending="_mask", n=3)
    for path in (root / home / "masks").iterdir():
        path.rename(root / home / path.name)
    for path in (root / home / "images").iterdir():
        path.rename(root / home / path.name)
    for part in ("images", "masks"):
        (root / home / part).rmdir()
    (pairs,) = find_pairs("folders", root).values()
    assert [(pair.id, pair.masks[0].stem) for pair in pairs] == [
        (f"im{k}", f"im{k}_mask") for k in range(3)
    ]


def test_patterns_distinguish_images_and_masks_of_other_names(make_folder):
    root = make_folder(n=2)
    for path in (root / "masks").iterdir():
        path.rename(root / "images" / f"{path.stem}.contour.png")
    (root / "masks").rmdir()
    (root / "images").rename(root / "frames")
    with pytest.raises(UsageError, match="none is the mask of another by its name"):
        find_pairs("folders", root)
    named = Patterns("*", "*.contour.png")
    assert len(find_pairs("folders", root, named)["train"]) == 2
    for path in root.rglob("im?.png"):
        path.rename(path.with_name(f"x{path.stem}.png"))
    with pytest.raises(JaxsegError, match=r"no mask has the stem of an image.*truth_pattern='"):
        find_pairs("folders", root, named)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_has_any_of_its_names(make_folder, name):
    make_folder(home="train", n=2)
    root = make_folder(home=name, n=1)
    assert {s: len(m) for s, m in find_pairs("folders", root).items()} == {
        "train": 2, "validation": 1
    }  # fmt: skip


def test_base_splits():
    assert base_splits("train[:80%]") == ["train"]
    assert base_splits("train[5:] + test") == ["train", "test"]


def test_isic_requires_the_masks_of_a_split_that_is_there(tmp_path):
    with pytest.raises(UsageError, match="must hold ISIC-2017_Training_Data"):
        isic2017_pairs(tmp_path)
    (tmp_path / "ISIC-2017_Training_Data").mkdir()
    with pytest.raises(UsageError, match="lacks the folder ISIC-2017_Training_Part1_GroundTruth"):
        isic2017_pairs(tmp_path)


def test_isic_official_names(real_data):
    pairs = isic2017_pairs(real_data / "isic2017")
    assert {split: len(members) for split, members in pairs.items()} == {
        "train": 2000,
        "validation": 150,
    }
    first = pairs["train"][0]
    assert [mask.name for mask in first.masks] == [f"{first.id}_segmentation.png"]


@pytest.mark.parametrize("split", ["train", "train[:85%]", "train[10:-3]", "train[:5] + train[9:]"])
def test_splits_that_are_read(split):
    check_split("folders", split, {"train": [PAIR] * 10}, "x")


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("test", "folder test is missing in data.manual_dir='x'"),
        ("train[:85%", "must look like train"),
        ("trian[:85%]", "'trian': must be one of .* did you mean 'train'"),
        ("train[:11]", r"train has 10 images; give a part of them, such as train\[:80%\]"),
        ("train[:5]+train[-11:]", "train has 10 images"),
    ],
)
def test_splits_that_are_refused(split, words):
    with pytest.raises(UsageError, match=words):
        check_split("folders", split, {"train": [PAIR] * 10}, "x")


def test_unknown_names_and_missing_folders_are_named():
    with pytest.raises(UsageError, match=r"data\.name='isic17'.*did you mean 'isic2017'"):
        find_source("isic17")
    with pytest.raises(UsageError, match=r"manual_dir=None: is required for isic2017"):
        find_files("isic2017", None)
    assert find_files("lesion_phantoms", None).mark == "generated"


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
    look = sources.survey_file
    monkeypatch.setattr(
        sources, "survey_file", lambda path, *a: seen.append(path.name) or look(path, *a)
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
