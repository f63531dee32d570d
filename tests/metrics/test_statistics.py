"""Statistics against loops over images and seeds; contrasts by their properties."""

import functools
import math

import numpy as np
import pytest
from scipy import stats

from jaxseg.errors import UsageError
from jaxseg.metrics.bootstrap import resampled_items, single_items, two_level_interval
from jaxseg.metrics.dice import dice, recall
from jaxseg.metrics.statistics import contrast, difference, estimate, per_image, pooled

SEEDS, ITEMS, BANDS, CLASSES = 4, 24, 5, 2
IMAGES = np.arange(ITEMS)


def make_counts(rng_seed=0, seeds=SEEDS, hits=0.7):
    rng = np.random.default_rng(rng_seed)
    truth = rng.integers(0, 60, size=(1, ITEMS, BANDS, CLASSES))
    tp = rng.binomial(np.broadcast_to(truth, (seeds, *truth.shape[1:])), hits)
    return np.stack([tp, rng.poisson(8, tp.shape), truth - tp], axis=-1).astype(np.int32)


def mean_of_items(counts, weights):
    """A plain statistic for simulations: the weighted mean of counts [seeds, items]."""
    return weights @ counts.T / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("bands", [slice(None), slice(1, 3), [0, 4]])
@pytest.mark.parametrize("cls", [0, 1])
def test_statistics_equal_loops_over_repeated_items(bands, cls):
    counts = make_counts()
    weights = np.random.default_rng(1).integers(0, 3, size=(3, ITEMS)).astype(float)
    chosen = [b for b in np.arange(BANDS)[bands]]
    for row, multiplicity in enumerate(weights):
        items = np.repeat(IMAGES, multiplicity.astype(int))
        for seed in range(SEEDS):
            per_item = counts[seed, items][:, chosen, cls].sum(axis=1)
            scores = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in per_item]
            tp, fp, fn = per_item.sum(axis=0)
            micro = pooled(dice, bands, cls)(counts, weights)[row, seed]
            macro = per_image(dice, bands, cls)(counts, weights)[row, seed]
            assert micro == pytest.approx(2 * tp / (2 * tp + fp + fn))
            assert macro == pytest.approx(np.mean(scores))


def test_per_image_leaves_out_empty_items_and_estimate_counts_them():
    counts = make_counts()
    counts[:, :5] = 0
    counts[0, 5] = 0
    kept = per_image(dice)(counts, np.ones((1, ITEMS)))
    assert kept[0, 1] == pytest.approx(np.mean(dice(counts[1, 5:, :, 0].sum(axis=1))))
    found = estimate(counts, per_image(dice), clusters=IMAGES, resamples=50)
    assert (found.n_left_out, found.n_cases) == (5 * SEEDS + 1, SEEDS * ITEMS)
    as_one = functools.partial(dice, empty="one")
    assert estimate(counts, per_image(as_one), clusters=IMAGES, resamples=50).n_left_out == 0


def test_estimate_is_the_mean_over_seeds_and_reproducible():
    counts, statistic = make_counts(), pooled(dice, slice(1, None), 1)
    found = estimate(counts, statistic, clusters=IMAGES, resamples=500)
    per_seed = dice(counts[:, :, 1:, 1].sum(axis=(1, 2)))
    assert found.value == pytest.approx(per_seed.mean())
    assert found.sd_seeds == pytest.approx(per_seed.std(ddof=1))
    assert found.ci_low < found.value < found.ci_high
    assert (found.n_seeds, found.n_images) == (SEEDS, ITEMS)
    assert estimate(counts, statistic, clusters=IMAGES, resamples=500) == found
    assert estimate(counts, statistic, clusters=IMAGES, resamples=500, seed=1) != found


def test_two_seeds_have_a_spread_and_one_has_none():
    counts = make_counts(seeds=2)
    per_seed = dice(counts.sum(axis=(1, 2))[:, 0])
    found = estimate(counts, pooled(dice), clusters=IMAGES, resamples=1)
    assert found.sd_seeds == pytest.approx(np.ptp(per_seed) / math.sqrt(2))
    assert math.isnan(estimate(counts[:1], pooled(dice), clusters=IMAGES, resamples=1).sd_seeds)


def test_a_wider_level_gives_a_wider_interval():
    narrow, wide = (
        estimate(make_counts(), pooled(dice), clusters=IMAGES, level=level) for level in (0.8, 0.99)
    )
    assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high


def test_interaction_is_the_difference_of_pair_contrasts():
    a, b, c, d = (make_counts(s, hits=h) for s, h in enumerate([0.9, 0.7, 0.8, 0.75]))
    compare = functools.partial(contrast, statistic=pooled(dice), clusters=IMAGES, resamples=200)
    interaction = compare([a, b, c, d], [1, -1, -1, 1])
    first, second = compare([a, b], [1, -1]), compare([c, d], [1, -1])
    np.testing.assert_allclose(interaction.per_seed, first.per_seed - second.per_seed)
    assert interaction.value == pytest.approx(first.value - second.value)
    one_arm = compare([a], [1.0])
    alone = estimate(a, pooled(dice), clusters=IMAGES, resamples=200)
    assert one_arm.value == alone.value
    assert (one_arm.ci_low, one_arm.ci_high) == (alone.ci_low, alone.ci_high)


def test_swapping_the_arms_mirrors_the_contrast():
    a, b = make_counts(0, hits=0.9), make_counts(1)
    forth = contrast([a, b], [1, -1], pooled(dice), clusters=IMAGES)
    back = contrast([b, a], [1, -1], pooled(dice), clusters=IMAGES)
    assert back.value == pytest.approx(-forth.value)
    assert (back.ci_low, back.ci_high) == pytest.approx((-forth.ci_high, -forth.ci_low))
    assert (back.p, back.sd) == pytest.approx((forth.p, forth.sd))


def test_pairing_cancels_what_arms_share():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, size=(6, 1)) + rng.normal(0, 10, size=(1, 50))
    a, b = (shared + shift + rng.normal(0, 0.1, size=(6, 50)) for shift in (1.0, 0.0))
    paired = contrast([a, b], [1, -1], mean_of_items, clusters=np.arange(50))
    alone = estimate(a, mean_of_items, clusters=np.arange(50))
    assert paired.value == pytest.approx(1, abs=0.1)
    assert paired.ci_high - paired.ci_low < 0.2 < 5 < alone.ci_high - alone.ci_low
    assert paired.p == paired.p_floor == 0.03125
    shuffled = contrast([a, b[::-1]], [1, -1], mean_of_items, clusters=np.arange(50))
    assert shuffled.sd > 20 * paired.sd


def test_items_of_one_image_are_resampled_together():
    quarters = np.repeat(np.random.default_rng(0).normal(size=(1, 30)), 4, axis=1)
    as_images = estimate(quarters, mean_of_items, clusters=np.arange(120))
    as_quarters = estimate(quarters, mean_of_items, clusters=np.repeat(np.arange(30), 4))
    ratio = (as_quarters.ci_high - as_quarters.ci_low) / (as_images.ci_high - as_images.ci_low)
    assert ratio == pytest.approx(2, rel=0.1)
    assert (as_images.n_images, as_quarters.n_images) == (120, 30)


def test_difference_is_a_shortcut_index():
    inner, outer = pooled(recall, slice(0, 2)), pooled(recall, [4])
    counts = make_counts()
    index = estimate(counts, difference(inner, outer), clusters=IMAGES, resamples=50)
    parts = [estimate(counts, s, clusters=IMAGES, resamples=50).value for s in (inner, outer)]
    assert index.value == pytest.approx(parts[0] - parts[1])


def test_one_seed_has_an_interval_over_images_only():
    a, b = make_counts(0, seeds=1, hits=0.9), make_counts(1, seeds=1)
    found = contrast([a, b], [1, -1], pooled(dice), clusters=IMAGES)
    assert found.ci_low < found.value < found.ci_high
    assert all(math.isnan(x) for x in (found.p, found.sd, found.smallest_detectable))
    assert math.isnan(found.seeds_needed) and math.isnan(found.p_floor)


def test_seeds_without_a_value_are_left_out_of_every_arm():
    a, b = make_counts(0, hits=0.9), make_counts(1)
    broken = a.copy()
    broken[2] = 0
    found = contrast([broken, b], [1, -1], pooled(dice), clusters=IMAGES)
    whole = contrast([a[[0, 1, 3]], b[[0, 1, 3]]], [1, -1], pooled(dice), clusters=IMAGES)
    assert (found.n_seeds, found.n_left_out) == (3, 1)
    assert np.isnan(found.per_seed[2]) and found[:10] == whole[:10]


def test_nothing_defined_gives_nan_not_an_error():
    nothing = np.zeros((3, ITEMS, BANDS, CLASSES, 3), np.int32)
    found = contrast([nothing, nothing], [1, -1], per_image(dice), clusters=IMAGES, resamples=20)
    assert math.isnan(found.value) and math.isnan(found.ci_low) and math.isnan(found.p)
    assert (found.n_seeds, found.n_left_out) == (0, 3)
    assert estimate(nothing, pooled(dice), clusters=IMAGES, resamples=20).n_seeds == 0


def test_seeds_needed_respects_what_the_sign_flip_requires():
    rng = np.random.default_rng(0)
    a = 5 + rng.normal(0, 0.1, size=(3, 40))
    found = contrast([a, np.zeros_like(a)], [1, -1], mean_of_items, clusters=np.arange(40))
    assert (found.p, found.seeds_needed) == (0.25, 6)
    assert found.smallest_detectable == math.inf
    six = np.concatenate([a, a + 0.01])
    found = contrast([six, np.zeros_like(six)], [1, -1], mean_of_items, clusters=np.arange(40))
    assert 0 < found.smallest_detectable < found.value


def test_images_that_differ_make_less_detectable():
    rng = np.random.default_rng(0)
    seeds, images = rng.normal(0, 0.1, size=(6, 1)), rng.normal(0, 3, size=(1, 40))
    even, uneven = (
        contrast([a, np.zeros_like(a)], [1, -1], mean_of_items, clusters=np.arange(40))
        for a in (seeds + 0 * images, seeds + images)
    )
    assert uneven.sd == pytest.approx(even.sd)
    # 2.8 standard errors of the mean over images, for 80 % power at 5 %.
    assert uneven.smallest_detectable == pytest.approx(2.8 * images.std() / 40**0.5, rel=0.1)
    assert even.smallest_detectable < uneven.smallest_detectable / 5


def test_resampled_weights_keep_images_whole():
    clusters = np.array([7, 7, 3, 9, 9, 9])
    rows = np.concatenate(list(resampled_items(clusters, 500, seed=0)))
    assert rows.shape == (500, 6)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])
    np.testing.assert_array_equal(rows[:, [0, 2, 3]].sum(axis=1), 3)
    np.testing.assert_allclose(rows.mean(axis=0), 1, atol=0.1)
    np.testing.assert_array_equal(np.concatenate(list(single_items(6))), np.eye(6))


def test_blocks_do_not_change_the_draws(monkeypatch):
    whole = np.concatenate(list(resampled_items(IMAGES, 30, seed=0)))
    monkeypatch.setattr("jaxseg.metrics.bootstrap.BLOCK", 7 * ITEMS)
    np.testing.assert_array_equal(np.concatenate(list(resampled_items(IMAGES, 30, seed=0))), whole)
    np.testing.assert_array_equal(np.concatenate(list(single_items(ITEMS))), np.eye(ITEMS))


def test_without_image_noise_the_interval_is_students():
    per_seed = np.array([0.3, 0.5, 0.1, 0.4])
    found = two_level_interval(per_seed, np.tile(per_seed, (4000, 1)), 0.95, seed=0)
    oracle = stats.t.interval(0.95, 3, per_seed.mean(), stats.sem(per_seed))
    np.testing.assert_allclose(found, oracle, rtol=1e-2)


@pytest.mark.parametrize("n_seeds", [3, 6])
def test_intervals_cover(n_seeds):
    rng, hits, trials, images = np.random.default_rng(2), 0, 400, 40
    for trial in range(trials):
        seeds = rng.normal(size=(n_seeds, 1))
        pictures = rng.normal(0, math.sqrt(images / n_seeds) / 2, size=(1, images))
        found = estimate(
            seeds + pictures, mean_of_items, clusters=np.arange(images), resamples=400, seed=trial
        )
        hits += found.ci_low <= 0 <= found.ci_high
    assert 0.92 <= hits / trials <= 0.99


@pytest.mark.parametrize(
    "change, words",
    [
        ({"weights": [1.0]}, "weights: 1 numbers for 2 arms"),
        ({"arms": [np.zeros((2, 3)), np.zeros((2, 4))]}, "arms: shapes"),
        ({"arms": [np.zeros((0, 3))] * 2}, "arms: shapes"),
        ({"clusters": np.arange(4)}, r"clusters: shape \(4,\)"),
        ({"resamples": 0}, "resamples=0"),
        ({"level": 95}, "level=95"),
    ],
)
def test_misfits_are_refused_at_once(change, words):
    arguments = {"arms": [np.zeros((2, 3))] * 2, "weights": [1, -1], "clusters": np.arange(3)}
    with pytest.raises(UsageError, match=words):
        contrast(statistic=mean_of_items, **(arguments | change))


@pytest.mark.parametrize("per_seed", [[0.3, 0.5], [0.3, 0.5, 0.1]])
def test_two_seeds_have_students_interval_and_it_is_symmetric(per_seed):
    per_seed = np.array(per_seed)
    low, high = two_level_interval(per_seed, np.tile(per_seed, (999, 1)), 0.8, seed=0)
    assert low + high == pytest.approx(2 * per_seed.mean(), abs=1e-9)
    oracle = stats.t.interval(0.8, len(per_seed) - 1, per_seed.mean(), stats.sem(per_seed))
    np.testing.assert_allclose((low, high), oracle, atol=5e-3)


def test_a_contrast_counts_images_not_items_and_passes_its_level_on():
    arms = [make_counts(0, seeds=8, hits=0.9), make_counts(1, seeds=8)]
    quarters = np.repeat(np.arange(ITEMS // 4), 4)
    found, strict = (
        contrast(arms, [1, -1], pooled(dice), clusters=quarters, resamples=1, level=level)
        for level in (0.95, 0.99)
    )
    assert (found.n_images, found.n_seeds) == (ITEMS // 4, 8)
    assert found.sd == pytest.approx(found.per_seed.std(ddof=1))
    assert strict.smallest_detectable > found.smallest_detectable
    assert strict.seeds_needed > found.seeds_needed


def test_the_first_class_is_meant_where_none_is_named():
    counts, whole = make_counts(), np.ones((1, ITEMS))
    for make in (pooled, per_image):
        np.testing.assert_array_equal(make(dice)(counts, whole), make(dice, cls=0)(counts, whole))


@pytest.mark.parametrize("level", [0, 1, 1.5])
def test_levels_lie_between_0_and_1(level):
    with pytest.raises(UsageError, match=f"^level={level}:"):
        estimate(np.zeros((2, 3)), mean_of_items, clusters=np.arange(3), level=level)


def test_clusters_that_do_not_fit_are_refused_with_the_items():
    with pytest.raises(UsageError, match=r"clusters: shape \(4,\) must be the items', \(3,\)$"):
        estimate(np.zeros((2, 3, 5)), mean_of_items, clusters=np.arange(4))


def test_resampled_blocks_cover_all_resamples_whatever_their_size(monkeypatch):
    monkeypatch.setattr("jaxseg.metrics.bootstrap.BLOCK", 1)  # one row at a time
    rows = list(resampled_items(IMAGES, 5, seed=0))
    assert [row.shape for row in rows] == [(1, ITEMS)] * 5 and rows[0].dtype == float
    assert [row.shape for row in single_items(3)] == [(1, 3)] * 3
