"""Figures of a study of annotations: dose-response, and stability along a sequence (Fig. 2)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxseg.report.plot import (
    COLOURS,
    DASHES,
    MARKERS,
    Style,
    legend_below,
    page_style,
)
from jaxseg.studies.annotations.arms import Line, lines, told_arms
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    SEQUENCE,
    Study,
)
from jaxseg.studies.annotations.names import (
    PLACEMENT,
    arm_names,
    arm_value,
    dose,
)
from jaxseg.studies.annotations.tables import RELIANCE, TO_LAST, difference_of
from jaxseg.studies.arm_styles import ARMS_PER_PANEL, Look
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow, value_of

NEVER = Style("#000000", ":", "o")
HUES = tuple(colour for colour in COLOURS if colour != NEVER.colour)
# Percent of contamination by which neighbouring lines stand apart, so that no bar hides another.
APART = 1.2


def line_styles(results: Results) -> dict[str, Style]:
    """Style of every dose-response line by its name: a colour, a marker and a dash of its own."""
    return {
        line.name: Style(HUES[k % len(HUES)], DASHES[k % len(DASHES)], MARKERS[k % len(MARKERS)])
        for k, line in enumerate(lines(results))
    }


def arm_looks(results: Results) -> dict[str, Style]:
    """Style of every arm: that of its line at the highest dose, other dashes below; black for the
    one arm that never saw an annotation."""
    found: dict[str, Style] = {}
    for j, line in enumerate(lines(results)):
        style = line_styles(results)[line.name]
        for k, arm in enumerate(reversed(line.arms.values())):
            found.setdefault(arm, style._replace(dash=DASHES[(j + k) % len(DASHES)]))
    never = {arm: NEVER for arm in found if dose(results, arm) == 0 and len(found) > 1}
    return found | (never if len(never) == 1 else {})


def study_look(results: Results) -> Look:
    """The told arms in one panel, under their readers' names."""
    looks, names, arms = arm_looks(results), arm_names(results), told_arms(results)
    styles = {arm: looks[arm] for arm in arms}
    return Look([("", arms)], styles, {names[arm]: style for arm, style in styles.items()})


def dose_response(results: Results, rows: Sequence[EstimateRow]) -> Figure | None:
    """Reliance by contamination, a line for each placement, removal and placebo, with intervals.

    None where every arm has the same contamination.
    """
    found = lines(results)
    if len({value for line in found for value in line.arms}) < 2:
        return None
    panels = _panels(results, found)
    with page_style():
        figure = Figure(figsize=(max(7.2, 3.6 * len(panels)), 4.4), layout="constrained")
        axes = np.asarray(figure.subplots(1, len(panels), sharey=True, squeeze=False))[0]
        for ax, (title, inside) in zip(axes, panels.items()):
            ax.axhline(0, color="black", linewidth=0.8)
            for k, line in enumerate(inside):
                _dose_line(ax, results, rows, line, (k - (len(inside) - 1) / 2) * APART)
            ax.set_xticks(sorted({100 * value for line in inside for value in line.arms}))
            ax.set(title=title, xlabel="Training frames with annotations (%)")
        axes[0].set_ylabel("Reliance: Dice, annotated − clean")
        legend_below(figure, line_styles(results))
    return figure


def _panels(results: Results, found: Sequence[Line]) -> dict[str, list[Line]]:
    """One panel while all lines fit in it, else one for each placement."""
    if len(found) <= ARMS_PER_PANEL:
        return {"": list(found)}
    panels: dict[str, list[Line]] = {}
    for line in found:
        placement = arm_value(results, [*line.arms.values()][-1], PLACEMENT)
        panels.setdefault(placement, []).append(line)
    return panels


def sequence(results: Results, study: Study, rows: Sequence[EstimateRow]) -> Figure | None:
    """Dice to the last prediction along the stages of annotating a frozen frame.

    None without sequences.
    """
    if not study.to_last:
        return None
    look = study_look(results)
    with page_style():
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        ax = figure.subplots()
        for arm, style in look.styles.items():
            _stage_line(ax, study, rows, arm, style)
        ax.set_xlabel("Stage of annotating the frame (0: no annotation yet, last: all)")
        ax.set_ylabel("Dice to the prediction at the last stage")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -0.02), min(high, 1.02))
        legend_below(figure, look.legend)
    return figure


def _dose_line(
    ax: Axes, results: Results, rows: Sequence[EstimateRow], line: Line, shift: float
) -> None:
    style = line_styles(results)[line.name]
    found = [
        (100 * share + shift, row)
        for share, arm in line.arms.items()
        if (row := value_of(rows, arm, difference_of(ANNOTATED), ALL, RELIANCE)) is not None
    ]
    values = np.array([row.value for _, row in found])
    ends = np.array([(row.ci_low, row.ci_high) for _, row in found]).T
    ax.errorbar(
        [x for x, _ in found],
        values,
        # A percentile interval of a skewed statistic need not hold the value itself.
        yerr=np.maximum([values - ends[0], ends[1] - values], 0),
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        ms=5,
        elinewidth=1.2,
        capsize=2.5,
    )


def _stage_line(
    ax: Axes, study: Study, rows: Sequence[EstimateRow], arm: str, style: Style
) -> None:
    stages = range(study.to_last[arm].shape[-1])
    found = [value_of(rows, arm, SEQUENCE, f"stage:{k}", TO_LAST) for k in stages]
    picked = [(k, row) for k, row in zip(stages, found) if row is not None]
    x = [k for k, _ in picked]
    low, high = [row.ci_low for _, row in picked], [row.ci_high for _, row in picked]
    ax.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0)
    values = [row.value for _, row in picked]
    ax.plot(x, values, color=style.colour, linestyle=style.dash, marker=style.marker, ms=4)
