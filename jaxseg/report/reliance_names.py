"""Settings of the arms of a study of annotations, and the names that readers know them by."""

from collections.abc import Mapping

from jaxseg.errors import JaxsegError
from jaxseg.report.files import text
from jaxseg.report.results import Results
from jaxseg.report.rules import check_shares
from jaxseg.report.words import short

DOSE = "annotate.contamination"
PLACEMENT = "annotate.placement"
REMOVAL = "annotate.removal"
DRAWN = "annotate.drawn"
FIELDS = (DOSE, PLACEMENT, REMOVAL, DRAWN)


def arm_value(results: Results, arm: str, field: str) -> str:
    """The arm's value of a field of FIELDS as text, from its axes or else from the config.

    Raises JaxsegError where neither has it.
    """
    if field in results.settings[arm]:
        return results.settings[arm][field]
    value = results.fields.flat().get(field)
    if value is None:
        raise JaxsegError(
            f"{results.workdir / 'config.json'}: has no {field}, though test frames with "
            "annotations were scored; run the same command again"
        )
    return text(value)


def dose(results: Results, arm: str) -> float:
    """Share of the arm's training frames that carry annotations, in [0, 1]."""
    value = arm_value(results, arm, DOSE)
    check_shares(f"{results.workdir / 'cells.csv'}: arm {arm!r}: {DOSE}", [value])
    return float(value)


def removes(results: Results, arm: str) -> bool:
    """Whether anything is removed from the arm's training frames."""
    return arm_value(results, arm, REMOVAL) != "none"


def is_drawn(results: Results, arm: str) -> bool:
    """False for a placebo: marks' places are removed without a mark ever drawn there."""
    return arm_value(results, arm, DRAWN) == "True"


def without(settings: Mapping[str, str], free: tuple[str, ...]) -> dict[str, str]:
    """The settings but those of the axes in `free`."""
    return {axis: value for axis, value in settings.items() if axis not in free}


def arm_names(results: Results) -> dict[str, str]:
    """A reader's name for every arm, such as `100 % annotated, tied, removed by telea`."""
    brief = {arm: _arm_name(results, arm, brief=True) for arm in results.arms}
    taken = list(brief.values())
    return {
        arm: name if taken.count(name) == 1 else _arm_name(results, arm, brief=False)
        for arm, name in brief.items()
    }


def _arm_name(results: Results, arm: str, brief: bool) -> str:
    """`brief` leaves out what has no effect where no annotation is drawn."""
    share, drawn = dose(results, arm), is_drawn(results, arm)
    if share and not drawn:
        parts = [f"{100 * share:g} % {_removal_text(results, arm)}", *_placed(results, arm)]
        return ", ".join([*parts, *_others(results, arm)])
    start = f"{100 * share:g} % annotated" if share else "never annotated"
    if share or not brief:
        return ", ".join([start, *_line_parts(results, arm)])
    removed = [_removal_text(results, arm)] * (removes(results, arm) and drawn)
    return ", ".join([start, *removed, *_others(results, arm)])


def line_name(results: Results, arm: str) -> str:
    """What an arm shares with all that differ from it only in the dose."""
    return ", ".join(_line_parts(results, arm)) or "annotations not removed"


def _line_parts(results: Results, arm: str) -> list[str]:
    removed = [_removal_text(results, arm)] * removes(results, arm)
    return [*_placed(results, arm), *removed, *_others(results, arm)]


def _placed(results: Results, arm: str) -> list[str]:
    return [arm_value(results, arm, PLACEMENT)] * (PLACEMENT in results.axes)


def _removal_text(results: Results, arm: str) -> str:
    method = arm_value(results, arm, REMOVAL).replace("_", " ")
    return f"removed by {method}" if is_drawn(results, arm) else f"placebo of {method}"


def _others(results: Results, arm: str) -> list[str]:
    rest = without(results.settings[arm], FIELDS)
    return [f"{short(axis)} {value}" for axis, value in rest.items()]
