"""Metrics from counts against hand-computed numbers and against masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.metrics.dice import dice, iou, recall

METRICS = [dice, iou, recall]


@pytest.mark.parametrize("metric, expected", [(dice, 12 / 17), (iou, 6 / 11), (recall, 6 / 10)])
def test_hand_case(metric, expected):
    counts = np.array([6, 1, 4], np.int32)
    np.testing.assert_allclose(metric(counts), expected, rtol=1e-12)
    np.testing.assert_allclose(metric(jnp.asarray(counts)), expected, rtol=1e-6)


def test_dice_equals_overlap_of_masks():
    rng = np.random.default_rng(0)
    p, t = rng.random((5, 40)) < 0.3, rng.random((5, 40)) < 0.4
    counts = np.stack([(p & t).sum(1), (p & ~t).sum(1), (~p & t).sum(1)], axis=-1)
    np.testing.assert_allclose(dice(counts), 2 * (p & t).sum(1) / (p.sum(1) + t.sum(1)))
    np.testing.assert_allclose(iou(counts), (p & t).sum(1) / (p | t).sum(1))
    np.testing.assert_allclose(dice(counts), 2 * iou(counts) / (1 + iou(counts)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("empty, expected", [("nan", np.nan), ("one", 1.0), ("smooth1", 1.0)])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_empty_prediction_of_empty_truth(metric, empty, expected, array):
    np.testing.assert_equal(float(metric(array(np.zeros(3, np.int32)), empty=empty)), expected)


def test_empty_touches_undefined_cases_only():
    counts = np.array([[0, 5, 0], [0, 0, 5], [3, 0, 0]])
    np.testing.assert_array_equal(dice(counts, empty="one"), [0, 0, 1])
    np.testing.assert_array_equal(recall(counts, empty="one"), [1, 0, 1])
    np.testing.assert_allclose(dice(counts, empty="smooth1"), [1 / 6, 1 / 6, 1])


def test_types_follow_the_input():
    counts = np.ones((2, 4, 3), np.int32)
    assert isinstance(dice(counts), np.ndarray) and dice(counts).dtype == np.float64
    assert jax.jit(dice)(counts).dtype == jnp.float32
    assert dice(counts).shape == (2, 4)


def test_large_counts_do_not_overflow():
    counts = np.array([2**30, 2**30, 2**30], np.int32)
    np.testing.assert_allclose(dice(counts), 0.5)
    np.testing.assert_allclose(dice(jnp.asarray(counts)), 0.5)


@pytest.mark.parametrize("metric", METRICS)
def test_refusals(metric):
    with pytest.raises(UsageError, match=r"counts: shape \(2,\)"):
        metric(np.zeros(2))
    with pytest.raises(UsageError, match="did you mean 'smooth1'"):
        metric(np.zeros(3), empty="smooth")


@pytest.mark.parametrize("counts, metrics", [([0, 1, 0], [dice, iou]),
                                             ([0, 0, 1], [dice, iou, recall])])  # fmt: skip
def test_one_wrong_pixel_is_not_an_empty_case(counts, metrics):
    assert [float(metric(np.array(counts))) for metric in metrics] == [0] * len(metrics)
