"""Grids with a known truth: intervals cover it, p values keep their level, contrasts are unbiased.

Scores are simulated as a grid gives them: arms share seeds and images, every seed and every image
reacts to an arm in its own way, and each network errs on each image.
"""

import functools

import numpy as np
import pytest
from scipy import stats

from jaxseg.metrics.dice import dice
from jaxseg.metrics.statistics import contrast, item_mean, pooled

pytestmark = pytest.mark.slow
GRIDS, IMAGES, EFFECT = 500, 60, 0.05
BY_SEED, BY_IMAGE, NOISE = 0.05, 0.1, 0.1  # SD of the reactions to an arm, and of the rest


def arm_scores(rng, n_seeds, effects):
    """Scores of every arm: float [arms, seeds, images]."""
    shared = 0.7 + rng.normal(0, 0.1, (n_seeds, 1)) + rng.normal(0, 0.15, IMAGES)
    return [
        shared
        + effect
        + rng.normal(0, BY_SEED, (n_seeds, 1))
        + rng.normal(0, BY_IMAGE, IMAGES)
        + rng.normal(0, NOISE, (n_seeds, IMAGES))
        for effect in effects
    ]


def contrasts(n_seeds, effects, weights, seed, resamples=1000):
    """The contrast of every simulated grid."""
    compare = functools.partial(
        contrast, weights=weights, statistic=item_mean, clusters=np.arange(IMAGES),
        resamples=resamples,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    return [compare(arm_scores(rng, n_seeds, effects), seed=grid) for grid in range(GRIDS)]


@pytest.mark.parametrize("n_seeds", [6, 10])
def test_intervals_of_paired_differences_cover_the_truth(n_seeds):
    found = contrasts(n_seeds, [EFFECT, 0.0], [1, -1], seed=n_seeds)
    covered = np.mean([one.ci_low <= EFFECT <= one.ci_high for one in found])
    assert 0.93 <= covered <= 0.97, covered


@pytest.mark.parametrize("n_seeds", [6, 10])
def test_intervals_of_pooled_dice_cover_the_truth(n_seeds):
    def counts(rng, seeds, images):
        """tp, fp, fn int [2, seeds, images, 1, 1, 3]; the first arm misses more."""
        size = rng.integers(50, 400, images)
        skill = rng.normal(1.2, 0.3, (2, seeds, 1)) + rng.normal(0, 0.5, images)
        hit = 1 / (1 + np.exp(-(skill - np.array([0.4, 0.0])[:, None, None])))
        tp, fp = rng.binomial(size, hit), rng.poisson(0.1 * size, hit.shape)
        return np.stack([tp, fp, size - tp], axis=-1)[:, :, :, None, None]

    large = counts(np.random.default_rng(0), 2000, 1000)[:, :, :, 0, 0]
    sums = large.sum(axis=2, dtype=float)
    truth = np.subtract(*dice(sums).mean(axis=1))
    rng, covered = np.random.default_rng(n_seeds), 0
    for grid in range(GRIDS):
        found = contrast(
            list(counts(rng, n_seeds, IMAGES)), [1, -1], pooled(dice),
            clusters=np.arange(IMAGES), resamples=1000, seed=grid,
        )  # fmt: skip
        covered += found.ci_low <= truth <= found.ci_high
    assert 0.93 <= covered / GRIDS <= 0.97, covered / GRIDS


@pytest.mark.parametrize("n_seeds", [6, 8, 10])
def test_without_an_effect_the_sign_flip_test_keeps_its_level(n_seeds):
    rng, rejected = np.random.default_rng(n_seeds), 0
    for _ in range(GRIDS):
        arms = [
            rng.normal(0, BY_SEED, (n_seeds, 1)) + rng.normal(0, NOISE, (n_seeds, IMAGES))
            for _ in range(2)
        ]
        found = contrast(arms, [1, -1], item_mean, clusters=np.arange(IMAGES), resamples=1)
        rejected += found.p <= 0.05
    assert stats.binomtest(rejected, GRIDS, 0.05, alternative="greater").pvalue > 0.01, rejected


def test_the_interaction_is_unbiased():
    effects = [0.1, 0.02, 0.05, 0.04]
    truth = effects[0] - effects[1] - effects[2] + effects[3]
    found = contrasts(6, effects, [1, -1, -1, 1], seed=1, resamples=1)
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(GRIDS)
