"""The arms of a study of annotations: which is the baseline, which belong to one dose-response."""

from typing import NamedTuple

from jaxseg.studies.annotations.names import (
    DOSE,
    DRAWN,
    FIELDS,
    PLACEMENT,
    REMOVAL,
    arm_value,
    dose,
    is_drawn,
    line_name,
    removes,
    without,
)
from jaxseg.studies.arm_styles import ARMS_PER_PANEL
from jaxseg.studies.results import Results

MITIGATION = "telea"
# At least so many doses make a trend; two are a pair.
TREND_DOSES = 3


class Roles(NamedTuple):
    """The arms a study is told by; None where the grid has no such finished arm.

    `baseline` relies on annotations if any arm does; `mitigated` is trained on the same frames
    with the annotations removed; `control` on frames that never had any; `placebo` on frames
    without any from which the places of annotations were removed all the same.
    """

    baseline: str
    mitigated: str | None
    control: str | None
    placebo: str | None

    @property
    def present(self) -> list[str]:
        """Those that there are, without repetition."""
        return list(dict.fromkeys(arm for arm in self if arm is not None))


class Line(NamedTuple):
    """Arms that differ only in the dose: `arms` maps contamination in [0, 1], ascending, to arm."""

    name: str
    arms: dict[float, str]


def roles(results: Results) -> Roles:
    """Chosen by settings alone, before any number is seen.

    Baseline: annotations not removed, drawn, tied to the structure, every other axis at its first
    value, at the highest contamination; where no finished arm has all of these, the one that has
    the first of them, in this order. The others equal the baseline in all but: removal (mitigated;
    `telea`, else the first that there is), contamination 0 (control), drawn and removal (placebo;
    the mitigated arm's removal where it has one).
    """
    baseline = max(results.arms, key=lambda arm: _closeness(results, arm))
    removed = [arm for arm in _alike(results, baseline, (REMOVAL,)) if removes(results, arm)] * (
        not removes(results, baseline)
    )
    mitigated = _preferred(results, removed, MITIGATION)
    placebos = [
        arm
        for arm in _alike(results, baseline, (REMOVAL, DRAWN))
        if removes(results, arm) and not is_drawn(results, arm)
    ]
    wanted = arm_value(results, mitigated, REMOVAL) if mitigated else MITIGATION
    line = next(line for line in lines(results) if baseline in line.arms.values())
    control = line.arms.get(0.0) if dose(results, baseline) else None
    return Roles(baseline, mitigated, control, _preferred(results, placebos, wanted))


def is_planned(results: Results, baseline: str) -> bool:
    """Whether the baseline has all that `roles` asks for, at the highest dose of the grid."""
    doses = [float(value) for value in results.axes.get(DOSE, [])]
    highest = max([dose(results, baseline), *doses])
    return _closeness(results, baseline) == (True, True, True, 0, highest)


def lines(results: Results) -> list[Line]:
    """Dose-response lines in grid order, one for each combination of all other axes.

    Where a line has no arm of its own at contamination 0, it takes one that was trained on the
    very same frames: without annotations, neither their placement nor a placebo's removal matters.
    """
    grouped: dict[tuple, dict[float, str]] = {}
    for arm in results.arms:
        grouped.setdefault(_rest(results, arm), {})[dose(results, arm)] = arm
    zeros = {_at_zero(results, arm): arm for arm in results.arms if dose(results, arm) == 0}
    found = []
    for arms in grouped.values():
        one = next(iter(arms.values()))
        zero = zeros.get(_at_zero(results, one))
        whole = ({0.0: zero} if zero else {}) | arms
        found.append(Line(line_name(results, one), dict(sorted(whole.items()))))
    return [line for line in found if not _is_start_of_another(line, found)]


def _is_start_of_another(line: Line, others: list[Line]) -> bool:
    return set(line.arms) == {0.0} and any(
        len(other.arms) > 1 and other.arms.get(0.0) == line.arms[0.0] for other in others
    )


def told_arms(results: Results) -> list[str]:
    """Arms of figures and tables that cannot show all: all that fit, else those of `roles` and
    those one axis other than the dose away from the baseline, in grid order."""
    if len(results.arms) <= ARMS_PER_PANEL:
        return results.arms
    chosen = roles(results)
    near = [
        arm
        for axis in results.axes
        if axis != DOSE
        for arm in _alike(results, chosen.baseline, (axis,))
    ]
    kept = list(dict.fromkeys([*chosen.present, *near]))[:ARMS_PER_PANEL]
    return [arm for arm in results.arms if arm in kept]


def _closeness(results: Results, arm: str) -> tuple[bool, bool, bool, int, float]:
    others = [axis for axis in results.axes if axis not in FIELDS]
    apart = sum(results.settings[arm][axis] != results.axes[axis][0] for axis in others)
    return (
        not removes(results, arm),
        is_drawn(results, arm),
        arm_value(results, arm, PLACEMENT) == "tied",
        -apart,
        dose(results, arm),
    )


def _alike(results: Results, baseline: str, free: tuple[str, ...]) -> list[str]:
    """Arms but the baseline that equal it on all axes except `free`."""
    kept = without(results.settings[baseline], free)
    return [
        arm
        for arm in results.arms
        if arm != baseline and without(results.settings[arm], free) == kept
    ]


def _preferred(results: Results, arms: list[str], removal: str) -> str | None:
    named = [arm for arm in arms if arm_value(results, arm, REMOVAL) == removal]
    return next(iter([*named, *arms]), None)


def _rest(results: Results, arm: str) -> tuple:
    return tuple(without(results.settings[arm], (DOSE,)).items())


def _at_zero(results: Results, arm: str) -> tuple:
    """All that training frames of contamination 0 depend on."""
    rest = without(results.settings[arm], FIELDS)
    removal = arm_value(results, arm, REMOVAL) if is_drawn(results, arm) else "none"
    return (*rest.items(), removal)
