"""The arms of a study of annotations: their settings, their names for readers, and their roles.

Which is the baseline, with which the others are compared, and which belong to one dose-response.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jaxseg.errors import JaxsegError
from jaxseg.studies.results import Results
from jaxseg.studies.wording import short
from jaxseg.studies.workdir_files import check_shares, text

DOSE = "annotate.contamination"
PLACEMENT = "annotate.placement"
REMOVAL = "annotate.removal"
DRAWN = "annotate.drawn"
FIELDS = (DOSE, PLACEMENT, REMOVAL, DRAWN)
MITIGATION = "telea"
MOST_SHOWN = 8  # arms in one panel
# At least so many doses make a trend; two are a pair.
TREND_DOSES = 3


class Roles(NamedTuple):
    """The arms that the headline and its findings are about; None where no such arm has finished.

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
    """Arms that differ only in the dose: `arms` maps contamination in [0, 1], ascending, to arm.

    `name` is what they share.
    """

    name: str
    arms: dict[float, str]


def arm_value(results: Results, arm: str, field: str) -> str:
    """The arm's value of a field of FIELDS as text, from its axes or else from the config.

    Raises JaxsegError where neither has it.
    """
    if field in results.settings[arm]:
        return results.settings[arm][field]
    value = results.fields.flat().get(field)
    if value is None:
        raise JaxsegError(
            f"{results.file('config.json')}: has no {field}, though test frames with "
            "annotations were scored; run the same command again"
        )
    return text(value)


def dose(results: Results, arm: str) -> float:
    """Share of the arm's training frames that carry annotations, in [0, 1]."""
    value = arm_value(results, arm, DOSE)
    check_shares(f"{results.file('cells.csv')}: arm {arm!r}: {DOSE}", [value])
    return float(value)


def removes(results: Results, arm: str) -> bool:
    """Whether anything is removed from the arm's training frames."""
    return arm_value(results, arm, REMOVAL) != "none"


def is_drawn(results: Results, arm: str) -> bool:
    """False for a placebo: places are cleared on which no annotation was drawn."""
    return arm_value(results, arm, DRAWN) == "True"


def _without(settings: Mapping[str, str], free: tuple[str, ...]) -> dict[str, str]:
    """The settings but those of the axes in `free`."""
    return {axis: value for axis, value in settings.items() if axis not in free}


# Names.


def arm_names(results: Results) -> dict[str, str]:
    """A reader's name for every arm, such as `100 % annotated, tied, removed by telea`.

    What has no effect where no annotation is drawn is left out, unless two arms then share a name.
    """
    brief, full = {}, {}
    for arm in results.arms:
        share, drawn, parts = dose(results, arm), is_drawn(results, arm), _name_parts(results, arm)
        if share and not drawn:
            start = f"{100 * share:g} % {parts.pop('removal', 'placebo without removal')}"
        else:
            start = f"{100 * share:g} % annotated" if share else "never annotated"
        full[arm] = ", ".join([start, *parts.values()])
        if not share:
            idle = ("placement",) if drawn else ("placement", "removal")
            parts = {name: part for name, part in parts.items() if name not in idle}
        brief[arm] = ", ".join([start, *parts.values()])
    taken = list(brief.values())
    return {arm: name if taken.count(name) == 1 else full[arm] for arm, name in brief.items()}


def _name_parts(results: Results, arm: str) -> dict[str, str]:
    """How annotations are placed and removed, then all other axes; what is the same is left out."""
    parts = {}
    if PLACEMENT in results.axes:
        parts["placement"] = arm_value(results, arm, PLACEMENT)
    if removes(results, arm):
        method = arm_value(results, arm, REMOVAL).replace("_", " ")
        how = "removed by" if is_drawn(results, arm) else "placebo of"
        parts["removal"] = f"{how} {method}"
    others = _without(results.settings[arm], FIELDS)
    return parts | {axis: f"{short(axis)} {value}" for axis, value in others.items()}


# Roles and lines.


def roles(results: Results) -> Roles:
    """Chosen by settings alone, before any number is seen.

    Baseline: annotations not removed, drawn, tied to the structure, every other axis at its first
    value, at the highest contamination; where no finished arm has all of these, the one that has
    the first of them, in this order. The others equal the baseline in all but: removal (mitigated;
    `telea`, else the first that there is), contamination 0 (control), drawn and removal (placebo;
    the mitigated arm's removal where it has one).
    """
    baseline = max(results.arms, key=lambda arm: _closeness(results, arm))
    mitigated = None
    if not removes(results, baseline):
        removed = [arm for arm in _alike(results, baseline, (REMOVAL,)) if removes(results, arm)]
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
        rest = tuple(_without(results.settings[arm], (DOSE,)).items())
        grouped.setdefault(rest, {})[dose(results, arm)] = arm
    zeros = {_at_zero(results, arm): arm for arm in results.arms if dose(results, arm) == 0}
    found = []
    for arms in grouped.values():
        one = next(iter(arms.values()))
        zero = zeros.get(_at_zero(results, one))
        whole = ({0.0: zero} if zero else {}) | arms
        name = ", ".join(_name_parts(results, one).values()) or "annotations not removed"
        found.append(Line(name, dict(sorted(whole.items()))))
    starts = {line.arms.get(0.0) for line in found if len(line.arms) > 1}
    return [line for line in found if set(line.arms) != {0.0} or line.arms[0.0] not in starts]


def shown_arms(results: Results) -> list[str]:
    """Arms of figures and tables that cannot show all: all that fit, else those of `roles` and
    those one axis other than the dose away from the baseline, in grid order."""
    if len(results.arms) <= MOST_SHOWN:
        return results.arms
    chosen = roles(results)
    kept = chosen.present
    for axis in results.axes:
        kept += _alike(results, chosen.baseline, (axis,)) if axis != DOSE else []
    kept = list(dict.fromkeys(kept))[:MOST_SHOWN]
    return [arm for arm in results.arms if arm in kept]


def shown_roles(roles: Roles) -> list[str]:
    """Arms of pictures: the baseline, and the mitigated arm or else the control or placebo."""
    others = (roles.mitigated, roles.control, roles.placebo)
    return [roles.baseline, *[arm for arm in others if arm is not None][:1]]


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
    kept = _without(results.settings[baseline], free)
    return [
        arm
        for arm in results.arms
        if arm != baseline and _without(results.settings[arm], free) == kept
    ]


def _preferred(results: Results, arms: list[str], removal: str) -> str | None:
    named = [arm for arm in arms if arm_value(results, arm, REMOVAL) == removal]
    return next(iter([*named, *arms]), None)


def _at_zero(results: Results, arm: str) -> tuple:
    """All that training frames of contamination 0 depend on."""
    rest = _without(results.settings[arm], FIELDS)
    removal = arm_value(results, arm, REMOVAL) if is_drawn(results, arm) else "none"
    return (*rest.items(), removal)
