"""Finding files: what is matched, what is refused, and what a changed folder does."""

import os
import shutil
from pathlib import Path

import pytest

from jaxseg.data.sources import (
    Pair,
    Patterns,
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
