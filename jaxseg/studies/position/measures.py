"""Every number of a grid by position: the rows of summary.csv and of comparisons.csv."""

import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.metrics import statistics
from jaxseg.metrics.bands import border_ring_edges, square_ring_edges
from jaxseg.metrics.dice import dice, iou, recall
from jaxseg.studies.results import Results
from jaxseg.studies.rows import (
    BAND_RESAMPLES,
    DIFFERENCE,
    INNER,
    OUTER,
    SHARE,
    ContrastRow,
    EstimateRow,
    Scored,
    by_image,
    class_rows,
    compare,
    corrected,
    designs,
    regions,
    row_of,
    spread_row,
)

INDEX = "border_shortcut_index"


# Every number from the counts of `regions`, by (band, metric).
NUMBERS = {
    ("all", "dice"): statistics.pooled(dice),
    ("all", "iou"): statistics.pooled(iou),
    ("all", "recall"): statistics.pooled(recall),
    ("outer", "recall"): statistics.pooled(recall, bands=[OUTER]),
    ("inner", "recall"): statistics.pooled(recall, bands=[INNER]),
    ("inner-outer", INDEX): statistics.difference(
        statistics.pooled(recall, bands=[INNER]), statistics.pooled(recall, bands=[OUTER])
    ),
}


def estimates(results: Results) -> list[EstimateRow]:
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
    size, border_px = results.scoring.size, results.scoring.border_px
    if layout == "centre":
        width = results.scoring.ring_width * size / 256
        labels = [f"centre:{edge:g}" for edge in square_ring_edges(size, width)]
    else:
        edges = [0, *border_ring_edges(size, border_px)]
        labels = [f"border:{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    if len(labels) != bands:
        raise JaxsegError(
            f"{results.place}: {bands} {layout} rings, but config.json (data.size, "
            f"eval.ring_width, eval.border_px) makes {len(labels)}; run the evaluation again"
        )
    return labels


def _arm_rows(results: Results, arm: str, test_set: str) -> Iterator[EstimateRow]:
    items, image = results.counts(arm, test_set, "border"), results.clusters(test_set)
    border = by_image(items, image)
    centre = by_image(results.counts(arm, test_set, "centre"), image)
    scored = Scored(arm, test_set, regions(border), results.scoring.resamples)
    yield from _number_rows(scored, [key for key in NUMBERS if key[0] == "all"])
    each = scored._replace(parts=regions(items))
    yield from _per_image_rows(each, image, results.scoring.empty)
    yield from class_rows(scored, border, results.data.get("classes") or [])
    yield from _number_rows(scored, [key for key in NUMBERS if key[0] != "all"])
    yield from _band_rows(results, scored, "centre", centre)
    yield from _band_rows(results, scored, "border", border)


def _per_image_rows(scored: Scored, image: np.ndarray, empty: str) -> Iterator[EstimateRow]:
    """Mean over items and the SD between items of one run, averaged over runs."""
    metric = functools.partial(dice, empty=empty)
    mean = row_of(scored, "all", "dice_per_image", statistics.per_image(metric), image)
    yield mean
    yield spread_row(mean, metric(scored.parts.sum(axis=2)[:, :, 0]))


def _number_rows(scored: Scored, keys: Sequence[tuple[str, str]]) -> Iterator[EstimateRow]:
    for band, metric in keys:
        within = DIFFERENCE if metric == INDEX else SHARE
        yield row_of(scored, band, metric, NUMBERS[band, metric], within=within)


def _band_rows(
    results: Results, scored: Scored, layout: str, rings: np.ndarray
) -> Iterator[EstimateRow]:
    rings = rings.sum(axis=-2, keepdims=True)
    for k, label in enumerate(band_labels(results, layout, rings.shape[2])):
        one = scored._replace(parts=rings[:, :, k : k + 1], resamples=BAND_RESAMPLES)
        yield row_of(one, label, "dice", statistics.pooled(dice))
        if layout == "border":
            yield row_of(one, label, "recall", statistics.pooled(recall))


def compared(results: Results) -> list[tuple[str, str, str]]:
    """(test set, band, metric) of every comparison: three on the probe, and Dice on full."""
    probe = results.probe
    keys = [(probe, "inner-outer", INDEX), (probe, "outer", "recall"), (probe, "all", "dice")]
    return keys + [("full", "all", "dice")] * ("full" in results.test_sets and probe != "full")


def contrasts(results: Results) -> list[ContrastRow]:
    """Every design of `designs` for every metric of `compared`, metric by metric.

    Holm's correction runs over all designs of one metric and test set.
    """
    planned = designs(results)
    rows = []
    for test_set, band, metric in compared(results):
        image = results.clusters(test_set)
        parts = {
            arm: regions(by_image(results.counts(arm, test_set, "border"), image))
            for arm in results.arms
        }
        key, statistic = (test_set, band, metric), NUMBERS[band, metric]
        rows += corrected(compare(results, parts, design, key, statistic) for design in planned)
    return rows


def headline(results: Results, rows: Sequence[ContrastRow]) -> ContrastRow | None:
    """The comparison that leads the report, chosen before any number is seen; None without pairs.

    Rule: the border shortcut index of the baseline (the first value on every axis) against the arm
    that differs from it only in data.crop, at the first other crop; where the crop does not vary,
    in the first axis that does. When those arms did not finish: the first pair that did.
    """
    pairs = [row for row in rows if row.kind == "pair" and row.metric == INDEX]
    baseline = {axis: values[0] for axis, values in results.axes.items()}
    at_baseline = [row for row in pairs if results.settings[row.arm_b] == baseline]
    on_crop = [row for row in at_baseline if row.axis == "data.crop"]
    return next(iter([*on_crop, *at_baseline, *pairs]), None)
