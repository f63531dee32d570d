"""The rows of summary.csv: every number of every arm with its interval, in tidy form."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.escape import csv_text, printable
from jaxseg.metrics import statistics
from jaxseg.metrics.bands import border_ring_edges, square_ring_edges
from jaxseg.metrics.bootstrap import LEVEL
from jaxseg.metrics.dice import dice, iou, recall
from jaxseg.report.results import Results, clusters, counts

# Intervals of single bands are drawn as shading, where fewer resamples do.
BAND_RESAMPLES = 400
SEED = 0

# Bands of `regions`: the ring within eval.border_px of the border, and all the rest.
OUTER, INNER = 0, 1

SHARE = (0.0, 1.0)  # what a metric can be
DIFFERENCE = (-1.0, 1.0)  # of two shares


class SummaryRow(NamedTuple):
    """One number. Values are shares in [0, 1] (the index in [-1, 1]); intervals are 95 % and end
    where the metric does.

    `band` is `all`, `outer`, `inner`, `inner-outer`, `centre:<outer half-width, px>` or
    `border:<from>-<to, px>`. `sd_seeds` is the spread between training runs, `n_left_out` the
    images without a value of their own (nothing there and nothing predicted in that band),
    averaged over runs; for `dice_per_image` it counts crops where a test set holds crops.
    """

    arm: str
    test_set: str
    band: str
    metric: str
    value: float
    ci_low: float
    ci_high: float
    n_images: int
    n_seeds: int
    sd_seeds: float
    n_left_out: float


class Scored(NamedTuple):
    """One arm on one test set: counts [seeds, images, 2, 1, 3], see `regions`, or scores
    [seeds, images]; whatever the statistic takes."""

    arm: str
    test_set: str
    parts: np.ndarray
    resamples: int


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


def by_image(items: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Sums counts [seeds, items, …] over the items of one image: [seeds, images, …], by index.

    Pooled statistics and their intervals stay exactly the same, with fewer items to resample.
    """
    _, index = np.unique(image, return_inverse=True)
    summed = np.zeros((index.max() + 1, len(items), *items.shape[2:]), items.dtype)
    np.add.at(summed, index, np.moveaxis(items, 1, 0))
    return np.moveaxis(summed, 0, 1)


def summary(results: Results) -> list[SummaryRow]:
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
    size = results.fields.data.size
    if layout == "centre":
        width = results.fields.eval.ring_width * size / 256
        labels = [f"centre:{edge:g}" for edge in square_ring_edges(size, width)]
    else:
        edges = [0, *border_ring_edges(size, results.fields.eval.border_px)]
        labels = [f"border:{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    if len(labels) != bands:
        raise JaxsegError(
            f"{results.workdir / 'counts'}: {bands} {layout} rings, but config.json (data.size, "
            f"eval.ring_width, eval.border_px) makes {len(labels)}; run the evaluation again"
        )
    return labels


def as_csv(rows: Sequence[NamedTuple], columns: Sequence[str]) -> str:
    """The rows as CSV text: numbers to 6 significant digits, NaN as an empty field."""
    return csv_text(columns, [[_field(value) for value in row] for row in rows])


def value_of(
    rows: Sequence[SummaryRow], arm: str, test_set: str, band: str, metric: str
) -> SummaryRow | None:
    """The one row with these keys, or None."""
    wanted = (arm, test_set, band, metric)
    return next((r for r in rows if (r.arm, r.test_set, r.band, r.metric) == wanted), None)


def _arm_rows(results: Results, arm: str, test_set: str) -> Iterator[SummaryRow]:
    items, image = counts(results, arm, test_set, "border"), clusters(results, test_set)
    border = by_image(items, image)
    centre = by_image(counts(results, arm, test_set, "centre"), image)
    resamples = results.fields.eval.resamples
    scored = Scored(arm, test_set, regions(border), resamples)
    for metric in (dice, iou, recall):
        yield row_of(scored, "all", metric.__name__, statistics.pooled(metric))
    yield from _per_image_rows(
        scored._replace(parts=regions(items)), image, results.fields.eval.empty
    )
    yield from class_rows(scored, border, results.data.get("classes") or [])
    yield from _region_rows(scored)
    yield from _band_rows(results, scored, "centre", centre)
    yield from _band_rows(results, scored, "border", border)


def _per_image_rows(scored: Scored, image: np.ndarray, empty: str) -> Iterator[SummaryRow]:
    """Mean over items and the SD between items of one run, averaged over runs."""
    metric = functools.partial(dice, empty=empty)
    mean = row_of(scored, "all", "dice_per_image", statistics.per_image(metric), image)
    yield mean
    yield spread_row(mean, metric(scored.parts.sum(axis=2)[:, :, 0]))


def spread_row(mean: SummaryRow, each: np.ndarray) -> SummaryRow:
    """The row `<metric>_sd` to `mean`: SD between the items of one run of `each` [seeds, items],
    averaged over runs."""
    spread = [float(np.nanstd(d, ddof=1)) if np.isfinite(d).sum() > 1 else np.nan for d in each]
    blank = {"ci_low": np.nan, "ci_high": np.nan, "sd_seeds": np.nan}
    return mean._replace(metric=f"{mean.metric}_sd", value=float(np.mean(spread)), **blank)


def class_rows(scored: Scored, border: np.ndarray, names: Sequence[str]) -> Iterator[SummaryRow]:
    """Dice of each class where there are several; all other rows hold the classes together."""
    if border.shape[-2] == 1:
        return
    for k in range(border.shape[-2]):
        name = printable(names[k]) if k < len(names) else str(k + 1)
        one = scored._replace(parts=regions(border[..., k : k + 1, :]))
        yield row_of(one, "all", f"dice:{name}", statistics.pooled(dice))


def _region_rows(scored: Scored) -> Iterator[SummaryRow]:
    yield row_of(scored, "outer", "recall", statistics.pooled(recall, bands=[OUTER]))
    yield row_of(scored, "inner", "recall", statistics.pooled(recall, bands=[INNER]))
    yield row_of(
        scored, "inner-outer", "border_shortcut_index", index_statistic(), within=DIFFERENCE
    )


def _band_rows(
    results: Results, scored: Scored, layout: str, rings: np.ndarray
) -> Iterator[SummaryRow]:
    rings = rings.sum(axis=-2, keepdims=True)
    for k, label in enumerate(band_labels(results, layout, rings.shape[2])):
        one = scored._replace(parts=rings[:, :, k : k + 1], resamples=BAND_RESAMPLES)
        yield row_of(one, label, "dice", statistics.pooled(dice))
        if layout == "border":
            yield row_of(one, label, "recall", statistics.pooled(recall))


def row_of(
    scored: Scored,
    band: str,
    metric: str,
    statistic: statistics.Statistic,
    image: np.ndarray | None = None,
    within: tuple[float, float] = SHARE,
) -> SummaryRow:
    """The estimate of `statistic` as a row; `image` int [items] where items share images.

    Student's t over few seeds knows no bounds: the interval is cut to `within`, which what is
    estimated cannot leave, and covers it as often.
    """
    found = statistics.estimate(
        scored.parts,
        statistic,
        clusters=np.arange(scored.parts.shape[1]) if image is None else image,
        resamples=scored.resamples,
        level=LEVEL,
        seed=SEED,
    )
    low, high = np.clip([found.ci_low, found.ci_high], *within)
    return SummaryRow(
        arm=scored.arm,
        test_set=scored.test_set,
        band=band,
        metric=metric,
        value=found.value,
        ci_low=float(low),
        ci_high=float(high),
        n_images=found.n_images,
        n_seeds=found.n_seeds,
        sd_seeds=found.sd_seeds,
        n_left_out=found.n_left_out / len(scored.parts),
    )


def _field(value: object) -> object:
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value
