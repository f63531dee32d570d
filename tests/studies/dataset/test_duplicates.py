"""Near-duplicates against all pairs, planted copies, and groups of many."""

import itertools
import time

import cv2
import numpy as np
import pytest

from jaxseg.data import duplicates as d
from jaxseg.studies.dataset import to_section
from jaxseg.studies.dataset.measures import (
    ALONE,
    BOTH,
    IMAGE,
    MASK,
    duplicates,
    measure_dataset,
    measure_folder,
)

SIDE = 96


def _picture(seed, side=SIDE):
    """A smooth random colour picture uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(30, 220, (7, 7, 3), np.uint8), (side, side))


def _blob(seed, side=SIDE):
    """A mask with a random smooth outline about the middle."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = rng.uniform(0.15, 0.4, 12) * side
    points = side / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    mask = cv2.fillPoly(np.zeros((side, side), np.uint8), [points.astype(np.int32)], 255)
    return (cv2.GaussianBlur(mask, (0, 0), 3) > 127).astype(np.uint8)


def _prints(frames):
    bits, thumbnails = zip(*map(d.fingerprint, frames))
    rows = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(bits), -1)
    return d.Fingerprints(np.array(bits, np.uint64), rows)


def _noisy(count, seed, kinds=12):
    """Fingerprints close to one of a few kinds: many pairs near the limits of the rules."""
    rng = np.random.default_rng(seed)
    pictures = [cv2.cvtColor(_picture(k), cv2.COLOR_RGB2GRAY) for k in range(kinds)]
    return _prints([
        np.clip(pictures[k] + cv2.resize(rng.normal(0, 5, (6, 6)), (SIDE, SIDE)), 0, 255)
        .astype(np.uint8) for k in rng.integers(0, kinds, count)
    ])  # fmt: skip


def _measured(name, frames):
    items = ((f"{name}{k}", frame) for k, frame in enumerate(frames))
    return measure_dataset(name, items)


JPEG = {f"jpeg {q}": (cv2.IMWRITE_JPEG_QUALITY, q) for q in (50, 75, 95)}
COPIES = {
    **{name: lambda g, q=q: cv2.imdecode(cv2.imencode(".jpg", g, q)[1], 1)
       for name, q in JPEG.items()},
    "half": lambda g: cv2.resize(g, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda g: cv2.resize(g, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
    "squashed": lambda g: cv2.resize(g, (SIDE, SIDE // 2), interpolation=cv2.INTER_AREA),
    "brighter": lambda g: g + np.uint8(30),
    "flatter": lambda g: (g * 0.7 + 20).astype(np.uint8),
    "cut by a pixel": lambda g: g[1:-1, 1:-1],
    "grey": lambda g: cv2.cvtColor(g, cv2.COLOR_RGB2GRAY),
}  # fmt: skip


def test_a_picture_keeps_its_hash_at_another_size_and_loses_it_when_mirrored():
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (90, 80))
    smaller = cv2.resize(image, (45, 40), interpolation=cv2.INTER_AREA)
    assert d.difference_hash(smaller) == d.difference_hash(image)
    assert d.difference_hash(image) != d.difference_hash(image[:, ::-1])
    assert d.difference_hash(np.full((9, 9), 7, np.uint8)) == 0


def test_the_hash_says_where_cells_are_darker_than_their_right_neighbour():
    ramp = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    assert d.difference_hash(ramp) == 2**64 - 1 and d.difference_hash(ramp[:, ::-1]) == 0
    ramp[0] = 0
    assert d.difference_hash(ramp) == 2**56 - 1


@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_a_picture_are_found_and_nothing_else(copy):
    pictures = [_picture(seed) for seed in range(30)]
    found = d.near_duplicates(_prints([*pictures, *map(COPIES[copy], pictures)]), d.IMAGES)
    assert found.frames.tolist() == [[k, 30 + k] for k in range(30)]
    assert (found.likeness >= d.IMAGES.least).all()


@pytest.mark.parametrize("rule", [d.IMAGES, d.MASKS], ids=["images", "masks"])
@pytest.mark.parametrize("block", [(32, 4096), (7, 5)])
def test_pairs_are_those_of_comparing_all(rule, block, monkeypatch):
    monkeypatch.setattr(d, "BLOCK", block)
    prints = _noisy(300, seed=1)
    all_pairs = np.array(list(itertools.combinations(range(300), 2)))
    near, likeness = d.agree(prints, all_pairs, rule)
    found = d.near_duplicates(prints, rule)
    np.testing.assert_array_equal(found.frames, all_pairs[near])
    np.testing.assert_allclose(found.likeness, likeness[near])
    assert 20 < near.sum() < 0.1 * len(near)


def test_likeness_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 5, 256), np.uint8)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b)]
    np.testing.assert_allclose(d.correlation(a, b), expected, atol=1e-5)
    a, b = (x > 127 for x in (a, b))
    expected = [2 * (x & y).sum() / (x.sum() + y.sum()) for x, y in zip(a, b)]
    masks = [(255 * x).astype(np.uint8) for x in (a, b)]
    np.testing.assert_allclose(d.overlap(*masks), expected)
    flat = np.zeros((1, 256), np.uint8)
    assert np.isnan(d.correlation(flat, flat)) and np.isnan(d.overlap(flat, flat))


def test_frames_of_one_grey_level_are_in_no_pair_and_a_hash_of_0_may_be():
    flat = [np.full((32, 32), v, np.uint8) for v in (0, 0, 9, 255, 255)]
    left = np.zeros((64, 64), np.uint8)
    left[20:40, :7] = 255
    found = d.near_duplicates(_prints([*flat, left, left]), d.MASKS)
    assert found.frames.tolist() == [[5, 6]] and d.difference_hash(left) == 0
    assert len(d.near_duplicates(_prints(flat), d.IMAGES).frames) == 0
    nothing = d.Fingerprints(np.empty(0, np.uint64), np.empty((0, 256), np.uint8))
    assert d.near_duplicates(nothing, d.IMAGES).frames.shape == (0, 2)


def test_equal_frames_are_paired_with_the_first_of_them():
    picture, other = _picture(0), _picture(1)
    found = d.near_duplicates(_prints([other, picture, picture, other, picture]), d.IMAGES)
    assert found.frames.tolist() == [[0, 3], [1, 2], [1, 4]] and (found.likeness == 1).all()
    same = d.Fingerprints(*(np.repeat(x, 50_000, axis=0) for x in _prints([picture])))
    start = time.perf_counter()
    assert len(d.near_duplicates(same, d.IMAGES).frames) == 49_999
    assert time.perf_counter() - start < 5


def test_too_many_pairs_keep_their_groups(monkeypatch):
    prints = _noisy(400, seed=2, kinds=4)
    every = d.near_duplicates(prints, d.IMAGES)
    monkeypatch.setattr(d, "MOST_PAIRS", 100)
    few = d.near_duplicates(prints, d.IMAGES)
    assert len(every.frames) > 1_000 and len(few.frames) < 400
    groups = [d.group_numbers(pairs.frames, 400) for pairs in (every, few)]
    np.testing.assert_array_equal(*groups)


def test_a_group_is_joined_by_its_most_alike_pairs():
    frames = np.array([[0, 1], [0, 2], [1, 2], [4, 5]])
    kept = d.joining(d.Pairs(frames, np.array([0.99, 0.98, 1.0, 2.0])), 6)
    assert kept.tolist() == [0, 2, 3]
    numbers = d.group_numbers(frames[kept], 6)
    assert len(set(numbers[:3])) == 1 and len(set(numbers)) == 3


def test_masks_in_one_place_are_no_duplicates_and_copies_are():
    masks = [_blob(seed) for seed in range(200)]
    larger = [cv2.resize(m, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for m in masks]
    grey = [m * np.uint8(255) for m in [*masks, *larger]]
    found = d.near_duplicates(_prints(grey), d.MASKS).frames.tolist()
    assert found == [[k, 200 + k] for k in range(200)]


def test_small_masks_that_touch_by_chance_are_no_duplicates():
    # Discs of 3 to 6 pixels in a frame of 96: all in a few cells of the hash and the thumbnail.
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    discs = [
        ((x - cx) ** 2 + (y - cy) ** 2 < r**2).astype(np.uint8) * np.uint8(255)
        for cx, cy, r in zip(*rng.uniform(40, 56, (2, 300)), rng.uniform(3, 6, 300))
    ]
    found = d.near_duplicates(_prints(discs), d.MASKS).frames
    dice = [2 * (discs[a] & discs[b] > 0).sum() / ((discs[a] > 0).sum() + (discs[b] > 0).sum())
            for a, b in found]  # fmt: skip
    assert len(found) <= 3 and all(value > 0.9 for value in dice)


def test_what_agrees_is_told_for_images_masks_and_both():
    a, b, c = (_picture(seed) for seed in range(3))
    x, y, z, w = (_blob(seed) for seed in range(4))
    train = _measured("train", [(x, a), (y, b), (z, _picture(4))])
    copy = COPIES["jpeg 75"](a)
    test = _measured("test", [(x, copy), (w, b), (z, c), (_blob(7), _picture(7))])
    found = duplicates([train, test])
    assert [(t.group, t.first[1], t.second[1], t.agree) for t in found] == [
        (1, "train0", "test0", BOTH), (2, "train1", "test1", IMAGE), (3, "train2", "test2", MASK),
    ]  # fmt: skip
    assert found[0].image > 0.99 and found[0].mask == 1 and found[1].mask < 0.98 < found[1].image
    notes = " ".join(to_section([train, test]).notes)
    assert "3 pairs of near-duplicates" in notes and "1 in image and mask; 1 in the image" in notes
    assert "in different data sets: 3 groups" in notes


def test_masks_are_compared_with_those_of_data_sets_without_images():
    x, y = _blob(0), _blob(1)
    with_images = _measured("a", [(x, _picture(0)), (y, _picture(1))])
    without = _measured("b", [(_blob(2), None), (y, None)])
    for sets in ([with_images, without], [without, with_images]):
        (pair,) = duplicates(sets)
        assert {pair.first[1], pair.second[1]} == {"a1", "b1"} and pair.agree == ALONE
        assert np.isnan(pair.image) and pair.mask == 1


def test_a_chain_of_copies_is_one_group_each_pair_once():
    frames = [(_blob(9), _picture(5)), *[(_blob(0), _picture(0))] * 3, (_blob(1), _picture(0))]
    found = duplicates([_measured("a", frames)])
    assert [(t.first[1], t.second[1], t.agree) for t in found] == [
        ("a1", "a2", BOTH), ("a1", "a3", BOTH), ("a1", "a4", IMAGE),
    ]  # fmt: skip
    assert {t.group for t in found} == {1}


def test_twenty_thousand_frames_are_searched_in_seconds():
    rng = np.random.default_rng(0)
    base = _prints([_picture(k, 32) for k in range(500)])
    of = rng.integers(0, 500, 20_000)
    flips = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (4, len(of)), np.uint64))
    thumbnails = base.thumbnails[of] ^ rng.integers(0, 4, (20_000, 256), np.uint8)
    prints = d.Fingerprints(base.bits[of] ^ flips, thumbnails)
    start = time.perf_counter()
    found = d.near_duplicates(prints, d.IMAGES)
    # 2 s on one quiet core; 200 million comparisons one by one in Python would take minutes.
    assert time.perf_counter() - start < 40
    assert (of[found.frames[:, 0]] == of[found.frames[:, 1]]).mean() > 0.99


@pytest.mark.slow
def test_the_pairs_of_isic(real_data):
    isic = real_data / "isic2017"
    sets = [
        measure_folder(
            name, isic / f"ISIC-2017_{part}_Part1_GroundTruth", isic / f"ISIC-2017_{part}_Data"
        )
        for name, part in (("train", "Training"), ("validation", "Validation"))
    ]
    found = duplicates(sets)
    # Looked at one by one: all 12 show one lesion twice. Two are in training and validation data.
    agrees = [t.agree for t in found]
    assert len(found) == 12 and agrees.count(BOTH) == 3 and agrees.count(IMAGE) == 9
    across = [(t.first[1], t.second[1]) for t in found if t.first[0] != t.second[0]]
    assert across == [("ISIC_0000171", "ISIC_0015124"), ("ISIC_0012970", "ISIC_0012127")]
