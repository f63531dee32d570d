"""Every number of a grid by position: the rows of summary.csv and of comparisons.csv."""

import functools
import itertools
from collections.abc import Iterator, Sequence

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
    contrast_rows,
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
            f"{results.file('counts')}: {bands} {layout} rings, but config.json (data.size, "
            f"eval.ring_width, eval.border_px) makes {len(labels)}; run the evaluation again"
        )
    return labels


def _arm_rows(results: Results, arm: str, test_set: str) -> Iterator[EstimateRow]:
    items, image = results.counts(arm, test_set, "border"), results.clusters(test_set)
    rings = {
        "centre": by_image(results.counts(arm, test_set, "centre"), image),
        "border": by_image(items, image),
    }
    scored = Scored(arm, test_set, regions(rings["border"]), results.scoring.resamples)
    numbers = {
        (band, metric): row_of(
            scored, band, metric, statistic, within=DIFFERENCE if metric == INDEX else SHARE
        )
        for (band, metric), statistic in NUMBERS.items()
    }
    yield from (row for (band, _), row in numbers.items() if band == "all")
    # By image: the mean over items, and the SD between items of one run, averaged over runs.
    each = scored._replace(parts=regions(items))
    metric = functools.partial(dice, empty=results.scoring.empty)
    mean = row_of(each, "all", "dice_per_image", statistics.per_image(metric), image)
    yield mean
    yield spread_row(mean, metric(each.parts.sum(axis=2)[:, :, 0]))
    yield from class_rows(scored, rings["border"], results.data.get("classes") or [])
    yield from (row for (band, _), row in numbers.items() if band != "all")
    for layout, counts in rings.items():
        whole = counts.sum(axis=-2, keepdims=True)
        for k, label in enumerate(band_labels(results, layout, whole.shape[2])):
            one = scored._replace(parts=whole[:, :, k : k + 1], resamples=BAND_RESAMPLES)
            yield row_of(one, label, "dice", statistics.pooled(dice))
            if layout == "border":
                yield row_of(one, label, "recall", statistics.pooled(recall))


def compared(results: Results) -> list[tuple[str, str, str]]:
    """(test set, band, metric) of every comparison: three on the probe, and Dice on full."""
    probe = results.probe
    keys = [(probe, "inner-outer", INDEX), (probe, "outer", "recall"), (probe, "all", "dice")]
    if "full" in results.test_sets and probe != "full":
        keys.append(("full", "all", "dice"))
    return keys


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
        key = test_set, band, metric
        rows += contrast_rows(results, planned, key, parts, NUMBERS[band, metric])
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
