"""Counts of predictions -> numbers with intervals: Dice and recall by band, the shortcut index."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.data.mask_coding import class_names
from jaxseg.errors import UsageError, check_choice
from jaxseg.metrics.bootstrap import RESAMPLES
from jaxseg.metrics.dice import EMPTY, dice, recall
from jaxseg.studies.image_bootstrap import interval, mean_and_resampled, resampled_sums
from jaxseg.studies.predictions.baseline import baseline_counts
from jaxseg.studies.predictions.counts import N_BORDER, PairCounts
from jaxseg.studies.predictions.erased_border import Erased, erased_border
from jaxseg.studies.predictions.frame_bands import N_RINGS, RING_EDGES

INDEX = "border_shortcut_index"
PER_IMAGE = "dice_per_image"
BASELINE = "fixed mask"
POOLED = "all"
# The regions that `with_regions` puts before the rings.
ALL, OUTER, INNER = 0, 1, 2
# Of (tp, fp, fn): a metric has no value where these are all 0.
PARTS = {dice: [0, 1, 2], recall: [0, 2]}


class Score(NamedTuple):
    """One number of one model, with its 95 % interval over images.

    `cls` is `all` (counts of all classes together) or a class. `band` is `all`, `outer` (within
    border_px of the border), `inner` (the rest), `inner-outer`, `centre:<outer half-width, px of
    256>` or `border:<from>-<to, px>`. `metric` is `dice` or `recall` (of the counts of all images
    together), `border_shortcut_index` (inner minus outer recall) or `dice_per_image` (the mean over
    images). `n_images` have a value of their own; `n_left_out` have nothing there.
    """

    model: str
    cls: str
    band: str
    metric: str
    value: float
    ci_low: float
    ci_high: float
    n_images: int
    n_left_out: int


class Arms(NamedTuple):
    """Counts int [images, arms, 3 regions + 13 + 16 rings, C, 3] of the models and the baseline.

    `names` are the models' in their order, then `fixed mask` where there is a baseline.
    """

    names: list[str]
    counts: np.ndarray


def arms(counts: PairCounts) -> Arms:
    """The models of `counts` and the position-only baseline, in one array.

    Raises UsageError for a model that has the baseline's name.
    """
    if BASELINE in counts.names:
        raise UsageError(f"names={counts.names}: {BASELINE!r} is the baseline's; rename the model")
    rings = np.concatenate([counts.centre, counts.border], axis=2)
    fixed = baseline_counts(counts)
    if fixed is None:
        return Arms(counts.names, _with_regions(rings))
    both = np.concatenate([rings, fixed[:, None]], axis=1)
    return Arms([*counts.names, BASELINE], _with_regions(both))


def scores(
    found: Arms,
    border_px: int,
    *,
    empty: str = "nan",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Score]:
    """Every number of every arm, for all classes together and, where there are several, for each.

    Pooled numbers and their intervals are those of `jaxseg.metrics.statistics` with one seed:
    images are resampled. They say what other images would give, not what another training run
    would.

    Args:
      found: of `arms`.
      border_px: width of the rings by distance to the border, for their names.
      empty: what an image with nothing there and nothing predicted scores in `dice_per_image`:
        `nan` (left out), `one` or `smooth1`, see `jaxseg.metrics.dice`.
    """
    check_choice("empty", empty, EMPTY)
    bands = ["all", "outer", "inner", *(f"centre:{edge}" for edge in RING_EDGES)]
    bands += border_labels(border_px)
    return [
        score
        for cls, chosen in by_class(found.counts).items()
        for score in _of_class(found.names, cls, chosen, bands, empty, resamples, seed)
    ]


def by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> counts […, 3] out of […, C, 3]: all classes summed, then each that is there."""
    names = class_names(counts.shape[-2])
    if len(names) == 1:
        return {POOLED: counts[..., 0, :]}
    chosen = {POOLED: counts.sum(axis=-2, dtype=counts.dtype)}
    chosen |= {name: counts[..., c, :] for c, name in enumerate(names)}
    return {name: of_class for name, of_class in chosen.items() if of_class.any()}


def erased_borders(counts: PairCounts) -> dict[tuple[str, str], Erased]:
    """(model, class) -> erased border, for all classes together and each."""
    return {
        (model, cls): erased_border(of_class)
        for model, depth in zip(counts.names, counts.depth)
        for cls, of_class in by_class(depth).items()
    }


def border_labels(border_px: int) -> list[str]:
    """Names of the rings by distance to the border, outermost first: `border:0-8`, …, `…:120-`."""
    edges = [border_px * k for k in range(N_BORDER)]
    return [f"border:{start}-{end}" for start, end in zip(edges, [*edges[1:], ""])]


def index(counts: np.ndarray) -> np.ndarray:
    """Border shortcut index of counts [..., regions and rings, 3]: inner minus outer recall."""
    return recall(counts[..., INNER, :]) - recall(counts[..., OUTER, :])


def dice_by_image(names: Sequence[str], by_image: np.ndarray, empty: str) -> np.ndarray:
    """Dice of counts [images, arms, regions and rings, 3] of one class: float64 [images, arms].

    NaN for the baseline where there is no object, whatever `empty`: it is told so.
    """
    each = dice(by_image[:, :, ALL], empty)
    for k, name in enumerate(names):
        if name == BASELINE:
            each[~by_image[:, k, ALL, [0, 2]].any(axis=-1), k] = np.nan
    return each


def _with_regions(rings: np.ndarray) -> np.ndarray:
    border = rings[:, :, N_RINGS:]
    outer, inner = border[:, :, :1], border[:, :, 1:].sum(axis=2, keepdims=True, dtype=rings.dtype)
    return np.concatenate([outer + inner, outer, inner, rings], axis=2)


def _of_class(
    names: Sequence[str],
    cls: str,
    by_image: np.ndarray,
    bands: Sequence[str],
    empty: str,
    resamples: int,
    seed: int,
) -> Iterator[Score]:
    total, drawn = by_image.sum(axis=0), resampled_sums(by_image, resamples, seed)
    each = dice_by_image(names, by_image, empty)
    for k, model in enumerate(names):
        for metric in PARTS:
            # Not the metric itself, which makes floats of all counts.
            has = by_image[:, k][..., PARTS[metric]].sum(axis=-1) > 0
            values, samples = metric(total[k]), metric(drawn[:, k])
            for b, band in enumerate(bands):
                keys = (model, cls, band, metric.__name__)
                yield _score(keys, values[b], samples[:, b], has[:, b])
        has = ~np.isnan(recall(by_image[:, k, ALL]))
        yield _score((model, cls, "inner-outer", INDEX), index(total[k]), index(drawn[:, k]), has)
        value, sample = mean_and_resampled(each[:, k], resamples, seed)
        yield _score((model, cls, "all", PER_IMAGE), value, sample, ~np.isnan(each[:, k]))


def _score(keys: tuple[str, str, str, str], value, sample: np.ndarray, has: np.ndarray) -> Score:
    low, high = interval(float(value), sample, int(has.sum()))
    return Score(*keys, float(value), low, high, int(has.sum()), int((~has).sum()))
