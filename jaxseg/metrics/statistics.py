"""Estimates and contrasts of arms, paired by seed, from stored counts (numpy only).

A `Statistic` maps counts [seeds, items, …] and item weights [resamples, items] to values
[resamples, seeds]; a row of ones is the observed data. Items are the scored pictures (an image, or
each of its quarters); the clusters that are resampled are the images.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import UsageError
from jaxseg.metrics.bootstrap import (
    LEVEL,
    RESAMPLES,
    image_error,
    resampled_items,
    single_items,
    two_level_interval,
)
from jaxseg.metrics.power import seed_figures

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
Metric = Callable[[np.ndarray], np.ndarray]
Bands = slice | Sequence[int]


class ArmEstimate(NamedTuple):
    """One arm. `n_left_out` of the `n_cases` = seeds × items have no value."""

    value: float
    ci_low: float
    ci_high: float
    sd_seeds: float
    n_seeds: int
    n_images: int
    n_left_out: int
    n_cases: int


class Contrast(NamedTuple):
    """A weighted sum of arms. `per_seed` float [seeds]; `n_left_out` of its values are NaN."""

    value: float
    ci_low: float
    ci_high: float
    p: float
    p_floor: float
    n_seeds: int
    n_images: int
    sd: float
    smallest_detectable: float
    seeds_needed: float
    per_seed: np.ndarray
    n_left_out: int


def pooled(metric: Metric, bands: Bands = slice(None), cls: int = 0) -> Statistic:
    """Micro average: counts summed over items and the chosen bands, then the metric.

    Expects counts [seeds, items, bands, classes, 3]; `metric` is `dice`, `recall`, … or a partial
    of one. Items without truth and prediction add nothing.
    """

    def statistic(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        chosen = _chosen(counts, bands, cls)
        seeds, items, _ = chosen.shape
        sums = weights @ chosen.transpose(1, 0, 2).reshape(items, seeds * 3)
        return metric(sums.reshape(-1, seeds, 3))

    return statistic


def per_image(metric: Metric, bands: Bands = slice(None), cls: int = 0) -> Statistic:
    """Macro average: the metric of every item over the chosen bands, then their mean.

    Expects counts [seeds, items, bands, classes, 3]. Items whose metric is NaN are left out, in
    each arm and seed on its own.
    """

    def statistic(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return item_mean(metric(_chosen(counts, bands, cls)), weights)

    return statistic


def item_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The statistic of values that are scores already: their mean over items.

    Expects float [seeds, items] in place of counts; NaN is left out, in each seed on its own.
    """
    defined = ~np.isnan(values.T)
    return _ratio(weights @ np.where(defined, values.T, 0), weights @ defined.astype(float))


def difference(first: Statistic, second: Statistic) -> Statistic:
    """first - second on the same counts, e.g. recall of inner minus outer bands."""

    def statistic(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return first(counts, weights) - second(counts, weights)

    return statistic


def estimate(
    counts: np.ndarray,
    statistic: Statistic,
    *,
    clusters: np.ndarray,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> ArmEstimate:
    """Mean over seeds of the statistic on all items, with the two-level interval of `contrast`.

    Args:
      counts: int [seeds, items, …], what `statistic` takes.
      clusters: int [items], the image each item comes from.
      resamples: number of bootstrap resamples.
      level: of the interval, in (0, 1).
      seed: of the resampling; the same arguments give the same interval.
    Returns:
      An ArmEstimate. Seeds whose statistic is NaN are left out; `n_seeds` counts the others.
    Raises:
      UsageError: shapes that do not fit, resamples < 1 or a level outside (0, 1).
    """
    _check([counts], [1.0], clusters, resamples, level)
    per_seed, resampled = _bootstrap([counts], [1.0], statistic, clusters, resamples, seed)
    kept = ~np.isnan(per_seed)
    low, high = two_level_interval(per_seed[kept], resampled[:, kept], level, seed)
    n_left_out = sum(
        int(np.isnan(statistic(counts, rows)).sum()) for rows in single_items(counts.shape[1])
    )
    return ArmEstimate(
        value=_mean(per_seed[kept]),
        ci_low=low,
        ci_high=high,
        sd_seeds=_sd(per_seed[kept]),
        n_seeds=int(kept.sum()),
        n_images=len(np.unique(clusters)),
        n_left_out=n_left_out,
        n_cases=counts.shape[0] * counts.shape[1],
    )


def contrast(
    arms: Sequence[np.ndarray],
    weights: Sequence[float],
    statistic: Statistic,
    *,
    clusters: np.ndarray,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Contrast:
    """sum_k weights[k] * statistic(arms[k]), paired by seed and image.

    [1, -1] is the difference of two arms, [1, -1, -1, 1] the interaction (difference of
    differences). Seeds for which any arm's statistic is NaN are left out of all arms.

    The interval has two levels. Images are resampled with replacement, the same ones in every arm
    and seed. Seeds are too few to resample: each resample adds a draw of Student's t with n - 1
    degrees of freedom times the standard error over the n seeds; percentiles are then taken.
    `two_level_interval` lists the simulated coverage.

    p is the exact two-sided sign-flip p over seeds (`sign_flip_p`) and `p_floor` the smallest this
    number of seeds can give. `smallest_detectable` is the true difference for which, with
    80 % power, the interval excludes 0 and p is at most 1 - level, given the spread seen: inf for
    too few seeds (under 6 for 0.05). `seeds_needed` are those for that power at the observed
    difference on the same images, inf for more than 1000. See `metrics.power`.

    With one seed the interval covers images only, and p, sd and both power figures are NaN.

    Args:
      arms: counts of each arm, int [seeds, items, …]; seed s of every arm belongs together.
      weights: one number an arm.
      clusters, resamples, level, seed: as in `estimate`.
    Raises:
      UsageError: arms of different seeds or items, and as `estimate`.
    """
    _check(arms, weights, clusters, resamples, level)
    per_seed, resampled = _bootstrap(arms, weights, statistic, clusters, resamples, seed)
    kept = ~np.isnan(per_seed)
    differences = per_seed[kept]
    low, high = two_level_interval(differences, resampled[:, kept], level, seed)
    return Contrast(
        value=_mean(differences),
        ci_low=low,
        ci_high=high,
        n_seeds=len(differences),
        n_images=len(np.unique(clusters)),
        per_seed=per_seed,
        n_left_out=len(per_seed) - len(differences),
        **seed_figures(differences, image_error(resampled[:, kept]), 1 - level),
    )


def _chosen(counts: np.ndarray, bands: Bands, cls: int) -> np.ndarray:
    """Counts of one class summed over the chosen bands: float [seeds, items, 3]."""
    return counts[:, :, :, cls][:, :, bands].sum(axis=2, dtype=float)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, math.nan), where=whole > 0)


def _bootstrap(arms, weights, statistic, clusters, resamples, seed):
    """Per-seed values of the weighted arms: observed [seeds] and resampled [resamples, seeds]."""

    def combined(item_weights: np.ndarray) -> np.ndarray:
        terms = [w * statistic(arm, item_weights) for w, arm in zip(weights, arms, strict=True)]
        return np.sum(terms, axis=0)

    per_seed = combined(np.ones((1, len(clusters))))[0]
    blocks = [combined(rows) for rows in resampled_items(clusters, resamples, seed)]
    return per_seed, np.concatenate(blocks)


def _check(arms, weights, clusters, resamples, level) -> None:
    if len(arms) == 0 or len(arms) != len(weights):
        raise UsageError(f"weights: {len(weights)} numbers for {len(arms)} arms; give one an arm")
    shapes = [tuple(arm.shape) for arm in arms]
    if len(shapes[0]) < 2 or 0 in shapes[0][:2] or any(s != shapes[0] for s in shapes):
        raise UsageError(f"arms: shapes {shapes} must be one [seeds, items, …], none of them empty")
    if np.shape(clusters) != shapes[0][1:2]:
        raise UsageError(
            f"clusters: shape {np.shape(clusters)} must be the items', {shapes[0][1:2]}"
        )
    if resamples < 1:
        raise UsageError(f"resamples={resamples}: must be at least 1")
    if not 0 < level < 1:
        raise UsageError(f"level={level}: must lie between 0 and 1, e.g. 0.95")
