"""The rows that studies make: an estimate and a contrast, and how they follow from counts."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import printable
from jaxseg.metrics import statistics
from jaxseg.metrics.bootstrap import LEVEL
from jaxseg.metrics.dice import dice
from jaxseg.metrics.paired import holm
from jaxseg.metrics.verdict import HIGHER, LOWER, judge
from jaxseg.report.section import Section
from jaxseg.studies.results import Results


class EstimateRow(NamedTuple):
    """One number of one arm (a model is an arm of one seed), with its 95 % interval.

    Metrics are shares in [0, 1], differences of them lie in [-1, 1]; intervals end where the metric
    does. `band` is `all`, `outer`, `inner`, `inner-outer`, `centre:<outer half-width, px>`,
    `border:<from>-<to, px>`, `plane:<name>` or `stage:<k>`. `sd_seeds` is the spread between
    training runs. `n_left_out` counts images without a value of their own (nothing there and
    nothing predicted in that band), averaged over runs. `cls` is `all` or one class.
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
    cls: str = "all"


class ContrastRow(NamedTuple):
    """One difference between arms: paired by seed, or by image where each arm is one model.

    A `pair` is arm_a − arm_b, where arm_b has the first value of `axis` and arm_a another one. An
    `interaction` is (arm_a − arm_b) − (arm_c − arm_d) for `axis` = "X x Y": the effect of Y under
    another value of X, minus its effect under the first value of X. `p` is the exact sign-flip p
    of the pairs, which cannot be below `p_floor`; `p_holm` is corrected over all rows of one metric
    and test set. `smallest_detectable` is what would be shown with 80 % power. `verdict` is a word
    of `metrics.verdict`. `n_left_out` counts pairs without a value.
    """

    kind: str
    axis: str
    arm_a: str
    arm_b: str
    arm_c: str
    arm_d: str
    test_set: str
    band: str
    metric: str
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_floor: float
    p_holm: float
    n_seeds: int
    n_images: int
    sd: float
    smallest_detectable: float
    seeds_needed: float
    verdict: str
    n_left_out: int = 0

    @property
    def arms(self) -> tuple[str, ...]:
        """The two or four arms compared, one for a row of a single arm."""
        return tuple(arm for arm in (self.arm_a, self.arm_b, self.arm_c, self.arm_d) if arm)

    @property
    def is_shown(self) -> bool:
        """Whether the verdict is `higher` or `lower`."""
        return self.verdict in (HIGHER, LOWER)


# The columns of summary.csv and comparisons.csv.
SUMMARY_COLUMNS = tuple(name for name in EstimateRow._fields if name != "cls")
COMPARISON_COLUMNS = tuple(name for name in ContrastRow._fields if name != "n_left_out")


def value_of(
    rows: Sequence[EstimateRow], arm: str, test_set: str, band: str, metric: str, cls: str = "all"
) -> EstimateRow | None:
    """The one row with these keys, or None."""
    wanted = (arm, test_set, band, metric, cls)
    return next((r for r in rows if (r.arm, r.test_set, r.band, r.metric, r.cls) == wanted), None)


def families(rows: Sequence[ContrastRow]) -> list[list[ContrastRow]]:
    """The rows of each (test set, band, metric), in order: what Holm corrects together."""
    found: dict[tuple[str, str, str], list[ContrastRow]] = {}
    for row in rows:
        found.setdefault((row.test_set, row.band, row.metric), []).append(row)
    return list(found.values())


class Findings(NamedTuple):
    """`estimates` are the rows of summary.csv, `contrasts` those of comparisons.csv.

    `sections` are those of the page, in order; the first one has the headline.
    """

    results: Results
    estimates: list[EstimateRow]
    contrasts: list[ContrastRow]
    sections: list[Section]


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

    Student's t over few seeds has no bounds: the interval is cut to `within`, the range of what is
    estimated, and covers it as often.
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


class Design(NamedTuple):
    """What is compared, without any numbers: `weights` × the means of `arms`, summed.

    Without weights one arm counts alone, a pair is a − b and four arms are (a − b) − (c − d).
    `names` are the arms that the row names, by default all.
    """

    kind: str
    axis: str
    arms: tuple[str, ...]
    weights: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


SIGNS = {1: (1.0,), 2: (1.0, -1.0), 4: (1.0, -1.0, -1.0, 1.0)}


def designs(results: Results) -> list[Design]:
    """Every pair that differs in one axis only, then every interaction of two axes.

    A value is compared with the first value of its axis that has a finished arm at the same values
    of all other axes; arms without any finished cell take no part.
    """
    axes, found = results.axes, []
    for axis, values in axes.items():
        for rest in _others(results, (axis,)):
            arms = [_arm(results, rest | {axis: value}) for value in values]
            if arms[0] is not None:
                found += [Design("pair", axis, (arm, arms[0])) for arm in arms[1:] if arm]
    for x, y in itertools.combinations(axes, 2):
        for rest in _others(results, (x, y)):
            for new_x, new_y in itertools.product(axes[x][1:], axes[y][1:]):
                corners = itertools.product((new_x, axes[x][0]), (new_y, axes[y][0]))
                arms = [_arm(results, rest | {x: vx, y: vy}) for vx, vy in corners]
                if None not in arms:
                    found.append(Design("interaction", f"{x} x {y}", tuple(filter(None, arms))))
    return found


def _others(results: Results, axes: Sequence[str]) -> list[dict[str, str]]:
    """The settings of all axes but these, once each, in grid order."""
    rests = ({k: v for k, v in results.settings[a].items() if k not in axes} for a in results.arms)
    return [dict(items) for items in dict.fromkeys(tuple(rest.items()) for rest in rests)]


def _arm(results: Results, settings: dict[str, str]) -> str | None:
    return next((arm for arm in results.arms if results.settings[arm] == settings), None)


def contrast_rows(
    results: Results,
    designs: Iterable[Design],
    key: tuple[str, str, str],
    parts: Mapping[str, np.ndarray],
    statistic: statistics.Statistic,
) -> list[ContrastRow]:
    """One row a design whose arms have a seed in common, with Holm's correction over all of them.

    `key` is (test set, band, metric); `parts` holds [seeds, images, …] of every arm, what
    `statistic` takes.
    """
    compared = (_contrast_row(results, design, key, parts, statistic) for design in designs)
    rows = [row for row in compared if row is not None]
    adjusted = holm(np.array([row.p for row in rows])) if rows else []
    return [row._replace(p_holm=float(p)) for row, p in zip(rows, adjusted)]


def _contrast_row(
    results: Results,
    design: Design,
    key: tuple[str, str, str],
    parts: Mapping[str, np.ndarray],
    statistic: statistics.Statistic,
) -> ContrastRow | None:
    seeds = results.common_seeds(design.arms)
    if not seeds:
        return None
    paired = [parts[arm][[results.seeds[arm].index(s) for s in seeds]] for arm in design.arms]
    if results.missing:
        paired = _without_missing(results, design.arms, seeds, paired)
    found = statistics.contrast(
        paired,
        design.weights or SIGNS[len(paired)],
        statistic,
        clusters=np.arange(paired[0].shape[1]),
        resamples=results.scoring.resamples,
        level=LEVEL,
        seed=SEED,
    )
    names = dict(zip(("arm_a", "arm_b", "arm_c", "arm_d"), design.names or design.arms))
    test_set, band, metric = key
    return ContrastRow(
        kind=design.kind,
        axis=design.axis,
        arm_a=names["arm_a"],
        arm_b=names.get("arm_b", ""),
        arm_c=names.get("arm_c", ""),
        arm_d=names.get("arm_d", ""),
        test_set=test_set,
        band=band,
        metric=metric,
        difference=found.value,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        p_floor=found.p_floor,
        p_holm=np.nan,
        n_seeds=found.n_seeds,
        n_images=found.n_images,
        sd=found.sd,
        smallest_detectable=found.smallest_detectable,
        seeds_needed=found.seeds_needed,
        verdict=judge(found.ci_low, found.ci_high, found.p, unit="seeds").word,
    )


def _without_missing(
    results: Results, arms: Sequence[str], seeds: Sequence[int], paired: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Counts in which an image counts, for each seed, in all arms or in none."""
    lost = np.array([[results.missing[arm, seed] for seed in seeds] for arm in arms]).any(axis=0)
    kept = ~lost.all(axis=0)
    whole = [np.where(lost.reshape(*lost.shape, 1, 1, 1), 0, counts) for counts in paired]
    return [counts[:, kept] for counts in whole]
