"""From counts of one arm to rows of summary.csv: regions, classes, and estimates with intervals."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import printable
from jaxseg.metrics import statistics
from jaxseg.metrics.bootstrap import LEVEL
from jaxseg.metrics.dice import dice
from jaxseg.studies.rows import EstimateRow

SEED = 0  # of all resampling
# Intervals of single bands are drawn as shading, where fewer resamples do.
BAND_RESAMPLES = 400

# Bands of `regions`: the ring within eval.border_px of the border, and all the rest.
OUTER, INNER = 0, 1

SHARE = (0.0, 1.0)  # what a metric can be
DIFFERENCE = (-1.0, 1.0)  # of two shares


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


def by_image(items: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Sums counts [seeds, items, …] over the items of one image: [seeds, images, …], by index.

    Pooled statistics and their intervals stay exactly the same, with fewer items to resample.
    """
    _, index = np.unique(image, return_inverse=True)
    summed = np.zeros((index.max() + 1, len(items), *items.shape[2:]), items.dtype)
    np.add.at(summed, index, np.moveaxis(items, 1, 0))
    return np.moveaxis(summed, 0, 1)


def row_of(
    scored: Scored,
    band: str,
    metric: str,
    statistic: statistics.Statistic,
    image: np.ndarray | None = None,
    within: tuple[float, float] = SHARE,
) -> EstimateRow:
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
    return EstimateRow(
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


def spread_row(mean: EstimateRow, each: np.ndarray) -> EstimateRow:
    """The row `<metric>_sd` to `mean`: SD between the items of one run of `each` [seeds, items],
    averaged over runs."""
    spread = [float(np.nanstd(d, ddof=1)) if np.isfinite(d).sum() > 1 else np.nan for d in each]
    blank = {"ci_low": np.nan, "ci_high": np.nan, "sd_seeds": np.nan}
    return mean._replace(metric=f"{mean.metric}_sd", value=float(np.mean(spread)), **blank)


def class_rows(scored: Scored, border: np.ndarray, names: Sequence[str]) -> Iterator[EstimateRow]:
    """Dice of each class where there are several; all other rows hold the classes together."""
    if border.shape[-2] == 1:
        return
    for k in range(border.shape[-2]):
        name = printable(names[k]) if k < len(names) else str(k + 1)
        one = scored._replace(parts=regions(border[..., k : k + 1, :]))
        yield row_of(one, "all", f"dice:{name}", statistics.pooled(dice))
