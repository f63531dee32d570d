"""The rows of summary.csv: every number of every arm with its interval, in tidy form."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.metrics import statistics
from jaxseg.metrics.bands import border_ring_edges, square_ring_edges
from jaxseg.metrics.bootstrap import LEVEL, RESAMPLES
from jaxseg.metrics.dice import dice, iou, recall
from jaxseg.studies.results import (
    Results,
    clusters,
    counts,
    setting,
)
from jaxseg.studies.rows import EstimateRow

# Intervals of single bands are drawn as shading, where fewer resamples do.
BAND_RESAMPLES = 400
SEED = 0

# Bands of `regions`: the ring within eval.border_px of the border, and all the rest.
OUTER, INNER = 0, 1

SHARE = (0.0, 1.0)  # what a metric can be
DIFFERENCE = (-1.0, 1.0)  # of two shares


def regions(border: np.ndarray) -> np.ndarray:
    """Sums border counts [..., bands, classes, 3] to [..., 2, 1, 3]: outer ring and the rest.

    The rings are `eval.border_px` wide, so that ring 0 is the outer region. Classes are summed.
    """
    border = border.sum(axis=-2, keepdims=True)
    return np.concatenate([border[..., :1, :, :], border[..., 1:, :, :].sum(-3, keepdims=True)], -3)


def index_statistic() -> statistics.Statistic:
    """The border shortcut index of `regions`: inner minus outer recall, both pooled."""
    return statistics.difference(
        statistics.pooled(recall, bands=[INNER]), statistics.pooled(recall, bands=[OUTER])
    )


def summary(results: Results) -> list[EstimateRow]:
    """All rows, arm by arm in grid order. Intervals: two-level bootstrap over seeds and images.

    `eval.resamples` resamples for the numbers of the whole frame, BAND_RESAMPLES for single rings.
    """
    return [
        row
        for arm in results.arms
        for test_set in results.test_sets
        for row in _arm_rows(results, arm, test_set)
    ]


def band_labels(results: Results, layout: str, bands: int) -> list[str]:
    """Names of the rings in band order, such as `centre:18` or `border:0-8` (px of data.size).

    Raises JaxsegError when the stored counts have another number of rings than the config gives.
    """
    size = int(setting(results, "data.size", 256))
    if layout == "centre":
        width = setting(results, "eval.ring_width", 10) * size / 256
        labels = [f"centre:{edge:g}" for edge in square_ring_edges(size, width)]
    else:
        edges = [0, *border_ring_edges(size, setting(results, "eval.border_px", 8))]
        labels = [f"border:{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    if len(labels) != bands:
        raise JaxsegError(
            f"{results.workdir / 'counts'}: {bands} {layout} rings, but config.json (data.size, "
            f"eval.ring_width, eval.border_px) makes {len(labels)}; run the evaluation again"
        )
    return labels


def _arm_rows(results: Results, arm: str, test_set: str) -> Iterator[EstimateRow]:
    items, image = counts(results, arm, test_set, "border"), clusters(results, test_set)
    border = by_image(items, image)
    centre = by_image(counts(results, arm, test_set, "centre"), image)
    resamples = int(setting(results, "eval.resamples", RESAMPLES))
    scored = Scored(arm, test_set, regions(border), resamples)
    for metric in (dice, iou, recall):
        yield row_of(scored, "all", metric.__name__, statistics.pooled(metric))
    yield from _per_image_rows(
        scored._replace(parts=regions(items)), image, setting(results, "eval.empty", "nan")
    )
    yield from class_rows(scored, border, results.data.get("classes") or [])
    yield from _region_rows(scored)
    yield from _band_rows(results, scored, "centre", centre)
    yield from _band_rows(results, scored, "border", border)


def _per_image_rows(scored: Scored, image: np.ndarray, empty: str) -> Iterator[EstimateRow]:
    """Mean over items and the SD between items of one run, averaged over runs."""
    metric = functools.partial(dice, empty=empty)
    mean = row_of(scored, "all", "dice_per_image", statistics.per_image(metric), image)
    yield mean
    yield spread_row(mean, metric(scored.parts.sum(axis=2)[:, :, 0]))


def class_rows(scored: Scored, border: np.ndarray, names: Sequence[str]) -> Iterator[EstimateRow]:
    """Dice of each class where there are several; all other rows hold the classes together."""
    if border.shape[-2] == 1:
        return
    for k in range(border.shape[-2]):
        name = printable(names[k]) if k < len(names) else str(k + 1)
        one = scored._replace(parts=regions(border[..., k : k + 1, :]))
        yield row_of(one, "all", f"dice:{name}", statistics.pooled(dice))


def _region_rows(scored: Scored) -> Iterator[EstimateRow]:
    yield row_of(scored, "outer", "recall", statistics.pooled(recall, bands=[OUTER]))
    yield row_of(scored, "inner", "recall", statistics.pooled(recall, bands=[INNER]))
    yield row_of(
        scored, "inner-outer", "border_shortcut_index", index_statistic(), within=DIFFERENCE
    )


def _band_rows(
    results: Results, scored: Scored, layout: str, rings: np.ndarray
) -> Iterator[EstimateRow]:
    rings = rings.sum(axis=-2, keepdims=True)
    for k, label in enumerate(band_labels(results, layout, rings.shape[2])):
        one = scored._replace(parts=rings[:, :, k : k + 1], resamples=BAND_RESAMPLES)
        yield row_of(one, label, "dice", statistics.pooled(dice))
        if layout == "border":
            yield row_of(one, label, "recall", statistics.pooled(recall))


