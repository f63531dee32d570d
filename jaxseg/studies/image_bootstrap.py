"""Intervals over images: they are drawn anew, the same ones for all that is compared."""

import math

import numpy as np

from jaxseg.metrics.bootstrap import LEVEL, resampled_items, two_level_interval

IMAGES = 8192  # Summed at a time.


def resampled_sums(by_image: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over images drawn with replacement: [images, …] -> float64 [resamples, …].

    The draws depend on the number of images, `resamples` and `seed` alone, so that what is summed
    in two calls stays paired; they are those of `jaxseg.metrics.statistics`.
    """
    flat = by_image.reshape(len(by_image), -1)
    draws = resampled_items(np.arange(len(flat)), resamples, seed)
    sums = [_weighted_sum(weights, flat) for weights in draws]
    return np.concatenate(sums).reshape(-1, *by_image.shape[1:])


def _weighted_sum(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """weights [draws, images] @ values [images, k], never all of the values as floats."""
    total = np.zeros((len(weights), values.shape[1]))
    for start in range(0, len(values), IMAGES):
        part = slice(start, start + IMAGES)
        total += weights[:, part] @ values[part].astype(float)
    return total


def mean_and_resampled(each: np.ndarray, resamples: int, seed: int) -> tuple[float, np.ndarray]:
    """Mean of float [images] without its NaN, and the same of every resample: [resamples]."""
    defined = ~np.isnan(each)
    value = float(each[defined].mean()) if defined.any() else math.nan
    columns = np.stack([np.where(defined, each, 0), defined], axis=1)
    sums, numbers = resampled_sums(columns, resamples, seed).T
    return value, np.divide(sums, numbers, out=np.full(len(sums), math.nan), where=numbers > 0)


def interval(value: float, resampled: np.ndarray, n_images: int) -> tuple[float, float]:
    """95 % percentile interval; NaN where the value is, and for fewer than two images."""
    if n_images < 2 or math.isnan(value):
        return math.nan, math.nan
    return two_level_interval(np.array([value]), resampled[:, None], LEVEL, 0)
