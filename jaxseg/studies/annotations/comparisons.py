"""The rows of comparisons.csv of a study of annotations.

Rows are `comparisons.Comparison`, of four kinds:
  arm       the reliance of one arm (arm_a): Dice of the same images with annotations minus without.
  contrast  arm_a − arm_b for arms named by `reliance_arms.roles`; `axis` says which.
  pair      arm_a − arm_b along one axis, as in any grid.
  trend     slope of reliance over contamination, from arm_b (lowest) to arm_a (highest): the change
            of Dice from 0 to 100 % by the straight line of least squares through each seed's doses.
Holm's correction runs over the rows of one kind, metric and test set. p is the exact sign-flip p
over seeds, as everywhere.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.metrics.statistics import item_mean
from jaxseg.studies.annotations.arms import TREND_DOSES, Line, lines
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    CLEAN,
    SEQUENCE,
    Study,
    image_dice,
    reliance,
    stage_dice,
)
from jaxseg.studies.annotations.names import DOSE
from jaxseg.studies.annotations.tables import (
    DICE,
    RELIANCE,
    STABILITY,
    difference_of,
)
from jaxseg.studies.comparisons import (
    Design,
    compare,
    corrected,
    designs,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow

ARM, CONTRAST, PAIR, TREND = "arm", "contrast", "pair", "trend"
SLOPE = "reliance_slope"
Key = tuple[str, str, str]


def study_comparisons(results: Results, study: Study) -> list[ContrastRow]:
    """All rows: first what the study was made for, then every pair of the grid."""
    kept = (difference_of(ANNOTATED), ALL, RELIANCE)
    rows = []
    for test_set in study.marked_sets:
        key = (difference_of(test_set), ALL, RELIANCE)
        rows += _family(results, study, key, [Design(ARM, "", (arm,)) for arm in results.arms])
    for key in (kept, (CLEAN, ALL, DICE)):
        rows += _family(results, study, key, [*_contrasts(study)])
    rows += _trends(results, study)
    pairs = [design for design in designs(results) if design.kind == PAIR]
    for key in (kept, *compared(study)):
        rows += _family(results, study, key, pairs)
    return rows


def compared(study: Study) -> list[Key]:
    """(test set, band, metric) of pairs besides reliance: what an arm costs, and its stability."""
    keys = [(CLEAN, ALL, DICE), (ANNOTATED, ALL, DICE)]
    return keys + [(SEQUENCE, ALL, STABILITY)] * bool(study.to_last)


def of_kind(rows: Sequence[ContrastRow], kind: str) -> list[ContrastRow]:
    """The rows of one kind, in order."""
    return [row for row in rows if row.kind == kind]


def find(
    rows: Sequence[ContrastRow], kind: str, metric: str, *arms: str | None, test_set: str = ""
) -> ContrastRow | None:
    """The row of these arms, or None; `test_set` where a metric has several."""
    return next(
        (
            row
            for row in rows
            if (row.kind, row.metric, row.arms) == (kind, metric, arms)
            and test_set in ("", row.test_set)
        ),
        None,
    )


def scores_of(study: Study, arm: str, key: Key) -> np.ndarray:
    """What a row of this key is the mean of: float [seeds, images]."""
    test_set, _, metric = key
    if metric == STABILITY:
        return stage_dice(study, arm)
    if metric == DICE:
        return image_dice(study, arm, test_set)
    return reliance(study, arm, test_set.removesuffix(f"-{CLEAN}"))


def _family(
    results: Results, study: Study, key: Key, planned: Sequence[Design]
) -> list[ContrastRow]:
    parts = {arm: scores_of(study, arm, key) for arm in results.arms}
    return corrected(compare(results, parts, design, key, item_mean) for design in planned)


def _contrasts(study: Study) -> Iterator[Design]:
    """What removal takes away, what annotations brought, and what a removal's traces do."""
    baseline, mitigated, control, placebo = study.roles
    wanted = [
        ("baseline - mitigated", baseline, mitigated),
        ("baseline - control", baseline, control),
        ("mitigated - control", mitigated, control),
        ("placebo - control", placebo, control),
    ]
    for name, arm, other in wanted:
        if arm is not None and other is not None:
            yield Design(CONTRAST, name, (arm, other))


def _trends(results: Results, study: Study) -> list[ContrastRow]:
    key = (difference_of(ANNOTATED), ALL, SLOPE)
    parts = {arm: scores_of(study, arm, key) for arm in results.arms}
    planned = [line for line in lines(results) if len(line.arms) >= TREND_DOSES]
    return corrected(_trend(results, parts, key, line) for line in planned)


def _trend(
    results: Results, parts: dict[str, np.ndarray], key: Key, line: Line
) -> ContrastRow | None:
    """A least-squares slope is a weighted sum over doses, so that it is a contrast like others."""
    away = np.array([*line.arms]) - np.mean([*line.arms])
    arms = tuple(line.arms.values())
    design = Design(TREND, DOSE, arms)
    row = compare(results, parts, design, key, item_mean, list(away / (away**2).sum()))
    return row and row._replace(arm_a=arms[-1], arm_b=arms[0], arm_c="", arm_d="")
