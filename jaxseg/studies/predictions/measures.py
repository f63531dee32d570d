"""Does a model, whoever made it, lose objects near the border? The paper's Fig. 4 for any masks.

Counts become Dice and recall by band, the shortcut index and the erased border, with intervals over
images: they say what other images would give, not what another training run would.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.data.mask_coding import class_names
from jaxseg.errors import UsageError, check_choice
from jaxseg.metrics.bands import N_RINGS, RING_EDGES
from jaxseg.metrics.bootstrap import LEVEL, RESAMPLES, resampled_items, two_level_interval
from jaxseg.metrics.dice import EMPTY, dice, recall
from jaxseg.metrics.paired import holm, sign_flip_floor, sign_flip_p
from jaxseg.metrics.verdict import judge
from jaxseg.studies.predictions.counts import (
    BORDER_PX,
    N_BORDER,
    PairCounts,
    baseline_counts,
    count_predictions,
)
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

INDEX = "border_shortcut_index"
PER_IMAGE = "dice_per_image"
BASELINE = "fixed mask"
POOLED = "all"
ERASED = 0.05  # Of the recall deeper inside; less than this counts as nothing.
IMAGES = 8192  # Summed at a time.
# The regions that are put before the rings.
ALL, OUTER, INNER = 0, 1, 2
# Of (tp, fp, fn): a metric has no value where these are all 0.
PARTS = {dice: [0, 1, 2], recall: [0, 2]}


class Erased(NamedTuple):
    """The erased border of one model.

    `px` is its width k, 0 when there is none; `recall_within` and `recall_beyond` the pooled recall
    of the px of depth below k and of all deeper ones, NaN where no true pixel lies; `first_px` the
    depth of the outermost true pixel: nothing can be said of what lies outside of it.
    """

    px: int
    recall_within: float
    recall_beyond: float
    first_px: int


class PredictionAudit(NamedTuple):
    """All that was measured; `erased` by (model, class).

    `models` are the scored ones, with `fixed mask`, the position-only baseline, as the last where
    there is one.
    """

    counts: PairCounts
    models: list[str]
    scores: list[EstimateRow]
    differences: list[ContrastRow]
    erased: dict[tuple[str, str], Erased]

    @property
    def classes(self) -> list[str]:
        """`all` first, then every class that occurs, where there are several."""
        return list(dict.fromkeys(score.cls for score in self.scores))

    def score(self, model: str, band: str, metric: str, cls: str = POOLED) -> EstimateRow:
        """The one row with these keys; KeyError when there is none."""
        row = value_of(self.scores, model, "", band, metric, cls)
        if row is None:
            raise KeyError((model, band, metric, cls))
        return row


def audit_predictions(
    items: Iterable[tuple[Any, ...]],
    names: Sequence[str],
    *,
    border_px: int = BORDER_PX,
    scale_to: int | None = None,
    left_out: list[str] | None = None,
    empty: str = "nan",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PredictionAudit:
    """Passes once over (id, truth, prediction, …) and scores every model.

    Args:
      items, names, border_px, scale_to, left_out: as in `count_predictions`.
      empty: what an image with nothing there and nothing predicted scores in `dice_per_image`:
        `nan` (left out), `one` or `smooth1`, see `jaxseg.metrics.dice`.
      resamples, seed: of the images drawn for intervals.
    Raises:
      UsageError, JaxsegError: as `count_predictions`; UsageError for an unknown `empty` and for a
        model that has the baseline's name.
    """
    counts = count_predictions(
        items, names, border_px=border_px, scale_to=scale_to, left_out=left_out
    )
    check_choice("empty", empty, EMPTY)
    if BASELINE in names:
        raise UsageError(f"names={list(names)}: {BASELINE!r} is the baseline's; rename the model")
    models, rings = counts.names, np.concatenate([counts.centre, counts.border], axis=2)
    fixed = baseline_counts(counts)
    if fixed is not None:
        models, rings = [*models, BASELINE], np.concatenate([rings, fixed[:, None]], axis=1)
    border = rings[:, :, N_RINGS:]
    outer, inner = border[:, :, :1], border[:, :, 1:].sum(axis=2, keepdims=True, dtype=rings.dtype)
    # [images, models, 3 regions + 13 rings about the centre + 16 by distance to the border, C, 3]
    scored = np.concatenate([outer + inner, outer, inner, rings], axis=2)
    return PredictionAudit(
        counts=counts,
        models=models,
        scores=list(_scores(models, scored, border_px, empty, resamples, seed)),
        differences=_differences(models, scored, empty, resamples, seed),
        erased={
            (model, cls): erased_border(of_class)
            for model, depth in zip(counts.names, counts.depth)
            for cls, of_class in _by_class(depth).items()
        },
    )


def _by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> counts […, 3] out of […, C, 3]: all classes summed, then each that is there."""
    names = class_names(counts.shape[-2])
    if len(names) == 1:
        return {POOLED: counts[..., 0, :]}
    chosen = {POOLED: counts.sum(axis=-2, dtype=counts.dtype)}
    chosen |= {name: counts[..., c, :] for c, name in enumerate(names)}
    return {name: of_class for name, of_class in chosen.items() if of_class.any()}


def border_labels(border_px: int) -> list[str]:
    """Names of the rings by distance to the border, outermost first: `border:0-8`, …, `…:120-`."""
    edges = [border_px * k for k in range(N_BORDER)]
    return [f"border:{start}-{end}" for start, end in zip(edges, [*edges[1:], ""])]


def _scores(
    models: Sequence[str], scored: np.ndarray, border_px: int, empty: str, resamples: int, seed: int
) -> Iterator[EstimateRow]:
    """Every number of every model, for all classes together and, where there are several, for each.

    Metrics are `dice` and `recall` (of the counts of all images together, by band),
    `border_shortcut_index` (inner minus outer recall) and `dice_per_image` (the mean over images).
    Pooled numbers and their intervals are those of `jaxseg.metrics.statistics` with one seed.
    """
    bands = ["all", "outer", "inner", *(f"centre:{edge}" for edge in RING_EDGES)]
    bands += border_labels(border_px)
    for cls, by_image in _by_class(scored).items():
        total, drawn = by_image.sum(axis=0), _resampled_sums(by_image, resamples, seed)
        each = _dice_by_image(models, by_image, empty)
        for k, model in enumerate(models):
            for metric, parts in PARTS.items():
                # Not the metric itself, which makes floats of all counts.
                has = by_image[:, k][..., parts].sum(axis=-1) > 0
                values, samples = metric(total[k]), metric(drawn[:, k])
                name = metric.__name__
                for b, band in enumerate(bands):
                    yield _estimate(model, cls, band, name, values[b], samples[:, b], has[:, b])
            has = ~np.isnan(recall(by_image[:, k, ALL]))
            value, sample = _index(total[k]), _index(drawn[:, k])
            yield _estimate(model, cls, "inner-outer", INDEX, value, sample, has)
            value, sample = _mean_and_resampled(each[:, k], resamples, seed)
            yield _estimate(model, cls, "all", PER_IMAGE, value, sample, ~np.isnan(each[:, k]))


def _estimate(
    model: str, cls: str, band: str, metric: str, value: Any, sample: np.ndarray, has: np.ndarray
) -> EstimateRow:
    n = int(has.sum())
    low, high = _interval(float(value), sample, n)
    return EstimateRow(
        arm=model, test_set="", band=band, metric=metric, value=float(value), ci_low=low,
        ci_high=high, n_images=n, n_seeds=1, sd_seeds=math.nan, n_left_out=len(has) - n, cls=cls,
    )  # fmt: skip


def _index(counts: np.ndarray) -> np.ndarray:
    """Border shortcut index of counts [..., regions and rings, 3]: inner minus outer recall."""
    return recall(counts[..., INNER, :]) - recall(counts[..., OUTER, :])


def _dice_by_image(models: Sequence[str], by_image: np.ndarray, empty: str) -> np.ndarray:
    """Dice of counts [images, models, regions and rings, 3] of one class: [images, models].

    NaN for the baseline where there is no object, whatever `empty`: it knows that.
    """
    each = dice(by_image[:, :, ALL], empty)
    for k, name in enumerate(models):
        if name == BASELINE:
            each[~by_image[:, k, ALL, [0, 2]].any(axis=-1), k] = np.nan
    return each


def _differences(
    models: Sequence[str], scored: np.ndarray, empty: str, resamples: int, seed: int
) -> list[ContrastRow]:
    """Every model against the first one, then every model against the baseline (per-image Dice).

    All classes together, paired by image: the interval resamples images, the same ones for both. p
    is that of exchanging the two models' predictions image by image (`sign_flip_p`). As both face
    the same truth, an exchange flips the sign of the image's share in a difference of pooled
    recalls and of indices, so the test holds for those as well. `p_holm` is corrected over the
    models compared with the first, metric by metric; the interval alone gives the verdict.
    """
    counts = _by_class(scored)[POOLED][:, :, [ALL, OUTER, INNER]]
    drawn = _resampled_sums(counts, resamples, seed)
    each = _dice_by_image(models, counts, empty)
    own = [k for k, name in enumerate(models) if name != BASELINE]

    def per_image(k: int, other: int) -> ContrastRow:
        shares = each[:, k] - each[:, other]
        value, sample = _mean_and_resampled(shares, resamples, seed)
        has = ~np.isnan(shares)
        return _contrast(models[k], models[other], "all", PER_IMAGE, value, sample, shares, has)

    def pooled(k: int, other: int, metric: str, band: str) -> ContrastRow:
        def value(sums: np.ndarray) -> np.ndarray:
            each = _index(sums) if metric == INDEX else recall(sums[..., OUTER, :])
            return each[..., k] - each[..., other]

        hits = counts[:, k, :, 0] - counts[:, other, :, 0]
        truth = counts[:, k, :, 0] + counts[:, k, :, 2]
        shares = hits / np.maximum(truth.sum(axis=0), 1)
        of_image = shares[:, INNER] - shares[:, OUTER] if metric == INDEX else shares[:, OUTER]
        has = truth[:, ALL if metric == INDEX else OUTER] > 0
        total = float(value(counts.sum(axis=0)))
        return _contrast(models[k], models[other], band, metric, total, value(drawn), of_image, has)

    rows: list[ContrastRow] = []
    for family in (
        [pooled(k, 0, INDEX, "inner-outer") for k in own[1:]],
        [pooled(k, 0, "recall", "outer") for k in own[1:]],
        [per_image(k, 0) for k in own[1:]],
    ):
        corrected = holm(np.array([row.p for row in family]))
        rows += [row._replace(p_holm=float(p)) for row, p in zip(family, corrected)]
    if BASELINE in models:
        rows += [per_image(k, len(models) - 1) for k in own]
    return rows


def _contrast(
    model: str, other: str, band: str, metric: str, value: float, sample: np.ndarray,
    shares: np.ndarray, has: np.ndarray,
) -> ContrastRow:  # fmt: skip
    """`shares` float [images] add up to the difference; `has` says which images take part."""
    n = int(has.sum())
    low, high = _interval(value, sample, n)
    p = math.nan if math.isnan(value) else sign_flip_p(shares[has])
    return ContrastRow(
        kind="pair", axis="model", arm_a=model, arm_b=other, arm_c="", arm_d="", test_set="",
        band=band, metric=metric, difference=value, ci_low=low, ci_high=high, p=p,
        p_floor=sign_flip_floor(n), p_holm=p, n_seeds=1, n_images=n, sd=math.nan,
        smallest_detectable=math.nan, seeds_needed=math.nan,
        verdict=judge(low, high, None, unit="images").word, n_left_out=len(has) - n,
    )  # fmt: skip


def _resampled_sums(by_image: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over images drawn with replacement: [images, …] -> float64 [resamples, …].

    Draws depend on the number of images, `resamples` and `seed` alone, so that what is summed in
    two calls stays paired; they are those of `jaxseg.metrics.statistics`.
    """
    flat = by_image.reshape(len(by_image), -1)
    sums = []
    for weights in resampled_items(np.arange(len(flat)), resamples, seed):
        total = np.zeros((len(weights), flat.shape[1]))
        for start in range(0, len(flat), IMAGES):  # never all of the counts as floats
            part = slice(start, start + IMAGES)
            total += weights[:, part] @ flat[part].astype(float)
        sums.append(total)
    return np.concatenate(sums).reshape(-1, *by_image.shape[1:])


def _mean_and_resampled(each: np.ndarray, resamples: int, seed: int) -> tuple[float, np.ndarray]:
    """Mean of float [images] without its NaN, and the same of every resample: [resamples]."""
    defined = ~np.isnan(each)
    value = float(each[defined].mean()) if defined.any() else math.nan
    columns = np.stack([np.where(defined, each, 0), defined], axis=1)
    sums, numbers = _resampled_sums(columns, resamples, seed).T
    return value, np.divide(sums, numbers, out=np.full(len(sums), math.nan), where=numbers > 0)


def _interval(value: float, resampled: np.ndarray, n_images: int) -> tuple[float, float]:
    """95 % percentile interval; NaN where the value is, and for fewer than two images."""
    if n_images < 2 or math.isnan(value):
        return math.nan, math.nan
    return two_level_interval(np.array([value]), resampled[:, None], LEVEL, 0)


def erased_border(counts: np.ndarray) -> Erased:
    """Estimates the width k of the border within which the model predicts (almost) nothing.

    k is the largest number of px such that the pooled recall of the true pixels of depth below k,
    and that of those of depth k - 1 alone, are both below 5 % of the recall of all deeper ones. A
    model that finds nothing anywhere has no erased border, and so has one with no true pixel
    beyond k.

    Args:
      counts: int [depths, 3], (tp, fp, fn) summed over images by px of depth, outermost first.
    """
    tp, truth = counts[:, 0].astype(float), (counts[:, 0] + counts[:, 2]).astype(float)

    def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)

    within = share(np.cumsum(tp), np.cumsum(truth))
    beyond = share(tp.sum() - np.cumsum(tp), truth.sum() - np.cumsum(truth))
    # NaN (no true pixel there) compares as false.
    erased = (within < ERASED * beyond) & (share(tp, truth) < ERASED * beyond)
    px = int(np.flatnonzero(erased)[-1]) + 1 if erased.any() else 0
    return Erased(
        px=px,
        recall_within=float(within[px - 1]) if px else np.nan,
        recall_beyond=float(beyond[px - 1] if px else share(tp.sum(), truth.sum())),
        first_px=int(np.argmax(truth > 0)),
    )
