"""Bands partition the frame, counts add up, and both equal the paper's rings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.metrics.bands import (
    band_counts,
    border_ring_edges,
    border_rings,
    square_ring_edges,
    square_rings,
)
from jaxseg.metrics.dice import dice

SIZES = [(256, 10), (64, 2.5), (96, 3.75), (100, 3.90625), (128, 5), (16, 40), (33, 4), (1, 1)]


def masks(*shape, seed=0, share=0.5):
    return np.random.default_rng(seed).random(shape) < share


def paper_dice_by_ring(pred, truth, interval):
    """The reference's loop in numpy: copy the outer square, empty the inner one, smooth 1."""
    size = truth.shape[-1]
    scores = []
    for outer in sorted(range(size // 2, 0, -interval)):
        inner = max(outer - interval, 0)

        def ring(mask, outer=outer, inner=inner):
            new = np.zeros_like(mask, dtype=np.float64)
            a, b = size // 2 - outer, size // 2 + outer
            new[a:b, a:b] = mask[a:b, a:b]
            a, b = size // 2 - inner, size // 2 + inner
            new[a:b, a:b] = 0
            return new

        p, t = ring(pred), ring(truth)
        scores.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    return np.array(scores)


@pytest.mark.parametrize("interval", [10, 16, 7])
@pytest.mark.parametrize("share", [0.5, 0.001, 0.0])
def test_dice_by_ring_equals_the_papers_loop(interval, share):
    pred, truth = masks(256, 256, 1, share=share), masks(256, 256, 1, seed=1, share=share)
    counts = band_counts(pred, truth, square_rings(256, interval))
    ours = np.asarray(dice(counts, empty="smooth1"))[:, 0]
    np.testing.assert_allclose(
        ours, paper_dice_by_ring(pred[..., 0], truth[..., 0], interval), atol=1e-6
    )


def test_square_rings_at_the_papers_size():
    np.testing.assert_array_equal(square_ring_edges(256, 10), np.arange(8, 129, 10))
    rings = square_rings(256, 10)
    assert rings.dtype == np.int32 and rings.max() == 12
    assert (rings == 0).sum() == 16**2
    assert (rings == 12).sum() == 256**2 - 236**2


@pytest.mark.parametrize("size, width", SIZES)
@pytest.mark.parametrize(
    "make, edges", [(square_rings, square_ring_edges), (border_rings, border_ring_edges)]
)
def test_no_band_is_empty_and_edges_match(make, edges, size, width):
    rings = make(size, width)
    n_bands = len(edges(size, width))
    assert rings.shape == (size, size)
    np.testing.assert_array_equal(np.unique(rings), np.arange(n_bands))
    assert (np.diff(edges(size, width)) > 0).all()


@pytest.mark.parametrize("size, width", SIZES)
@pytest.mark.parametrize("make", [square_rings, border_rings])
def test_rings_have_the_symmetry_of_the_square(make, size, width):
    rings = make(size, width)
    np.testing.assert_array_equal(rings, rings.T)
    np.testing.assert_array_equal(rings, rings[::-1])


@pytest.mark.parametrize("size, width", [(256, 10), (64, 2.5), (96, 3.75)])
def test_bands_lie_within_their_half_widths(size, width):
    centre = np.abs(np.arange(size) + 0.5 - size / 2)
    distance = np.maximum(centre[:, None], centre[None, :])
    edges = square_ring_edges(size, width)
    rings = square_rings(size, width)
    # A pixel belongs to the ring that holds its outer side.
    expected = np.searchsorted(edges, distance + 0.5)
    np.testing.assert_array_equal(rings, expected)


def test_border_rings_count_from_the_border():
    rings = border_rings(20, 4)
    np.testing.assert_array_equal(rings[0], 0)
    np.testing.assert_array_equal(rings[10, :10], [0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(border_ring_edges(20, 4), [4, 8, 10])


def test_counts_add_to_the_whole_image_and_match_numpy():
    pred, truth = masks(3, 4, 32, 32, 2), masks(4, 32, 32, 2, seed=1)
    counts = np.asarray(band_counts(pred, truth, square_rings(32, 3)))
    assert counts.dtype == np.int32 and counts.shape == (3, 4, 6, 2, 3)
    whole = [pred & truth, pred & ~truth, ~pred & truth]
    np.testing.assert_array_equal(
        counts.sum(axis=2), np.stack([m.sum(axis=(2, 3)) for m in whole], axis=-1)
    )
    band = square_rings(32, 3) == 4
    np.testing.assert_array_equal(counts[:, :, 4, :, 1], whole[1][:, :, band].sum(axis=2))


def test_large_frames_count_exactly():
    # 9 million true pixels in one band: beyond what bfloat16 or int16 sums could hold.
    full = np.ones((3001, 3001, 1), bool)
    counts = band_counts(full, full, np.zeros((3001, 3001), np.int32))
    assert counts[0, 0, 0] == 3001**2


def test_jit_and_vmap_give_the_same_counts():
    pred, truth, rings = masks(3, 4, 16, 16, 1), masks(4, 16, 16, 1, seed=1), border_rings(16, 3)
    expected = band_counts(pred, truth, rings)
    jitted = jax.jit(band_counts, static_argnames="n_bands")
    np.testing.assert_array_equal(jitted(pred, truth, jnp.asarray(rings), n_bands=3), expected)
    mapped = jax.vmap(lambda p: band_counts(p, jnp.asarray(truth), rings))(pred)
    np.testing.assert_array_equal(mapped, expected)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"pred": np.zeros((8, 8, 1), np.float32)}, "pred: dtype float32 must be bool"),
        ({"pred": np.zeros((9, 8, 1), bool)}, r"pred: shape \(9, 8, 1\)"),
        ({"target": np.zeros((8, 8), bool)}, r"target: shape \(8, 8\)"),
        ({"target": np.zeros((2, 8, 8, 1), bool)}, "last axes of pred"),
        ({"target": np.zeros((8, 8, 2), bool)}, "last axes of pred"),
        ({"n_bands": 2}, r"0\.\.2 must lie in 0\.\.1"),
    ],
)
def test_misfits_are_refused_at_once(change, words):
    arguments = {"pred": masks(8, 8, 1), "target": masks(8, 8, 1), "rings": border_rings(8, 1.5)}
    with pytest.raises(UsageError, match=words):
        band_counts(**(arguments | change))


def test_bands_of_a_traced_map_cannot_be_counted():
    with pytest.raises(UsageError, match="n_bands=None"):
        band_counts(masks(8, 8, 1), masks(8, 8, 1), jnp.zeros((8, 8), jnp.int32))


@pytest.mark.parametrize("make", [square_rings, border_rings])
def test_impossible_rings_are_refused(make):
    with pytest.raises(UsageError, match="size=0"):
        make(0, 8)
    with pytest.raises(UsageError, match="at least 1 pixel wide"):
        make(16, 0.5)


def test_frames_need_not_be_square():
    pred, truth = masks(2, 6, 10, 1), masks(2, 6, 10, 1, seed=1)
    rings = np.random.default_rng(2).integers(0, 3, (6, 10))
    counts = np.asarray(band_counts(pred, truth, rings))
    for band in range(3):
        p, t = (mask[:, rings == band, 0] for mask in (pred, truth))
        expected = np.stack([(p & t).sum(1), (p & ~t).sum(1), (~p & t).sum(1)], axis=-1)
        np.testing.assert_array_equal(counts[:, band, 0], expected)


def test_widths_are_the_papers_ten_and_the_border_zones_eight():
    np.testing.assert_array_equal(square_rings(64), square_rings(64, 10))
    np.testing.assert_array_equal(square_ring_edges(64), square_ring_edges(64, 10))
    np.testing.assert_array_equal(border_rings(64), border_rings(64, 8))
    np.testing.assert_array_equal(border_ring_edges(64), border_ring_edges(64, 8))


def test_rings_of_an_odd_frame_end_at_whole_pixels():
    np.testing.assert_array_equal(square_ring_edges(33, 4), [4, 8, 12, 16])
    np.testing.assert_array_equal(square_rings(5, 1)[2], [1, 0, 0, 0, 1])
    assert square_rings(5).dtype == border_rings(5).dtype == np.int32
