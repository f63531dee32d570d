"""Which arms of a grid are compared, and the row that compares them."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.metrics import statistics
from jaxseg.metrics.bootstrap import LEVEL
from jaxseg.metrics.paired import holm
from jaxseg.metrics.verdict import judge
from jaxseg.studies.estimates import SEED
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow


class Design(NamedTuple):
    """What is compared: two arms (pair) or four (interaction), without any numbers."""

    kind: str
    axis: str
    arms: tuple[str, ...]


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


def corrected(family: Iterable[ContrastRow | None]) -> list[ContrastRow]:
    """The rows of one family that there are, with Holm's correction over them."""
    rows = [row for row in family if row is not None]
    adjusted = holm(np.array([row.p for row in rows])) if rows else []
    return [row._replace(p_holm=float(p)) for row, p in zip(rows, adjusted)]


def compare(
    results: Results,
    parts: Mapping[str, np.ndarray],
    design: Design,
    key: tuple[str, str, str],
    statistic: statistics.Statistic,
    weights: Sequence[float] = SIGNS,
) -> ContrastRow | None:
    """One row, `p_holm` still to be filled in; None when the arms have no seed in common.

    `parts` holds [seeds, images, …] of every arm, what `statistic` takes; `key` is (test set, band,
    metric); `weights` has one number an arm of the design, by default those of a pair or an
    interaction.
    """
    seeds = results.common_seeds(design.arms)
    if not seeds:
        return None
    paired = [parts[arm][[results.seeds[arm].index(s) for s in seeds]] for arm in design.arms]
    if results.missing:
        paired = _without_missing(results, design.arms, seeds, paired)
    found = statistics.contrast(
        paired,
        weights[: len(paired)],
        statistic,
        clusters=np.arange(paired[0].shape[1]),
        resamples=results.scoring.resamples,
        level=LEVEL,
        seed=SEED,
    )
    names = (*design.arms, "", "", "")[:4]
    test_set, band, metric = key
    return ContrastRow(
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
