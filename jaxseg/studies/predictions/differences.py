"""What tells models apart on the same images, and each of them from the position-only baseline."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.metrics.bootstrap import RESAMPLES
from jaxseg.metrics.dice import recall
from jaxseg.metrics.paired import holm, sign_flip_p
from jaxseg.studies.image_bootstrap import interval, mean_and_resampled, resampled_sums
from jaxseg.studies.predictions.scores import (
    ALL,
    BASELINE,
    INDEX,
    INNER,
    OUTER,
    PER_IMAGE,
    POOLED,
    Arms,
    by_class,
    dice_by_image,
    index,
)


class Difference(NamedTuple):
    """model_a minus model_b, all classes together; metrics and bands as in `Score`.

    `n_images` take part; `n_left_out` have no value in one of the two, or no object in the band.
    """

    model_a: str
    model_b: str
    band: str
    metric: str
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_holm: float
    n_images: int
    n_left_out: int


class _Found(NamedTuple):
    difference: float
    resampled: np.ndarray
    shares: np.ndarray  # Of each image in the difference; an exchange flips its sign.
    has: np.ndarray


def differences(
    found: Arms, *, empty: str = "nan", resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """Every model against the first one, then every model against the baseline (per-image Dice).

    Paired by image: the interval resamples images, the same ones for both. p is that of exchanging
    the two models' predictions image by image (`sign_flip_p`). As both face the same truth, an
    exchange flips the sign of the image's share in a difference of pooled recalls and of indices,
    so the test holds for those as well. `p_holm` is corrected over the models compared with the
    first, metric by metric.

    Args:
      found, empty, resamples, seed: as in `prediction_scores.scores`.
    """
    counts = by_class(found.counts)[POOLED][:, :, [ALL, OUTER, INNER]]
    drawn = resampled_sums(counts, resamples, seed)
    each = dice_by_image(found.names, counts, empty)
    models = [k for k, name in enumerate(found.names) if name != BASELINE]
    rows: list[Difference] = []
    for metric, band in ((INDEX, "inner-outer"), ("recall", "outer"), (PER_IMAGE, "all")):
        family = []
        for k in models[1:]:
            pair = (found.names[k], found.names[0], band, metric)
            if metric == PER_IMAGE:
                family.append(_row(pair, _per_image(each[:, k] - each[:, 0], resamples, seed)))
            else:
                family.append(_row(pair, _pooled(metric, counts[:, [k, 0]], drawn[:, [k, 0]])))
        rows += _corrected(family)
    for k in models if BASELINE in found.names else []:
        pair = (found.names[k], BASELINE, "all", PER_IMAGE)
        rows.append(_row(pair, _per_image(each[:, k] - each[:, -1], resamples, seed)))
    return rows


def _per_image(each: np.ndarray, resamples: int, seed: int) -> _Found:
    value, sample = mean_and_resampled(each, resamples, seed)
    return _Found(value, sample, each, ~np.isnan(each))


def _pooled(metric: str, counts: np.ndarray, drawn: np.ndarray) -> _Found:
    """Of counts [images, 2, regions, 3] and their resampled sums [resamples, 2, regions, 3]."""

    def value(sums: np.ndarray) -> np.ndarray:
        each = index(sums) if metric == INDEX else recall(sums[..., OUTER, :])
        return each[..., 0] - each[..., 1]

    hits, truth = counts[:, 0, :, 0] - counts[:, 1, :, 0], counts[:, 0, :, 0] + counts[:, 0, :, 2]
    shares = hits / np.maximum(truth.sum(axis=0), 1)
    region = ALL if metric == INDEX else OUTER
    of_image = shares[:, INNER] - shares[:, OUTER] if metric == INDEX else shares[:, OUTER]
    return _Found(float(value(counts.sum(axis=0))), value(drawn), of_image, truth[:, region] > 0)


def _row(pair: tuple[str, str, str, str], found: _Found) -> Difference:
    n = int(found.has.sum())
    low, high = interval(found.difference, found.resampled, n)
    p = math.nan if math.isnan(found.difference) else sign_flip_p(found.shares[found.has])
    return Difference(*pair, found.difference, low, high, p, p, n, len(found.has) - n)


def _corrected(family: Sequence[Difference]) -> list[Difference]:
    p_values = holm(np.array([row.p for row in family])) if family else []
    return [row._replace(p_holm=float(p)) for row, p in zip(family, p_values)]
