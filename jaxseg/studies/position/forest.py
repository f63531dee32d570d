"""Forest plot of the comparisons: every difference with its interval, one panel per metric."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.verdict import NO_DIFFERENCE, NOT_SIGNIFICANT
from jaxseg.report.plot import page_style
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, families
from jaxseg.studies.wording import label, metric_name, prominent

MAX_ROWS = 24
LEGEND_ROWS = 2
SHOWN, NOT_SHOWN, DETECTABLE = "#0072B2", "#777777", "#e4e4e4"


def forest(
    results: Results, rows: Sequence[ContrastRow], interactions: bool = True
) -> Figure | None:
    """Rows are pairs and interactions, columns the compared metrics. None without comparisons.

    Filled: the interval excludes 0 and p is at most 0.05; open: the interval alone does. The grey
    bar spans the differences that so many seeds and images would miss more often than one time in
    five, whether or not they found this one; without a bar they would miss any. More than MAX_ROWS
    comparisons: those that touch the first arm. `interactions`: whether the legend names them.
    """
    if not rows:
        return None
    chosen = {metric_name(f[0]): prominent(results, f, MAX_ROWS) for f in families(rows)}
    # Where arms share no seed a family lacks rows; lines are named by the fullest one.
    lines = list(dict.fromkeys(label(results, row) for family in chosen.values() for row in family))
    with page_style():
        height = 0.26 * len(lines) + 1.3 + 0.2 * LEGEND_ROWS
        figure = Figure(
            figsize=(0.6 + 0.065 * max(map(len, lines)) + 1.85 * len(chosen), height),
            layout="constrained",
        )
        axes = np.asarray(figure.subplots(1, len(chosen), sharey=True, squeeze=False))[0]
        for ax, (name, family) in zip(axes, chosen.items()):
            for row in family:
                _draw(ax, row, lines.index(label(results, row)))
            ax.set_xlim(_limits(family))
            ax.axvline(0, color="black", linewidth=0.8)
            ax.set_title(name.replace(" on ", "\non "))
            ax.set_xlabel("Difference")
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(lines)), lines)
        axes[0].set_ylim(len(lines) - 0.4, -0.6)
        missable = any(np.isfinite(row.smallest_detectable) for row in rows)
        _legend(figure, interactions, missable)
    return figure


def _draw(ax: Axes, row: ContrastRow, y: int) -> None:
    colour = NOT_SHOWN if row.verdict == NO_DIFFERENCE else SHOWN
    if np.isfinite(row.smallest_detectable):
        reach = row.smallest_detectable
        ax.barh(y, 2 * reach, left=-reach, height=0.8, color=DETECTABLE, zorder=0)
    ax.plot([row.ci_low, row.ci_high], [y, y], color=colour, linewidth=1.6)
    marker = "o" if row.kind == "pair" else "D"
    ax.plot(row.difference, y, marker, color=colour, mfc=colour if row.is_shown else "white", ms=5)


def _limits(family: Sequence[ContrastRow]) -> tuple[float, float]:
    """Of the intervals alone: few seeds have grey bars that would squeeze all else together."""
    ends = np.array([(row.ci_low, row.difference, row.ci_high) for row in family] + [(0, 0, 0)])
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def _legend(figure: Figure, interactions: bool, missable: bool) -> None:
    def dot(marker: str, colour: str, fill: str, text: str) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, mfc=fill, label=text)

    handles = [
        dot("o", SHOWN, SHOWN, "interval excludes 0, p ≤ 0.05"),
        dot("o", SHOWN, "white", f"interval excludes 0, {NOT_SIGNIFICANT}"),
        dot("o", NOT_SHOWN, "white", NO_DIFFERENCE),
        *[dot("D", "black", "black", "interaction")] * interactions,
        *[Patch(color=DETECTABLE, label="would often be missed (power below 80 %)")] * missable,
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / LEGEND_ROWS)
    )
