"""The figures that any grid has, and one look per arm in all of them.

Arms are told apart by colour (one axis) and by line style or panel (the others).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.verdict import NO_DIFFERENCE, NOT_SIGNIFICANT
from jaxseg.report.plot import COLOURS, DASHES, MARKERS, Style, legend_below, page_style
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, families
from jaxseg.studies.wording import label, metric_name, prominent

# More lines than this in one panel cannot be told apart: the arms are then spread over panels.
ARMS_PER_PANEL = 8
# More panels than this are no picture any more: those nearest to the first arm are kept.
MAX_PANELS = 12
MAX_COLUMNS = 4
MAX_ROWS = 24
LEGEND_ROWS = 2
SHOWN, NOT_SHOWN, DETECTABLE = "#0072B2", "#777777", "#e4e4e4"
CURVES = {
    "loss": "Training loss",
    "val_loss": "Validation loss",
    "val_dice": "Validation Dice",
}


class Look(NamedTuple):
    """How a figure tells its arms apart: (title, arms) of its panels, styles and the legend."""

    panels: list[tuple[str, list[str]]]
    styles: dict[str, Style]
    legend: dict[str, Style]
    title: str | None = None

    @property
    def n_arms(self) -> int:
        """How many arms the panels hold."""
        return sum(len(arms) for _, arms in self.panels)


def grid_look(results: Results) -> Look:
    """The look of any grid: colour by one axis, line style or panel by the others.

    Colour stands for the first axis, unless only a later one fits the palette. Where panels already
    tell the other axes apart, all lines are solid.
    """
    axes = list(results.axes)
    fitting = [axis for axis in axes if len(results.axes[axis]) <= len(COLOURS)]
    axis = (fitting or axes or [None])[0]
    hues = {arm: results.settings[arm][axis] if axis else "" for arm in results.arms}
    rests = {
        arm: "/".join(v for key, v in results.settings[arm].items() if key != axis)
        for arm in results.arms
    }
    panels = _panels(results, axis, rests)
    order, rest_order = list(dict.fromkeys(hues.values())), list(dict.fromkeys(rests.values()))
    styles = {}
    for arm in results.arms:
        # A colour used a second time gets another line style.
        line, hue = divmod(order.index(hues[arm]), len(COLOURS))
        line += rest_order.index(rests[arm]) if len(panels) == 1 else 0
        styles[arm] = Style(COLOURS[hue], DASHES[line % len(DASHES)], MARKERS[line % len(MARKERS)])
    if len(panels) == 1:
        named = {arm or "the one arm": style for arm, style in styles.items()}
        return Look(panels, styles, named, " / ".join(axes) or None)
    return Look(panels, styles, {hues[arm]: style for arm, style in styles.items()}, axis)


def _panels(
    results: Results, axis: str | None, rests: Mapping[str, str]
) -> list[tuple[str, list[str]]]:
    """(title, arms) of the panels that keep lines apart: one panel while all arms fit in it.

    More than MAX_PANELS: the first, and those that are one setting away from it.
    """
    if len(results.arms) <= ARMS_PER_PANEL:
        return [("", results.arms)]
    panels: dict[str, list[str]] = {}
    for arm in results.arms:
        panels.setdefault(rests[arm], []).append(arm)
    # One axis only: nothing to spread by, so equal runs of arms share a panel.
    if len(panels) == 1:
        starts = range(0, len(results.arms), ARMS_PER_PANEL)[:MAX_PANELS]
        return [("", results.arms[i : i + ARMS_PER_PANEL]) for i in starts]
    if len(panels) > MAX_PANELS:
        near = set(settings_apart(results, at_most=1, ignore=axis))
        panels = {title: arms for title, arms in panels.items() if near & set(arms)}
    return list(panels.items())[:MAX_PANELS]


def settings_apart(results: Results, at_most: int, ignore: str | None = None) -> list[str]:
    """The arms that differ from the first one in at most so many axes other than `ignore`."""
    first = results.settings[results.arms[0]]
    return [
        arm
        for arm in results.arms
        if sum(results.settings[arm][k] != v for k, v in first.items() if k != ignore) <= at_most
    ]


def panels_note(results: Results, look: Look) -> str:
    """A sentence for the caption where panels leave arms out; else empty."""
    if look.n_arms == len(results.arms):
        return ""
    return f" {look.n_arms} of {len(results.arms)} arms: the first and what is near to it."


def forest(results: Results, rows: Sequence[ContrastRow]) -> Figure | None:
    """Rows are pairs and interactions, columns the compared metrics. None without comparisons.

    Filled: the interval excludes 0 and p is at most 0.05; open: the interval alone does. The grey
    bar spans the differences that so many seeds and images would miss more often than one time in
    five, whether or not they found this one; without a bar they would miss any. More than MAX_ROWS
    comparisons: those that touch the first arm.
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
                _draw_difference(ax, row, lines.index(label(results, row)))
            ax.set_xlim(_limits(family))
            ax.axvline(0, color="black", linewidth=0.8)
            ax.set_title(name.replace(" on ", "\non "))
            ax.set_xlabel("Difference")
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(lines)), lines)
        axes[0].set_ylim(len(lines) - 0.4, -0.6)
        missable = any(np.isfinite(row.smallest_detectable) for row in rows)
        kinds = {row.kind for row in rows}
        _forest_legend(figure, "interaction" in kinds, missable)
    return figure


def _draw_difference(ax: Axes, row: ContrastRow, y: int) -> None:
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


def _forest_legend(figure: Figure, interactions: bool, missable: bool) -> None:
    def dot(marker: str, colour: str, fill: str, text: str) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, mfc=fill, label=text)

    handles: list[Any] = [
        dot("o", SHOWN, SHOWN, "interval excludes 0, p ≤ 0.05"),
        dot("o", SHOWN, "white", f"interval excludes 0, {NOT_SIGNIFICANT}"),
        dot("o", NOT_SHOWN, "white", NO_DIFFERENCE),
    ]
    if interactions:
        handles.append(dot("D", "black", "black", "interaction"))
    if missable:
        handles.append(Patch(color=DETECTABLE, label="would often be missed (power below 80 %)"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / LEGEND_ROWS)
    )


def learning_curves(results: Results, look: Look) -> Figure | None:
    """Training loss and validation scores by epoch: a thin line per cell, a bold one per arm."""
    points = [row for curve in results.curves.values() for row in curve]
    found = [f for f in CURVES if any(row.get(f) is not None for row in points)]
    if not found:
        return None
    panels = look.panels
    last = max(row["epoch"] for row in points)
    # The same limits for every panel: what is measured once an epoch and what once at the end.
    shown = -0.05 * max(last, 1), 1.05 * max(last, 1)
    with page_style():
        # One panel each: side by side. Several: a block of panels below the other.
        several = len(panels) > 1
        size = (len(found), len(panels)) if several else (1, len(found))
        figure, axes = grid_of_panels(*size)
        blocks = axes if several else [[ax] for ax in axes[0]]
        for block, field in zip(blocks, found):
            for ax, (title, arms) in zip(block, panels):
                _curves_of_arms(ax, results, field, {arm: look.styles[arm] for arm in arms})
                ax.set(xlabel="Epoch", title=title, xlim=shown)
            label_rows(block, CURVES[field])
            share_limits(block)
        legend_below(figure, look.legend, look.title)
    return figure


def grid_of_panels(blocks: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """Axes of every block, `columns` each, folded so that no row is wider than MAX_COLUMNS."""
    across = min(columns, MAX_COLUMNS)
    folds = math.ceil(columns / across)
    size = (4.2 if across <= 3 else 2.8) * across, 2.8 * blocks * folds
    figure = Figure(figsize=size, layout="constrained")
    axes = np.asarray(figure.subplots(blocks * folds, across, squeeze=False))
    lists = [list(block.flat) for block in np.split(axes, blocks)]
    for spare in (ax for block in lists for ax in block[columns:]):
        spare.set_visible(False)
    return figure, [block[:columns] for block in lists]


def label_rows(axes: Sequence[Axes], text: str) -> None:
    """Names the scale at the left of every row."""
    for ax in axes[::MAX_COLUMNS]:
        ax.set_ylabel(text)


def share_limits(axes: Sequence[Axes]) -> None:
    """One scale for all panels of a metric: panels are there to be compared."""
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)


def _curves_of_arms(ax: Axes, results: Results, field: str, styles: Mapping[str, Style]) -> None:
    for arm, style in styles.items():
        cells = [cell.name for cell in results.cells if cell.arm == arm and cell.status == "done"]
        by_epoch: dict[float, list[float]] = {}
        for name in cells:
            points = [r for r in results.curves.get(name, []) if r.get(field) is not None]
            ax.plot(
                [r["epoch"] for r in points],
                [r[field] for r in points],
                color=style.colour,
                alpha=0.25,
                linewidth=0.5,
            )
            for row in points:
                by_epoch.setdefault(row["epoch"], []).append(row[field])
        epochs = sorted(by_epoch)
        means = [np.mean(by_epoch[e]) for e in epochs]
        # A single epoch, as under selection `last`, is a point: no line would show it.
        marker = style.marker if len(epochs) == 1 else None
        ax.plot(
            epochs, means, color=style.colour, linestyle=style.dash, linewidth=1.8, marker=marker
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
