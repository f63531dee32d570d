"""Figures of a shift audit: curves by offset, the border's reach, paddings × up-samplings."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxseg.report.plot import COLOURS, MARKERS, page_style
from jaxseg.studies.intervals import Estimate
from jaxseg.studies.shift.moving import Moved, dice_by_offset, error_by_offset
from jaxseg.studies.shift.reach import NOTICEABLE, relative_profile
from jaxseg.studies.shift.rolls import Rolled
from jaxseg.studies.shift.shift import Reach

_PART_NAMES = {
    "all": "all shared pixels",
    "near": "within the border's reach",
    "beyond": "beyond the border's reach",
}


def curves_by_offset(moved: Sequence[Moved]) -> Figure:
    """Dice on the common part, and the difference to the central window, against the offset."""
    with page_style():
        figure = Figure(figsize=(4.2 * len(moved), 5.6), layout="constrained")
        axes = np.asarray(figure.subplots(2, len(moved), squeeze=False))
        for column, one in zip(axes.T, moved):
            _curve(column[0], one, dice_by_offset(one), 0)
            column[0].set_title(_plan_title(one))
            column[0].set_ylim(-0.02, 1.02)
            for k, part in enumerate(_parts_shown(one)):
                _curve(column[1], one, error_by_offset(one, part), k, _PART_NAMES[part])
            column[1].set_xlabel(f"Offset along both axes (px of {one.plan.frame})")
            column[1].set_ylabel(_error_label(one))
            column[1].set_ylim(bottom=0)
            if column[1].lines:
                column[1].legend(fontsize=7)
        axes[0, 0].set_ylabel("Dice on the part\ncommon to all windows")
    return figure


def _parts_shown(moved: Moved) -> list[str]:
    """All pixels alone where none lies beyond the border's reach: the split would say nothing."""
    return ["all"] if np.isnan(moved.errors["beyond"]).all() else list(_PART_NAMES)


def _plan_title(moved: Moved) -> str:
    plan = moved.plan
    resized = f"resized to {plan.size}" if plan.size != plan.window else "not resized"
    return f"{plan.name}: {plan.window} px windows, {resized}"


def _error_label(moved: Moved) -> str:
    measure = "logits, relative L2" if moved.logits else "masks, 1 − Dice"
    return f"Difference to the central\nwindow ({measure})"


def _curve(
    ax: Axes, moved: Moved, values: Sequence[Estimate], style: int, name: str | None = None
) -> None:
    x = moved.plan.offsets
    y, low, high = (np.array([getattr(v, key) for v in values]) for key in ("value", "low", "high"))
    if np.isnan(y).all():
        return
    colour, marker = COLOURS[style], MARKERS[style]
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.plot(x, y, color=colour, linestyle=("-", "--", ":")[style], label=name)
    # Hollow where pooling meets other pixels than in the central window.
    for aligned in (True, False):
        if (chosen := moved.aligned == aligned).any():
            fill = colour if aligned or not moved.aligned.any() else "white"
            ax.plot(x[chosen], y[chosen], marker, color=colour, mfc=fill, ms=4.5)


def reach_figure(reach: Reach, size: int) -> Figure:
    """The difference that the border makes, by distance to it, on a logarithmic scale."""
    curves = [("real surroundings − border", relative_profile(reach.surroundings), "-")]
    if reach.padding is not None:
        name = f"{reach.other} − own padding, same frame"
        curves.append((name, relative_profile(reach.padding), "--"))
    with page_style():
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        ax = figure.subplots()
        for (name, values, dash), colour in zip(curves, COLOURS):
            shown = np.where(values > 0, values, np.nan)
            ax.plot(np.arange(len(values)), shown, color=colour, linestyle=dash, label=name)
        ax.axhline(
            NOTICEABLE, color="#777777", linewidth=0.8, label=f"{100 * NOTICEABLE:g} % of the SD"
        )
        if reach.theoretical is not None:
            name = f"theoretical reach, {reach.theoretical} px"
            ax.axvline(reach.theoretical - 0.5, color="black", linestyle=":", label=name)
        ax.set(yscale="log", xlim=(0, reach.side / 2))
        ax.set_xlabel(f"Distance to the border (px of a {reach.side} px frame; trained on {size})")
        ax.set_ylabel("Difference (RMS over SD)")
        ax.legend(fontsize=7)
    return figure


def contributions_figure(rolled: Sequence[Rolled]) -> Figure:
    """Shift error for every padding × up-sampling, for shifts that leave pooling out and others."""
    rows = list(dict.fromkeys(r.padding for r in rolled))
    columns = list(dict.fromkeys(r.upsampling for r in rolled))
    titles = ("multiples of 2^depth", "shifts between them")
    with page_style():
        size = (2 * (1.1 + 1.1 * len(columns)) + 0.4, 1.3 + 0.62 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(1, 2, squeeze=False))[0]
        for ax, title, kind in zip(axes, titles, ("aligned_error", "between_error")):
            ax.set_title(f"shifts: {title}" if kind == "aligned_error" else title)
            ax.set_xticks(range(len(columns)), columns)
            ax.set_yticks(range(len(rows)), rows)
            ax.set_xlabel("up-sampling")
            ax.grid(False)
            ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
            for r in rolled:
                place = (columns.index(r.upsampling), rows.index(r.padding))
                _table_cell(ax, place, getattr(r, kind).value, r.own)
        axes[0].set_ylabel("padding")
    return figure


def _table_cell(ax: Axes, place: tuple[int, int], value: float, own: bool) -> None:
    """A square whose grey tells the error and whose frame marks the cell's own settings."""
    x, y = place
    known = 0.0 if np.isnan(value) else min(value, 1.0)
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=str(1 - 0.75 * known), linewidth=0))
    if own:
        frame = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 2.2}
        ax.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, **frame))
    text = "–" if np.isnan(value) else "0 (rounding)" if value < 1e-5 else f"{value:.3f}"
    ink = "white" if known > 0.6 else "black"
    ax.text(x, y, text + ("\nown" if own else ""), color=ink, ha="center", va="center", fontsize=8)
