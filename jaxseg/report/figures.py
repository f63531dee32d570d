"""The figures of a report, drawn from rows and results alone (matplotlib's object interface, Agg).

Every function returns a Figure, or None when the results hold nothing to draw. No pyplot state is
touched; `rendered` turns a figure into the bytes of a PNG or SVG file that equal inputs reproduce.
"""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxseg.report.results import Results, setting
from jaxseg.report.styles import arm_styles, facets
from jaxseg.report.tables import SummaryRow

DPI = 150
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
    "svg.hashsalt": "jaxseg",
}


def rendered(figure: Figure, form: str) -> bytes:
    """The figure as the bytes of a `png` (150 dpi) or `svg` file, the same for equal figures."""
    buffer = io.BytesIO()
    stamps = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context(LOOK):
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=form, dpi=DPI, metadata=stamps, bbox_inches="tight")
    return buffer.getvalue()


def band_dice(results: Results, rows: Sequence[SummaryRow]) -> Figure:
    """Dice by distance from the centre, and recall by distance to the border (the paper's Fig. 4).

    Columns are test sets; when there are more arms than one panel can hold, columns are the values
    of the axes not told by colour and the test sets stand below one another.
    """
    panels = facets(results)
    kinds = [("centre", "dice"), ("border", "recall")]
    if len(panels) == 1:
        grid = [[(t, kind, panels[0]) for t in results.test_sets] for kind in kinds]
    else:
        grid = [[(t, kind, p) for p in panels] for t in results.test_sets for kind in kinds]
    with matplotlib.rc_context(LOOK):
        figure, axes = _panels(len(grid), len(grid[0]))
        for (i, j), ax in np.ndenumerate(axes):
            test_set, (layout, metric), (title, arms) = grid[i][j]
            _curves_by_band(ax, results, rows, test_set, layout, metric, arms)
            ax.set_title(f"{title}\n{test_set} test set" if title else f"{test_set} test set")
            if j == 0:
                ax.set_ylabel("Dice in the ring" if metric == "dice" else "Recall in the ring")
        _share_limits(axes, [kind for row in grid for _, kind, _ in row[:1]])
        _legend_below(figure, results)
    return figure


def learning_curves(results: Results) -> Figure | None:
    """Training loss and validation Dice by epoch: a thin line per cell, a bold one per arm."""
    fields = [
        (field, label)
        for field, label in (
            ("loss", "Training loss"),
            ("val_loss", "Validation loss"),
            ("val_dice", "Validation Dice"),
        )
        if any(r.get(field) is not None for rows in results.curves.values() for r in rows)
    ]
    if not fields:
        return None
    panels = facets(results)
    with matplotlib.rc_context(LOOK):
        grid = (len(fields), len(panels)) if len(panels) > 1 else (1, len(fields))
        figure, axes = _panels(*grid)
        for ax, (field, label, (title, arms)) in zip(
            axes.flat, [(f, name, p) for f, name in fields for p in panels]
        ):
            _curves_of_arms(ax, results, field, arms)
            ax.set_xlabel("Epoch")
            ax.set_ylabel(label)
            ax.set_title(title)
        _legend_below(figure, results)
    return figure


def _panels(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    width = 4.2 if columns <= 3 else 2.6
    figure = Figure(figsize=(width * columns, 2.8 * rows), layout="constrained")
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False))


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
    size = int(setting(results, "data.size", 256))
    names = {"centre": "Half-width of the ring", "border": "Distance to the border"}
    ax.set_xlabel(f"{names[layout]} (px of {size})")
    # The border stands at the right in both layouts, so that one column reads as one picture.
    ax.set_xlim((0, size / 2 + 0.5) if layout == "centre" else (size / 2 + 0.5, 0))


def _share_limits(axes: np.ndarray, kinds: list[tuple[str, str]]) -> None:
    """One scale for all panels of a metric: panels are there to be compared."""
    for kind in dict.fromkeys(kinds):
        alike = [ax for row, k in zip(axes, kinds) if k == kind for ax in row]
        low = min(ax.get_ylim()[0] for ax in alike)
        high = max(ax.get_ylim()[1] for ax in alike)
        for ax in alike:
            ax.set_ylim(max(low, -0.02), min(high, 1.02))


def _curves_of_arms(ax: Axes, results: Results, field: str, arms: Sequence[str]) -> None:
    styles = arm_styles(results)
    for arm in arms:
        cells = [cell.name for cell in results.cells if cell.arm == arm and cell.status == "done"]
        by_epoch: dict[float, list[float]] = {}
        for name in cells:
            points = [r for r in results.curves.get(name, []) if r.get(field) is not None]
            ax.plot(
                [r["epoch"] for r in points],
                [r[field] for r in points],
                color=styles[arm].colour,
                alpha=0.25,
                linewidth=0.5,
            )
            for row in points:
                by_epoch.setdefault(row["epoch"], []).append(row[field])
        epochs = sorted(by_epoch)
        means = [np.mean(by_epoch[e]) for e in epochs]
        ax.plot(epochs, means, color=styles[arm].colour, linestyle=styles[arm].dash, linewidth=1.8)


def _legend_below(figure: Figure, results: Results) -> None:
    styles = arm_styles(results)
    handles = [
        Line2D(
            [],
            [],
            color=s.colour,
            linestyle=s.dash,
            marker=s.marker,
            ms=4,
            label=arm or "the one arm",
        )
        for arm, s in styles.items()
    ]
    longest = max(len(arm) for arm in styles)
    columns = max(1, int(figure.get_figwidth() / (0.6 + 0.075 * longest)))
    title = " / ".join(results.axes) if results.axes else None
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, title=title, handlelength=3.4
    )
