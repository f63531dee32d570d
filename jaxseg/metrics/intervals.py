"""Means with 95 % intervals: over images, and over seeds and images."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.metrics.bootstrap import LEVEL, RESAMPLES, resampled_items, two_level_interval

_SEED = 0


class Estimate(NamedTuple):
    """A mean with the interval about it, and how many images had a value."""

    value: float
    low: float
    high: float
    n_images: int


def mean_estimate(values: NDArray[np.floating]) -> Estimate:
    """Mean over images, NaN left out, with a 95 % interval.

    Images are bootstrapped; where there are several seeds their means come in by Student's t (see
    `jaxseg.metrics.bootstrap`). Equal numbers of images are drawn alike in every call.

    Args:
      values: float [images], or [seeds, images] of networks that differ in nothing but the seed.
    Returns:
      The estimate; its interval is NaN for fewer than two images with a value.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    defined = ~np.isnan(values).any(axis=0)
    n = int(defined.sum())
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    kept = values[:, defined]
    value = float(kept.mean())
    if n < 2:
        return Estimate(value, math.nan, math.nan, n)
    draws = resampled_items(np.arange(n), RESAMPLES, _SEED)
    resampled = np.concatenate([weights @ kept.T / n for weights in draws])
    low, high = two_level_interval(kept.mean(axis=1), resampled, LEVEL, _SEED)
    return Estimate(value, low, high, n)
