"""Images with nothing there and nothing predicted have no Dice; they must not decide a comparison.

Two arms are drawn with any share of empty images. Counts are int [seeds, images, 1, 1, 3].
"""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxseg.metrics.dice import EMPTY, dice, recall
from jaxseg.metrics.statistics import contrast, difference, per_image, pooled

SEEDS, IMAGES = 4, 6
STATISTICS = [pooled, per_image]
few = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def truths(draw):
    """Object pixels of every image, int [images]; about half of the images are empty."""
    sizes = st.one_of(st.just(0), st.integers(1, 50))
    return draw(arrays(np.int64, IMAGES, elements=sizes))


@st.composite
def predictions(draw, truth):
    """Counts of an arm against `truth`; exactly empty predictions are likely."""
    shape = (SEEDS, IMAGES)
    share = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.3, 0.8, 1.0])))
    found = np.floor(share * truth).astype(np.int64)
    wrong = draw(arrays(np.int64, shape, elements=st.sampled_from([0, 0, 1, 20])))
    return np.stack([found, wrong, truth - found], axis=-1)[:, :, None, None]


@st.composite
def pairs_of_arms(draw):
    truth = draw(truths())
    return draw(predictions(truth)), draw(predictions(truth))


def compare(first, second, statistic):
    return contrast(
        [first, second], [1, -1], statistic, clusters=np.arange(first.shape[1]), resamples=20
    )


def worse(arm, draw):
    """The same arm with some hits lost and some pixels falsely found, image by image."""
    counts = arm.copy()
    kept = draw(arrays(np.float64, arm.shape[:2], elements=st.sampled_from([0.0, 0.5, 1.0])))
    counts[..., 0] = np.floor(kept[..., None, None] * arm[..., 0])
    counts[..., 2] += arm[..., 0] - counts[..., 0]
    more = draw(arrays(np.int64, arm.shape[:2], elements=st.sampled_from([0, 0, 3])))
    counts[..., 1] += more[..., None, None]
    return counts


@few
@given(pairs=pairs_of_arms(), empties=st.integers(1, 20))
@pytest.mark.parametrize("statistic", STATISTICS)
def test_images_empty_in_both_arms_change_nothing(statistic, pairs, empties):
    nothing = np.zeros((SEEDS, empties, 1, 1, 3), np.int64)
    padded = [np.concatenate([arm, nothing], axis=1) for arm in pairs]
    plain, more = compare(*pairs, statistic(dice)), compare(*padded, statistic(dice))
    np.testing.assert_array_almost_equal(more.per_seed, plain.per_seed, decimal=12)
    np.testing.assert_allclose((more.value, more.p), (plain.value, plain.p), atol=1e-12)


@few
@given(pairs=pairs_of_arms(), empties=st.integers(1, 20))
@pytest.mark.parametrize("rule", ["one", "smooth1"])
def test_scored_empty_images_dilute_a_difference_and_keep_its_sign(rule, pairs, empties):
    nothing = np.zeros((SEEDS, empties, 1, 1, 3), np.int64)
    padded = [np.concatenate([arm, nothing], axis=1) for arm in pairs]
    scored = per_image(functools.partial(dice, empty=rule))
    plain, more = compare(*pairs, scored), compare(*padded, scored)
    share = IMAGES / (IMAGES + empties)
    np.testing.assert_allclose(more.per_seed, share * plain.per_seed, atol=1e-12)
    assert more.p == plain.p


@few
@given(data=st.data())
@pytest.mark.parametrize("rule", EMPTY)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_an_arm_at_least_as_good_on_every_image_is_never_ranked_below(statistic, rule, data):
    """Also where being right on an empty image means that the image is left out."""
    arm = data.draw(predictions(data.draw(truths())))
    found = compare(arm, worse(arm, data.draw), statistic(functools.partial(dice, empty=rule)))
    defined = found.per_seed[~np.isnan(found.per_seed)]
    assert (defined >= -1e-12).all()


@few
@given(pairs=pairs_of_arms())
@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_order_of_the_arms_turns_the_sign_and_nothing_else(statistic, pairs):
    there, back = compare(*pairs, statistic(dice)), compare(*pairs[::-1], statistic(dice))
    np.testing.assert_array_equal(there.per_seed, -back.per_seed)
    assert (there.n_left_out, there.n_seeds) == (back.n_left_out, back.n_seeds)
    np.testing.assert_array_equal((there.p, there.sd), (back.p, back.sd))


@few
@given(pairs=pairs_of_arms(), lost=st.integers(0, SEEDS - 1))
def test_a_seed_without_a_value_in_one_arm_leaves_both(pairs, lost):
    """Such as a border index of an arm in a seed without any true pixel at the border."""
    first, second = (arm.copy() for arm in pairs)
    first[:, 0, ..., 0] += 1  # every other seed has a value
    second[:, 0, ..., 0] += 1
    first[lost, ..., 0] = first[lost, ..., 2] = 0
    statistic = difference(pooled(recall), pooled(functools.partial(recall, empty="one")))
    kept = [s for s in range(SEEDS) if s != lost]
    found = compare(first, second, statistic)
    alone = compare(first[kept], second[kept], statistic)
    assert (found.n_left_out, found.n_seeds) == (1, SEEDS - 1)
    assert (found.value, found.p, found.p_floor) == (alone.value, alone.p, alone.p_floor)
