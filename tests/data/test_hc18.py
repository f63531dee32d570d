"""HC18: its layout, subjects kept together, and the real frames where they are present."""

import csv
import math
import shutil

import cv2
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data.builders import fill_outline, outline_mask, rim
from jaxseg.data.prepare import prepare_views
from jaxseg.data.sources import check_split, find_files, hc18_pairs, hc18_split
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.progress import silent

STEMS = [f"{n:03d}_HC" for n in range(20)] + ["010_2HC", "010_3HC", "017_2HC"]


def draw(number):
    """A frame and its outline as HC18 draws it, uint8 [54, 80]."""
    rng = np.random.default_rng(number)
    frame = rng.integers(0, 120, (54, 80), np.uint8)
    line, centre = np.zeros_like(frame), (38 + number % 5, 27)
    return frame, cv2.ellipse(line, centre, (20, 15), int(rng.integers(180)), 0, 360, 255, 1)


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "hc18" / "training_set"
    home.mkdir(parents=True)
    for number, stem in enumerate(STEMS):
        frame, line = draw(number)
        cv2.imwrite(str(home / f"{stem}.png"), frame)
        cv2.imwrite(str(home / f"{stem}_Annotation.png"), line)
    table = "training_set_pixel_size_and_HC.csv"
    (home.parent / table).write_text("filename,pixel size(mm),head circumference (mm)\n")
    (home.parent / "test_set").mkdir()
    shutil.copy(home / "000_HC.png", home.parent / "test_set" / "000_HC.png")
    return home.parent


@pytest.fixture
def hc18(real_data):
    if not (real_data / "hc18").is_dir():
        pytest.skip("real HC18 frames not present")
    return real_data / "hc18"


def subjects(pairs):
    return {split: {pair.id.split("_")[0] for pair in members} for split, members in pairs.items()}


def test_every_frame_has_its_outline_and_its_subjects_split(folder):
    pairs = hc18_pairs(folder)
    members = [pair for split in pairs.values() for pair in split]
    assert sorted(pair.id for pair in members) == sorted(STEMS)
    assert all([m.name for m in pair.masks] == [f"{pair.id}_Annotation.png"] for pair in members)
    assert all(pair.image.parent.name == "training_set" for pair in members)
    assert {split: len(found) for split, found in subjects(pairs).items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }


def test_of_every_ten_subjects_eight_train_one_validates_and_one_tests():
    for start in range(0, 810, 10):
        splits = [hc18_split(number) for number in range(start, start + 10)]
        assert [splits.count(s) for s in ("train", "validation", "test")] == [8, 1, 1]
    places = [n % 10 for n in range(810) if hc18_split(n) == "test"]
    assert len(set(places)) == 10  # no digit is always tested


def test_a_subject_stays_in_its_split_when_others_are_missing(folder):
    before = {pair.id: split for split, found in hc18_pairs(folder).items() for pair in found}
    for stem in STEMS[::3]:
        for path in (folder / "training_set").glob(f"{stem}*"):
            path.unlink()
    after = {pair.id: split for split, found in hc18_pairs(folder).items() for pair in found}
    assert after == {stem: split for stem, split in before.items() if stem in after}


def test_prepared_masks_are_the_filled_outlines(folder, tmp_path):
    options = {"manual_dir": folder, "data_dir": tmp_path / "cache", "progress": silent}
    prepared = prepare_views("hc18", "train+test", size=80, views=["full"], **options)["full"]
    assert prepared.classes == ("head",)
    rows = (2 * np.arange(80) + 1) * 54 // 160
    for row, stem in enumerate(prepared.ids):
        body = ndimage.binary_fill_holes(draw(STEMS.index(stem))[1])
        np.testing.assert_array_equal(prepared.masks[row, 0], body[rows])
        assert (prepared.images[row, 0, ..., :1] == prepared.images[row, 0]).all()


def no_outline(home):
    (home / "010_2HC_Annotation.png").unlink()


def no_frame(home):
    (home / "010_2HC.png").unlink()


def other_name(home):
    for ending in ("", "_Annotation"):
        (home / f"010_2HC{ending}.png").rename(home / f"scan{ending}.png")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_outline, r"010_2HC\.png: image without a mask"),
        (no_frame, r"010_2HC_Annotation\.png: mask without an image"),
        (other_name, r"scan\.png: must be named by subject as 010_HC\.png"),
        (shutil.rmtree, "must hold the folder training_set"),
    ],
)
def test_a_wrong_folder_is_refused_in_one_line(folder, damage, words):
    damage(folder / "training_set")
    with pytest.raises(JaxsegError, match=words) as caught:
        find_files("hc18", folder)
    assert "\n" not in str(caught.value)


def test_an_open_outline_is_named_while_it_is_read(folder, tmp_path):
    path = folder / "training_set" / "003_HC_Annotation.png"
    cv2.imwrite(str(path), np.eye(54, 80, dtype=np.uint8) * 255)
    options = {"manual_dir": folder, "data_dir": tmp_path / "cache", "progress": silent}
    with pytest.raises(JaxsegError, match=r"003_HC_Annotation\.png: must hold one outline"):
        prepare_views("hc18", "train", size=32, views=["full"], **options)


def test_a_split_without_subjects_is_refused(folder):
    for path in (folder / "training_set").iterdir():
        if hc18_split(int(path.name[:3])) == "test":
            path.unlink()
    pairs = hc18_pairs(folder)
    with pytest.raises(UsageError, match="a frame of a test subject in training_set is missing"):
        check_split("hc18", "test", pairs, folder)


def test_real_frames_each_hold_one_head_as_large_as_was_measured(hc18):
    """The table's circumference, in mm, from the mask's ellipse (Ramanujan's perimeter)."""
    with (hc18 / "training_set_pixel_size_and_HC.csv").open() as table:
        rows = {row[0].removesuffix(".png"): row[1:] for row in csv.reader(table)}
    apart = []
    for pair in [pair for members in hc18_pairs(hc18).values() for pair in members]:
        (path,) = pair.masks
        mask = outline_mask(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), path)
        assert cv2.connectedComponents(mask)[0] == 2 and 0.02 < mask.mean() < 0.65
        contour = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
        a, b = (side / 2 for side in cv2.fitEllipse(contour)[1])
        h = 3 * ((a - b) / (a + b)) ** 2
        perimeter = math.pi * (a + b) * (1 + h / (10 + math.sqrt(4 - h)))
        millimetres, circumference = map(float, rows[pair.id])
        apart.append(perimeter * millimetres / circumference - 1)
    assert np.abs(apart).max() < 0.03


def test_real_outlines_are_filled_to_the_same_heads(hc18):
    """Every real head, drawn as a bare outline and cut by the frame as it is, is filled again."""
    for path in sorted(hc18.glob("training_set/*_Annotation.png")):
        mask = outline_mask(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), path)
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        line = (mask - cv2.erode(padded, np.ones((3, 3)))[1:-1, 1:-1]).astype(np.uint8)
        again = fill_outline(line)
        assert again is not None and cv2.connectedComponents(again)[0] == 2, path.name
        assert 2 * (again & mask).sum() > 0.99 * (again.sum() + mask.sum()), path.name


def test_real_subjects_are_in_one_split_each(hc18):
    pairs = hc18_pairs(hc18)
    found = list(subjects(pairs).values())
    assert not any(a & b for n, a in enumerate(found) for b in found[:n])
    total = sum(map(len, pairs.values()))
    assert abs(len(pairs["train"]) / total - 0.8) < 0.03
    assert all(abs(len(pairs[split]) / total - 0.1) < 0.03 for split in ("validation", "test"))


def test_the_skull_is_the_rim_of_the_head():
    head = np.zeros((100, 140), np.uint8)
    cv2.ellipse(head, (70, 50), (50, 30), 20, 0, 360, (1,), -1)
    skull = rim(head)
    inside = cv2.distanceTransform(head, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert skull[(inside > 0) & (inside <= 2)].all() and not skull[inside > 4.5].any()
    assert not skull[head == 0].any()


def test_a_head_that_the_frame_cuts_has_no_skull_at_the_cut():
    head = np.zeros((100, 140), np.uint8)
    cv2.ellipse(head, (70, 95), (50, 40), 0, 0, 360, (1,), -1)
    assert not rim(head)[-1, 40:100].any()
