"""Tables of the page of a study of annotations, as HTML: the paper's Tables 1 and 2 and others."""

from collections.abc import Sequence
from html import escape

from jaxseg.metrics.verdict import NO_DIFFERENCE
from jaxseg.report.text import interval, number, p_text
from jaxseg.studies.annotations.arms import lines, told_arms
from jaxseg.studies.annotations.comparisons import SLOPE, TREND, find
from jaxseg.studies.annotations.details import class_reliance
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    CLEAN,
    SEQUENCE,
    Study,
    bands,
)
from jaxseg.studies.annotations.names import arm_names
from jaxseg.studies.annotations.reading import reliance_of
from jaxseg.studies.annotations.saliency import POINTING, RANDOM, RATIO
from jaxseg.studies.annotations.tables import (
    DICE,
    RELIANCE,
    STABILITY,
    difference_of,
)
from jaxseg.studies.position.analysis import Analysis
from jaxseg.studies.position.sections import MAX_ROWS, table
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

Heads = list[tuple[str, bool]]
DIFFERENCE = "Annotated − clean"
TABLE_1 = (
    "Dice of whole frames: mean ± SD over frames, averaged over seeds, with 95 % intervals of the "
    "mean; differences are paired by frame and seed."
)
COULD = (
    "In brackets below “no difference shown”, with 6 seeds or more: the smallest difference that "
    "so many seeds and frames would show with 80 % power."
)


def arms_table(analysis: Analysis, study: Study) -> str:
    """Table 1 over all frames: every arm while they fit, with its reliance and its test."""
    arms = analysis.results.arms
    arms = arms if len(arms) <= MAX_ROWS else told_arms(analysis.results)
    heads = [("Arm", False), ("Seeds", True), *_dice_heads(study), (DIFFERENCE, True)]
    heads += [("p", True), ("Verdict", False)]
    body = []
    for arm in arms:
        row = reliance_of(analysis.comparisons, arm)
        cells = [_arm_cell(analysis, arm), _right(str(len(analysis.results.seeds[arm])))]
        cells += [_dice(analysis.rows, arm, test_set, ALL) for test_set in study.test_sets]
        cells += [_reliance(analysis.rows, arm, ALL), _right(p_text(row.p))]
        body.append("".join([*cells, _verdict(row)]))
    rest = len(analysis.results.arms) - len(arms)
    more = f" {rest} more arms in summary.csv." * (rest > 0)
    return table(heads, body, f"All test frames. {TABLE_1} {COULD}{more}")


def planes_table(analysis: Analysis, study: Study) -> str:
    """Table 1 by plane, for the arms of `Roles`; empty where there is one plane."""
    masks = {k: m for k, m in bands(study, CLEAN).items() if k != ALL}
    names = arm_names(analysis.results)
    heads = [("Plane", False), ("Frames", True), ("Arm", False), *_dice_heads(study)]
    body = []
    for band, mask in masks.items():
        for k, arm in enumerate(study.roles.present):
            start = [band.removeprefix("plane:"), str(int(mask.sum()))] if k == 0 else ["", ""]
            cells = [f"<td>{escape(start[0])}</td>", _right(start[1])]
            cells += [f"<td>{escape(names[arm])}</td>"]
            cells += [_dice(analysis.rows, arm, t, band) for t in study.test_sets]
            body.append("".join([*cells, _reliance(analysis.rows, arm, band)]))
    return table([*heads, (DIFFERENCE, True)], body, f"By plane. {TABLE_1}") if body else ""


def classes_table(analysis: Analysis, study: Study) -> str:
    """Reliance by structure, for the arms of `Roles`; empty where there is one structure."""
    names, arms = arm_names(analysis.results), study.roles.present
    found = {
        name: [class_reliance(study, analysis.rows, arm, name) for arm in arms]
        for name in study.classes
    }
    body = [
        f"<td>{escape(name)}</td>" + "".join(_value(row, signed=True) for row in rows)
        for name, rows in found.items()
        if all(rows)
    ]
    heads = [("Structure", False), *((names[arm], True) for arm in arms)]
    caption = "Reliance (Dice, annotated − clean) by structure, over the frames that hold it."
    return _folded("By structure", table(heads, body, caption)) if body else ""


def trend_table(analysis: Analysis) -> str:
    """Slope of reliance over contamination for each line with enough doses; empty without any."""
    heads: Heads = [("Line", False), ("Doses (%)", True), ("Slope", True), ("p", True)]
    heads += [("p (Holm)", True), ("Seeds", True), ("Verdict", False)]
    body = []
    for line in lines(analysis.results):
        arms = [*line.arms.values()]
        row = find(analysis.comparisons, TREND, SLOPE, arms[-1], arms[0])
        if row is not None:
            doses = ", ".join(f"{100 * dose:g}" for dose in line.arms)
            cells = [f"<td>{escape(line.name)}</td>", _right(doses)]
            cells += [_with_soft(row.difference, row.ci_low, row.ci_high, signed=True)]
            cells += [_right(p_text(row.p)), _right(p_text(row.p_holm)), _right(str(row.n_seeds))]
            body.append("".join([*cells, _verdict(row)]))
    caption = (
        "Test for trend: change of reliance from 0 to 100 % annotated training frames, by a "
        f"straight line through each seed's doses. {COULD}"
    )
    return table(heads, body, caption) if body else ""


def stability_table(analysis: Analysis, study: Study) -> str:
    """Table 2: Dice between the predictions at the start and the end of annotating a frame."""
    if not study.to_last:
        return ""
    masks = bands(study, SEQUENCE)
    heads: Heads = [("Arm", False)]
    for band, mask in masks.items():
        name = "All frames" if band == ALL else band.removeprefix("plane:")
        heads.append((f"{name} ({int(mask.sum())})", True))
    arms = told_arms(analysis.results)
    body = [
        _arm_cell(analysis, arm)
        + "".join(_value(value_of(analysis.rows, arm, SEQUENCE, band, STABILITY)) for band in masks)
        for arm in arms
    ]
    return table(
        heads,
        body,
        "Stability: Dice between the predictions before any annotation and with all of them, with "
        "95 % intervals; in brackets the number of frames.",
    )


def saliency_table(analysis: Analysis) -> str:
    """Scores of the maps beside those of randomised weights; empty without maps."""
    saliency = analysis.saliency
    if saliency is None:
        return ""
    columns = {
        "Saliency on annotations / area": RATIO,
        "… randomised weights": RATIO + RANDOM,
        "Maximum on an annotation": POINTING,
        "… randomised weights ": POINTING + RANDOM,
    }
    heads: Heads = [("Arm", False), ("Seeds", True), *((name, True) for name in columns)]
    body = []
    for arm in [arm for arm in told_arms(analysis.results) if saliency.cells(arm)]:
        cells = [_arm_cell(analysis, arm), _right(str(len(saliency.cells(arm))))]
        for metric in columns.values():
            row = value_of(analysis.rows, arm, saliency.test_set, ALL, metric)
            cells.append(_value(row))
        body.append("".join(cells))
    area = 100 * float(saliency.arrays["area"].mean())
    caption = (
        f"Seg-Grad-CAM at layer {saliency.layer}, {saliency.test_set} frames "
        f"({len(saliency.arrays['area'])}). Annotations cover {area:.1f} % of a frame on average, "
        "which is chance for the maximum too."
    )
    return table(heads, body, caption)


def _dice_heads(study: Study) -> Heads:
    return [(test_set.capitalize(), True) for test_set in study.test_sets]


def _arm_cell(analysis: Analysis, arm: str) -> str:
    """The reader's name, and below it the key of the CSV files."""
    name = arm_names(analysis.results)[arm]
    return f'<td>{escape(name)}<span class="soft">{escape(arm)}</span></td>'


def _dice(rows: Sequence[EstimateRow], arm: str, test_set: str, band: str) -> str:
    mean = value_of(rows, arm, test_set, band, DICE)
    spread = value_of(rows, arm, test_set, band, f"{DICE}_sd")
    if mean is None or spread is None:
        return _right("–")
    small = interval(mean.ci_low, mean.ci_high)
    text = f"{number(mean.value)} ± {number(spread.value)}"
    return f'<td class="n">{text}<span class="soft">{small}</span></td>'


def _reliance(rows: Sequence[EstimateRow], arm: str, band: str) -> str:
    row = value_of(rows, arm, difference_of(ANNOTATED), band, RELIANCE)
    return _value(row, signed=True)


def _value(row: EstimateRow | None, signed: bool = False) -> str:
    return _right("–") if row is None else _with_soft(row.value, row.ci_low, row.ci_high, signed)


def _with_soft(value: float, low: float, high: float, signed: bool) -> str:
    ends = interval(low, high, signed)
    return f'<td class="n">{number(value, signed=signed)}<span class="soft">{ends}</span></td>'


def _right(text: str) -> str:
    return f'<td class="n">{escape(text)}</td>'


def _verdict(row: ContrastRow) -> str:
    least = number(row.smallest_detectable)
    small = f"(≥ {least})" * (row.verdict == NO_DIFFERENCE and least != "–")
    return f'<td class="verdict">{escape(row.verdict)}<span class="soft">{small}</span></td>'


def _folded(summary: str, inside: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"
