"""The figures of a report, drawn from rows and results alone (matplotlib's object interface, Agg).

Every function returns a Figure, or None when the results hold nothing to draw. No pyplot state is
touched; `rendered` turns a figure into the bytes of a PNG or SVG file that equal inputs reproduce.
"""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jaxseg.report.results import Results
from jaxseg.report.styles import Look, Style, arm_styles, facets, grid_look, legend_entries
from jaxseg.report.tables import SummaryRow

DPI = 150
MAX_COLUMNS = 4
CURVES = {
    "loss": "Training loss",
    "val_loss": "Validation loss",
    "val_dice": "Validation Dice",
}
# A figure of a page: name, figure or None, what it shows in words, caption.
Planned = tuple[str, Figure | None, str, str]
# What the learning curves show, and their caption.
CURVES_TEXT = (
    "Line plots of training loss and validation scores by epoch",
    "Thin: one cell. Bold: mean of the arm's finished cells.",
)
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollars
    "svg.hashsalt": "jaxseg",
}


def page_style(**changes: Any) -> contextlib.AbstractContextManager[None]:
    """Within it figures have LOOK with `changes`, and nothing of the user's matplotlibrc."""
    return matplotlib.style.context(["default", {**LOOK, **changes}])


def rendered(figure: Figure, form: str) -> bytes:
    """The figure as the bytes of a `png` (150 dpi) or `svg` file, the same for equal figures."""
    buffer = io.BytesIO()
    stamps = {"Date": None} if form == "svg" else {"Software": None}
    with page_style():
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=form, dpi=DPI, metadata=stamps)
    return buffer.getvalue()


def band_dice(results: Results, rows: Sequence[SummaryRow]) -> Figure:
    """Dice by distance from the centre, and recall by distance to the border (the paper's Fig. 4).

    Columns are test sets; when there are more arms than one panel can hold, panels are the values
    of the axes not told by colour, on the probe test set alone.
    """
    panels = facets(results)
    test_sets = results.test_sets if len(panels) == 1 else [results.probe]
    columns = [(test_set, *panel) for panel in panels for test_set in test_sets]
    with page_style():
        figure, blocks = _panels(2, len(columns))
        for axes, (layout, metric) in zip(blocks, (("centre", "dice"), ("border", "recall"))):
            for ax, (test_set, title, arms) in zip(axes, columns):
                _curves_by_band(ax, results, rows, test_set, layout, metric, arms)
                ax.set_title(title or f"{test_set} test set")
            _label(axes, f"{'Dice' if metric == 'dice' else 'Recall'} in the ring")
            _share_limits(axes)
        legend_below(figure, *legend_entries(results))
    return figure


def learning_curves(results: Results, look: Look | None = None) -> Figure | None:
    """Training loss and validation scores by epoch: a thin line per cell, a bold one per arm.

    `look` is that of any grid where none is given.
    """
    points = [row for curve in results.curves.values() for row in curve]
    found = [f for f in CURVES if any(row.get(f) is not None for row in points)]
    if not found:
        return None
    look = look or grid_look(results)
    panels = look.panels
    with page_style():
        # One panel each: side by side. Several: a block of panels below the other.
        several = len(panels) > 1
        figure, axes = _panels(len(found) if several else 1, len(panels) if several else len(found))
        blocks = axes if several else [[ax] for ax in axes[0]]
        for block, field in zip(blocks, found):
            for ax, (title, arms) in zip(block, panels):
                _curves_of_arms(ax, results, field, {arm: look.styles[arm] for arm in arms})
                ax.set(xlabel="Epoch", title=title, xlim=_epochs_shown(points))
            _label(block, CURVES[field])
            _share_limits(block)
        legend_below(figure, look.legend, look.title)
    return figure


def _epochs_shown(points: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The same limits for every panel: what is measured once an epoch and what once at the end."""
    last = max(row["epoch"] for row in points)
    return -0.05 * max(last, 1), 1.05 * max(last, 1)


def _panels(blocks: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
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


def _label(axes: Sequence[Axes], text: str) -> None:
    """Names the scale at the left of every row."""
    for ax in axes[::MAX_COLUMNS]:
        ax.set_ylabel(text)


def _curves_by_band(
    ax: Axes,
    results: Results,
    rows: Sequence[SummaryRow],
    test_set: str,
    layout: str,
    metric: str,
    arms: Sequence[str],
) -> None:
    styles = arm_styles(results)
    for arm in arms:
        picked = [
            row
            for row in rows
            if (row.arm, row.test_set, row.metric) == (arm, test_set, metric)
            and row.band.startswith(f"{layout}:")
        ]
        spans = [row.band.split(":")[1] for row in picked]
        # A border ring is drawn at its middle, a square ring at its outer half-width, as published.
        x = [np.mean([float(v) for v in span.split("-")]) for span in spans]
        style = styles[arm]
        low, high = [r.ci_low for r in picked], [r.ci_high for r in picked]
        ax.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0)
        values = [row.value for row in picked]
        ax.plot(x, values, color=style.colour, linestyle=style.dash, marker=style.marker, ms=3)
    size = results.fields.data.size
    names = {"centre": "Half-width of the ring", "border": "Distance to the border"}
    ax.set_xlabel(f"{names[layout]} (px of {size})")
    # The border stands at the right in both layouts, so that one column reads as one picture.
    ax.set_xlim((0, size / 2 + 0.5) if layout == "centre" else (size / 2 + 0.5, 0))
    # Values are shares; an interval may pass 1 by its Student part.
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.02), min(high, 1.02))


def _share_limits(axes: Sequence[Axes]) -> None:
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


def legend_below(figure: Figure, styles: Mapping[str, Style], title: str | None = None) -> None:
    """One entry for each name, in as many columns as the figure's width holds."""
    handles = [
        Line2D([], [], color=s.colour, linestyle=s.dash, marker=s.marker, ms=4, label=name)
        for name, s in styles.items()
    ]
    longest = max(len(name) for name in styles)
    columns = max(1, int(figure.get_figwidth() / (0.9 + 0.075 * longest)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        title=title,
        handlelength=3.4,
    )
