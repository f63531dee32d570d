"""The rows of comparisons.csv: which arms differ, in what, by how much, and how sure that is."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.metrics import statistics
from jaxseg.metrics.bootstrap import LEVEL
from jaxseg.metrics.dice import dice, recall
from jaxseg.report.results import Results, clusters, common_seeds, counts
from jaxseg.report.tables import (
    INNER,
    OUTER,
    SEED,
    by_image,
    index_statistic,
    regions,
)


class Comparison(NamedTuple):
    """One difference between arms, paired by seed.

    A `pair` is arm_a − arm_b, where arm_b has the first value of `axis` and arm_a another one. An
    `interaction` is (arm_a − arm_b) − (arm_c − arm_d) for `axis` = "X x Y": the effect of Y under
    another value of X, minus its effect under the first value of X. `p` is the exact sign-flip p
    of the seeds, which cannot be below `p_floor`; `p_holm` is corrected over all rows of one metric
    and test set. `smallest_detectable` is what would be shown with 80 % power. `verdict` is
    one of four, see the function.
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

    @property
    def arms(self) -> tuple[str, ...]:
        """The two or four arms compared, one for a row of a single arm."""
        return tuple(arm for arm in (self.arm_a, self.arm_b, self.arm_c, self.arm_d) if arm)

    @property
    def is_shown(self) -> bool:
        """Whether the verdict is `higher` or `lower`."""
        return self.verdict in (HIGHER, LOWER)


class Design(NamedTuple):
    """What is compared: two arms (pair) or four (interaction), without any numbers."""

    kind: str
    axis: str
    arms: tuple[str, ...]


HIGHER, LOWER = "higher", "lower"
NOT_SIGNIFICANT = "not significant"
NO_DIFFERENCE = "no difference shown"
ALPHA = 0.05
INDEX = "border_shortcut_index"
SIGNS = (1.0, -1.0, -1.0, 1.0)


def designs(results: Results) -> list[Design]:
    """Every pair that differs in one axis only, then every interaction of two axes.

    A value is compared with the first value of its axis that has a finished arm at the same values
    of all other axes; arms without any finished cell take no part.
    """
    return [*_pairs(results), *_interactions(results)]


def _pairs(results: Results) -> Iterator[Design]:
    for axis, values in results.axes.items():
        for rest in _others(results, (axis,)):
            arms = [_arm(results, rest | {axis: value}) for value in values]
            if arms[0] is not None:
                yield from (Design("pair", axis, (arm, arms[0])) for arm in arms[1:] if arm)


def _interactions(results: Results) -> Iterator[Design]:
    for x, y in itertools.combinations(results.axes, 2):
        xs, ys = results.axes[x], results.axes[y]
        for rest in _others(results, (x, y)):
            for new_x, new_y in itertools.product(xs[1:], ys[1:]):
                corners = ((new_x, new_y), (new_x, ys[0]), (xs[0], new_y), (xs[0], ys[0]))
                arms = [_arm(results, rest | {x: vx, y: vy}) for vx, vy in corners]
                found = tuple(arm for arm in arms if arm is not None)
                if len(found) == 4:
                    yield Design("interaction", f"{x} x {y}", found)


def _others(results: Results, axes: Sequence[str]) -> list[dict[str, str]]:
    """The settings of all axes but these, once each, in grid order."""
    rests = ({k: v for k, v in results.settings[a].items() if k not in axes} for a in results.arms)
    return [dict(items) for items in dict.fromkeys(tuple(rest.items()) for rest in rests)]


def _arm(results: Results, settings: dict[str, str]) -> str | None:
    return next((arm for arm in results.arms if results.settings[arm] == settings), None)


def compared(results: Results) -> list[tuple[str, str, str]]:
    """(test set, band, metric) of every comparison: three on the probe, and Dice on full."""
    probe = results.probe
    keys = [(probe, "inner-outer", INDEX), (probe, "outer", "recall"), (probe, "all", "dice")]
    return keys + [("full", "all", "dice")] * ("full" in results.test_sets and probe != "full")


def comparisons(results: Results) -> list[Comparison]:
    """Every design of `designs` for every metric of `compared`, metric by metric.

    Holm's correction runs over all designs of one metric and test set.
    """
    planned = designs(results)
    rows = []
    for test_set, band, metric in compared(results):
        image = clusters(results, test_set)
        parts = {
            arm: regions(by_image(counts(results, arm, test_set, "border"), image))
            for arm in results.arms
        }
        key, statistic = (test_set, band, metric), statistic_of(band, metric)
        rows += corrected(compare(results, parts, design, key, statistic) for design in planned)
    return rows


def corrected(family: Iterable[Comparison | None]) -> list[Comparison]:
    """The rows of one family that there are, with Holm's correction over them."""
    rows = [row for row in family if row is not None]
    adjusted = statistics.holm(np.array([row.p for row in rows])) if rows else []
    return [row._replace(p_holm=float(p)) for row, p in zip(rows, adjusted)]


def headline(results: Results, rows: Sequence[Comparison]) -> Comparison | None:
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


def compare(
    results: Results,
    parts: Mapping[str, np.ndarray],
    design: Design,
    key: tuple[str, str, str],
    statistic: statistics.Statistic,
    weights: Sequence[float] = SIGNS,
) -> Comparison | None:
    """One row, `p_holm` still to be filled in; None when the arms have no seed in common.

    `parts` holds [seeds, images, …] of every arm, what `statistic` takes; `key` is (test set, band,
    metric); `weights` has one number an arm of the design, by default those of a pair or an
    interaction.
    """
    seeds = common_seeds(results, design.arms)
    if not seeds:
        return None
    paired = [parts[arm][[results.seeds[arm].index(s) for s in seeds]] for arm in design.arms]
    found = statistics.contrast(
        paired,
        weights[: len(paired)],
        statistic,
        clusters=np.arange(paired[0].shape[1]),
        resamples=results.fields.eval.resamples,
        level=LEVEL,
        seed=SEED,
    )
    names = (*design.arms, "", "", "")[:4]
    test_set, band, metric = key
    return Comparison(
        design.kind,
        design.axis,
        *names,
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
        verdict=verdict(found.ci_low, found.ci_high, found.p),
    )


def statistic_of(band: str, metric: str) -> statistics.Statistic:
    """The statistic over counts of `tables.regions` behind one compared number."""
    if metric == INDEX:
        return index_statistic()
    bands = {"all": [OUTER, INNER], "outer": [OUTER]}[band]
    return statistics.pooled({"dice": dice, "recall": recall}[metric], bands=bands)


def verdict(low: float, high: float, p: float) -> str:
    """What an interval and the exact p of the same seeds show together.

    HIGHER or LOWER when the interval excludes 0 and p is at most ALPHA. NOT_SIGNIFICANT when the
    interval alone excludes 0, which is all that fewer than 6 seeds can give: their p cannot get
    there, and the interval trusts that seeds are spread normally. Else NO_DIFFERENCE, as for one
    seed (p is NaN) whatever its interval: two runs of one arm differ as well.
    """
    if math.isnan(p) or not (low > 0 or high < 0):
        return NO_DIFFERENCE
    if p > ALPHA:
        return NOT_SIGNIFICANT
    return HIGHER if low > 0 else LOWER


def families(rows: Sequence[Comparison]) -> list[list[Comparison]]:
    """The rows of each (test set, band, metric), in order: what Holm corrects together."""
    found: dict[tuple[str, str, str], list[Comparison]] = {}
    for row in rows:
        found.setdefault((row.test_set, row.band, row.metric), []).append(row)
    return list(found.values())
