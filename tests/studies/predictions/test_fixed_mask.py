"""The fixed mask: exact Dice on cells, the best threshold, and no mask scored on its own fit."""

import itertools

import numpy as np
import pytest
from masks_with_objects import ellipses

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.studies import fixed_mask as prior


def covers(masks, grid=16):
    return lambda: [prior.cover(mask, grid) for mask in masks]


def fixed_mask_dice(one, mask):
    """Dice of a cover and a fixed mask; NaN for an empty cover."""
    area = one.sum(dtype=float) / 255
    return 2 * one[mask].sum(dtype=float) / 255 / (area + mask.sum()) if area else np.nan


def split_half_dice(covers):
    """Dice of each mask with the fixed mask of the other half."""
    masks = prior.split_half_masks(covers)
    return np.array([
        fixed_mask_dice(one, masks[half].mask) for half, one in zip(prior.halves(), covers())
    ])  # fmt: skip


def test_a_cover_is_the_mean_of_each_cell():
    mask = np.random.default_rng(0).random((64, 96)) < 0.4
    by_hand = mask.reshape(16, 4, 16, 6).mean(axis=(1, 3))
    np.testing.assert_allclose(prior.cover(mask, 16) / 255, by_hand, atol=0.5001 / 255)


@pytest.mark.parametrize("shape", [(64, 64), (50, 81), (7, 9)])
def test_a_cover_keeps_the_area(shape):
    mask = ellipses(1, shape, seed=3)[0]
    assert prior.cover(mask, 32).mean() / 255 == pytest.approx(mask.mean(), abs=0.002)


def test_occupancy_by_hand():
    masks = np.zeros((3, 8, 8), np.uint8)
    masks[0, :, :4] = masks[1, :4, :4] = 1
    shares, n = prior.occupancy(covers(masks, 2)())
    assert n == 2  # the empty one is left out
    np.testing.assert_allclose(shares, [[1, 0], [0.5, 0]])


def test_the_fit_equals_a_search_over_all_thresholds_at_full_resolution():
    masks = ellipses(40, seed=1)
    fit = prior.fit_fixed_mask(covers(masks))
    blocks = masks.reshape(40, 16, 4, 16, 4).mean(axis=(0, 2, 4))
    best = 0.0
    for level in np.arange(101) / 100 * blocks.max():
        fixed = np.kron(blocks >= level - 1e-9, np.ones((4, 4), bool))
        hit = (masks * fixed).sum(axis=(1, 2))
        best = max(best, np.mean(2 * hit / (masks.sum(axis=(1, 2)) + fixed.sum())))
    assert fit.dice == pytest.approx(best, abs=1e-3)
    assert fit.mask.any()


def test_equal_masks_are_found_exactly():
    mask = np.zeros((64, 64), np.uint8)
    mask[16:40, 8:24] = 1
    fit = prior.fit_fixed_mask(covers([mask] * 5))
    assert fit.dice == pytest.approx(1)
    np.testing.assert_array_equal(np.kron(fit.mask, np.ones((4, 4))), mask)
    np.testing.assert_allclose(split_half_dice(covers([mask] * 5)), 1)


def left_and_right():
    left, right = np.zeros((2, 32, 32), np.uint8)
    left[:, :16] = right[:, 16:] = 1
    return [left, right]


def test_no_mask_is_scored_on_its_own_half():
    np.testing.assert_array_equal(split_half_dice(covers(left_and_right())), 0)
    assert prior.fit_fixed_mask(covers(left_and_right())).dice == pytest.approx(2 / 3)


def test_masks_that_alternate_do_not_split_by_kind():
    found = split_half_dice(covers(left_and_right() * 40))
    assert 0.4 < found.mean() < 0.7


def test_halves_are_even_and_always_the_same():
    first, second = (list(itertools.islice(prior.halves(), 100)) for _ in range(2))
    assert first == second and sum(first) == 50
    assert 10 < sum(first[::2]) < 40


def test_dice_counts_cells_in_part():
    mask = np.zeros((8, 8), np.uint8)
    mask[:2, :4] = 1  # half of one of four cells
    fixed = np.array([[True, False], [False, False]])
    one = prior.cover(mask, 2)
    assert fixed_mask_dice(one, fixed) == pytest.approx(2 * 8 / (8 + 16), abs=2e-3)


def test_empty_masks_have_no_dice():
    masks = [*ellipses(4), np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)]
    found = split_half_dice(covers(masks))
    np.testing.assert_array_equal(np.isnan(found), [False] * 4 + [True] * 2)
    with pytest.raises(JaxsegError, match="every mask is empty"):
        prior.fit_fixed_mask(covers(masks[4:]))


def test_centred_objects_are_easier_than_objects_anywhere():
    anywhere = ellipses(60, seed=2)
    centred = [
        np.roll(m, np.array([32, 32]) - np.argwhere(m).mean(0).astype(int), (0, 1))
        for m in anywhere
    ]
    means = [np.nanmean(split_half_dice(covers(masks))) for masks in (centred, anywhere)]
    assert means[0] > means[1] + 0.2


def test_misfits_are_refused():
    with pytest.raises(UsageError, match=r"shape \(4, 4, 3\)"):
        prior.cover(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UsageError, match="grid=0"):
        prior.cover(np.zeros((4, 4), np.uint8), 0)
