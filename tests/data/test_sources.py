"""Finding files: what is matched, what is refused, and what a changed folder does."""

import os
import shutil
from pathlib import Path

import pytest

from jaxseg.data.pairs import Pair, isic2017_pairs
from jaxseg.data.sources import check_split, find_files, find_source, fingerprint
from jaxseg.errors import JaxsegError, UsageError

PAIR = Pair("a", Path("images/a.png"), Path("masks/a.png"))


@pytest.mark.parametrize("ending", ["", "_mask", "_segmentation", "_gt"])
def test_masks_are_matched_by_stem(make_folder, ending):
    pairs, _ = find_files("folders", make_folder(mask_ending=ending))
    assert list(pairs) == ["train"]
    assert [pair.id for pair in pairs["train"]] == [f"im{i}" for i in range(5)]
    assert all(pair.mask.stem == pair.id + ending for pair in pairs["train"])


def test_splits_have_folders_of_their_own(make_folder):
    make_folder(home="train", n=3)
    pairs, _ = find_files("folders", make_folder(home="test", n=2))
    assert {split: len(members) for split, members in pairs.items()} == {"train": 3, "test": 2}


def test_other_files_are_ignored(make_folder):
    root = make_folder(n=2)
    for name in (".DS_Store", "notes.csv", ".hidden.png", "im0_superpixels.png"):
        (root / "images" / name).touch()
    assert len(find_files("folders", root)[0]["train"]) == 2


def remove_a_mask(root):
    (root / "masks" / "im3.png").unlink()


def remove_an_image(root):
    (root / "images" / "im3.png").unlink()


def second_mask(root):
    shutil.copy(root / "masks" / "im1.png", root / "masks" / "im1_mask.png")


def second_image(root):
    shutil.copy(root / "images" / "im1.png", root / "images" / "im1.bmp")


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
        (second_mask, "im1_mask.png: second mask of im1.png"),
        (second_image, "im1.png: same stem as im1.bmp"),
        (no_images, "images: holds no images"),
        (no_masks_folder, "masks is missing"),
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


def test_fingerprint_notices_content_time_and_names(make_folder):
    root = make_folder()
    marks = [find_files("folders", root)[1]]
    assert find_files("folders", root)[1] == marks[0]
    image = root / "images" / "im0.png"
    os.utime(image, ns=(1, 1))
    marks.append(find_files("folders", root)[1])
    stat = image.stat()
    image.write_bytes(image.read_bytes() + b"0")
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    marks.append(find_files("folders", root)[1])
    for part in ("images", "masks"):
        (root / part / "im4.png").rename(root / part / "im5.png")
    marks.append(find_files("folders", root)[1])
    assert len(set(marks)) == 4


def test_fingerprint_does_not_depend_on_where_the_folder_is(make_folder):
    root = make_folder()
    before = find_files("folders", root)[1]
    assert find_files("folders", root.rename(root.with_name("moved")))[1] == before


def test_isic_needs_the_masks_of_a_split_that_is_there(tmp_path):
    with pytest.raises(UsageError, match="must hold ISIC-2017_Training_Data"):
        isic2017_pairs(tmp_path)
    (tmp_path / "ISIC-2017_Training_Data").mkdir()
    with pytest.raises(UsageError, match="ISIC-2017_Training_Part1_GroundTruth is missing"):
        isic2017_pairs(tmp_path)


def test_isic_official_names(real_data):
    pairs = isic2017_pairs(real_data / "isic2017")
    assert {split: len(members) for split, members in pairs.items()} == {
        "train": 2000,
        "validation": 150,
    }
    first = pairs["train"][0]
    assert first.mask.name == f"{first.id}_segmentation.png"
    assert fingerprint(pairs, real_data / "isic2017").isalnum()


@pytest.mark.parametrize("split", ["train", "train[:85%]", "train[10:-3]", "train[:5] + train[9:]"])
def test_splits_that_are_read(split):
    check_split("folders", split, {"train": [PAIR] * 10}, "x")


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("test", "test/images is missing in data.manual_dir='x'"),
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
    with pytest.raises(UsageError, match=r"data\.manual_dir=None: isic2017 needs"):
        find_files("isic2017", None)
    assert find_files("lesion_phantoms", None) == ({}, "generated")
