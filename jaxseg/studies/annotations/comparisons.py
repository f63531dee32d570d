"""The rows of comparisons.csv of a study of annotations.

They are of four kinds:
  arm       the reliance of one arm (arm_a): Dice of the same images with annotations minus without.
  contrast  arm_a − arm_b for arms of `Roles`; `axis` says which.
  pair      arm_a − arm_b along one axis, as in any grid.
  trend     slope of reliance over contamination, from arm_b (lowest) to arm_a (highest): the change
            of Dice from 0 to 100 % by the straight line of least squares through each seed's doses.
Holm's correction runs over the rows of one kind, metric and test set. p is the exact sign-flip p
over seeds, as everywhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.metrics.statistics import item_mean
from jaxseg.studies.annotations.arms import DOSE, TREND_DOSES, Line, Roles, arm_names, lines
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    CLEAN,
    DICE,
    RELIANCE,
    SEQUENCE,
    STABILITY,
    Study,
    difference_of,
    image_dice,
    reliance,
    stage_dice,
)
from jaxseg.studies.comparisons import Design, compare, corrected, designs
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

ARM, CONTRAST, PAIR, TREND = "arm", "contrast", "pair", "trend"
SLOPE = "reliance_slope"
Key = tuple[str, str, str]


def contrasts(results: Results, study: Study) -> list[ContrastRow]:
    """All rows: first what the study was made for, then every pair of the grid."""
    gained, on_clean = (difference_of(ANNOTATED), ALL, RELIANCE), (CLEAN, ALL, DICE)
    each_arm = [Design(ARM, "", (arm,)) for arm in results.arms]
    baseline, mitigated, control, placebo = study.roles
    # What removal takes away, what annotations brought, and what a removal's traces do.
    wanted = [
        ("baseline - mitigated", baseline, mitigated),
        ("baseline - control", baseline, control),
        ("mitigated - control", mitigated, control),
        ("placebo - control", placebo, control),
    ]
    roles = [Design(CONTRAST, name, (a, b)) for name, a, b in wanted if a and b]
    pairs = [design for design in designs(results) if design.kind == PAIR]
    paired = [gained, on_clean, (ANNOTATED, ALL, DICE)]
    paired += [(SEQUENCE, ALL, STABILITY)] if study.to_last else []
    rows = []
    for test_set in study.marked_sets:
        rows += _family(results, study, (difference_of(test_set), ALL, RELIANCE), each_arm)
    for key in (gained, on_clean):
        rows += _family(results, study, key, roles)
    rows += _trends(results, study)
    for key in paired:
        rows += _family(results, study, key, pairs)
    return rows


class Analysis(NamedTuple):
    """All that the page is made of; `rows` are `estimates` and those of saliency."""

    results: Results
    study: Study
    rows: list[EstimateRow]
    contrasts: list[ContrastRow]

    @property
    def roles(self) -> Roles:
        """The arms that the headline and its findings are about."""
        return self.study.roles

    @property
    def names(self) -> dict[str, str]:
        """The readers' name of every arm."""
        return arm_names(self.results)

    @property
    def pairs(self) -> list[ContrastRow]:
        """The comparisons that any grid has."""
        return [row for row in self.contrasts if row.kind == PAIR]

    def estimate(
        self, arm: str | None, test_set: str, metric: str, band: str = ALL
    ) -> EstimateRow | None:
        """The one row with these keys, or None."""
        return value_of(self.rows, arm, test_set, band, metric) if arm else None

    def class_reliance(self, arm: str, name: str) -> EstimateRow | None:
        """The reliance in one class, where there are several."""
        return self.estimate(arm, difference_of(ANNOTATED), f"{RELIANCE}:{name}")

    def reliance(self, arm: str, test_set: str = ANNOTATED) -> ContrastRow:
        """The reliance of one arm on a marked test set; every finished arm has one."""
        key = (ARM, RELIANCE, (arm,), difference_of(test_set))
        return next(r for r in self.contrasts if (r.kind, r.metric, r.arms, r.test_set) == key)

    def contrast(self, metric: str, arm: str | None, other: str | None) -> ContrastRow | None:
        """The contrast of two arms of `roles`, or None."""
        return self._find(CONTRAST, metric, arm, other)

    def trend(self, line: Line) -> ContrastRow | None:
        """The slope of reliance over the doses of a line, or None."""
        arms = [*line.arms.values()]
        return self._find(TREND, SLOPE, arms[-1], arms[0])

    def _find(self, kind: str, metric: str, *arms: str | None) -> ContrastRow | None:
        key = (kind, metric, arms)
        return next((r for r in self.contrasts if (r.kind, r.metric, r.arms) == key), None)


def _family(
    results: Results, study: Study, key: Key, planned: Sequence[Design]
) -> list[ContrastRow]:
    parts = {arm: _scores(study, arm, key) for arm in results.arms}
    return corrected(compare(results, parts, design, key, item_mean) for design in planned)


def _scores(study: Study, arm: str, key: Key) -> np.ndarray:
    """What a row of this key is the mean of: float [seeds, images]."""
    test_set, _, metric = key
    if metric == STABILITY:
        return stage_dice(study, arm)
    if metric == DICE:
        return image_dice(study, arm, test_set)
    return reliance(study, arm, test_set.removesuffix(f"-{CLEAN}"))


def _trends(results: Results, study: Study) -> list[ContrastRow]:
    """A least-squares slope is a weighted sum over doses, so that it is a contrast like others."""
    key = (difference_of(ANNOTATED), ALL, SLOPE)
    parts = {arm: reliance(study, arm) for arm in results.arms}
    rows = []
    for line in lines(results):
        if len(line.arms) < TREND_DOSES:
            continue
        arms = tuple(line.arms.values())
        away = np.array([*line.arms]) - np.mean([*line.arms])
        weights = list(away / (away**2).sum())
        row = compare(results, parts, Design(TREND, DOSE, arms), key, item_mean, weights)
        if row is not None:
            rows.append(row._replace(arm_a=arms[-1], arm_b=arms[0], arm_c="", arm_d=""))
    return corrected(rows)
