"""Figures of a shift audit: film strips, curves by offset, the border's reach, contributions."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle

from jaxseg.metrics.bootstrap import Estimate
from jaxseg.metrics.dice import dice
from jaxseg.report.plot import (
    COLOURS,
    Style,
    bare,
    curve,
    draw_errors,
    errors_legend,
    page_style,
    style,
    total_counts,
)
from jaxseg.report.section import Figure
from jaxseg.report.text import number
from jaxseg.studies.models import Model
from jaxseg.studies.shift.border import NOTICEABLE, ROUNDING, Reach, Rolled, relative_profile
from jaxseg.studies.shift.moving import (
    Moved,
    common_part,
    dice_by_offset,
    dice_lost,
    error_by_offset,
)

MOST_WINDOWS = 9
PART_NAMES = {
    "all": "all shared pixels",
    "near": "within the border's reach",
    "beyond": "beyond the border's reach",
}


def figures(
    model: Model, moved: Sequence[Moved], rolled: Sequence[Rolled], reach: Reach | None
) -> Iterator[Figure]:
    """All figures of a shift audit with their captions."""
    for one in moved:
        ends, strip = np.abs(one.plan.offsets).max(), one.strip
        yield Figure(
            f"shift_strip_{one.plan.name.replace(' ', '_')}",
            f"Film strip, {one.plan.name} test ({strip.id}): the image whose object fills most "
            "nearly half of the part common to all windows",
            f"Windows of image {strip.id} moved from {-ends} to {ends} pixels along the diagonal,"
            " each above its prediction with missed and added pixels and the outline of the truth.",
            _film_strip(one),
        )
    losses = [
        f"{one.plan.name}: the outermost windows lose {dice_lost(one).value:.3f} Dice."
        for one in moved
    ]
    yield Figure(
        "shift_offsets",
        "Dice and difference to the central window by offset (bands: 95 % intervals over images; "
        "hollow: pooling meets other pixels than in the central window)",
        "Curves by offset of the window. " + " ".join(losses),
        _curves_by_offset(moved),
    )
    if len(rolled) > 1:
        errors = [f"{r.padding} and {r.upsampling} {r.aligned_error.value:.3f}" for r in rolled]
        yield Figure(
            "shift_contributions",
            "Shift error of the same weights by padding and up-sampling (framed: the cell's own)",
            "Table of the relative L2 error: " + "; ".join(errors),
            _contributions(rolled, model.factor),
        )
    if reach is not None:
        profile = relative_profile(reach.surroundings)
        yield Figure(
            "shift_reach",
            "What the border changes, by distance to it",
            f"Difference by distance to the border, from {profile[0]:.3g} of the standard deviation"
            f" at the border to {profile[-1]:.3g} in the middle.",
            _reach(reach, model.size),
        )


def _film_strip(moved: Moved) -> Drawing:
    """One image's windows above what was predicted in them, by offset: Fig. 7 of the paper."""
    plan, strip = moved.plan, moved.strip
    count = len(plan.origins)
    every = -(-(count - 1) // (MOST_WINDOWS - 1)) or 1
    picks = list(range(plan.centre % every, count, every))  # the central one among them
    with page_style():
        figure = Drawing(figsize=(1.15 * len(picks) + 0.7, 3.2), layout="constrained")
        axes = np.asarray(figure.subplots(2, len(picks), squeeze=False))
        bare(axes)
        for (window, predicted), k in zip(axes.T, picks):
            image, truth, prediction = strip.images[k], strip.truth[k], strip.predictions[k]
            window.imshow(image)
            if (truth > 0).any() and (truth == 0).any():
                window.contour(truth > 0, levels=[0.5], colors="black", linewidths=0.9)
            draw_errors(predicted, image, truth, prediction)
            offset = int(plan.offsets[k])
            title = f"{offset:+d} px".replace("-", "−") if offset else "centre"
            window.set_title(title, fontsize=8)
            part = common_part(plan, k)
            start, side = part[0].start, part[0].stop - part[0].start
            for ax in (window, predicted):
                frame = Rectangle((start - 0.5, start - 0.5), side, side, fill=False)
                frame.set(edgecolor="white", linestyle=":", linewidth=1.2)
                ax.add_patch(frame)
            score = float(dice(total_counts(truth[part], prediction[part])))
            predicted.set_xlabel("empty" if np.isnan(score) else f"Dice {score:.2f}", fontsize=8)
        axes[0, 0].set_ylabel("window")
        axes[1, 0].set_ylabel("prediction")
        shared = Patch(
            facecolor="#bbbbbb", edgecolor="white", linestyle=":", label="part in all windows"
        )
        handles = [*errors_legend(), shared]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _curves_by_offset(moved: Sequence[Moved]) -> Drawing:
    """Dice on the common part, and the difference to the central window, against the offset."""
    with page_style():
        figure = Drawing(figsize=(4.2 * len(moved), 5.6), layout="constrained")
        axes = np.asarray(figure.subplots(2, len(moved), squeeze=False))
        for (top, low), one in zip(axes.T, moved):
            _curve(top, one, dice_by_offset(one), style(0))
            plan = one.plan
            scale = f"resized to {plan.size}" if plan.size != plan.window else "not resized"
            top.set_title(f"{plan.name}: {plan.window} px windows, {scale}")
            top.set_ylim(-0.02, 1.02)
            # All pixels alone where none lies beyond the border's reach: nothing to split by it.
            split = not np.isnan(one.errors["beyond"]).all()
            for k, part in enumerate(PART_NAMES if split else ["all"]):
                _curve(low, one, error_by_offset(one, part), style(k), PART_NAMES[part])
            low.set_xlabel(f"Offset along both axes (px of {plan.frame})")
            measure = "logits, relative L2" if one.logits else "masks, 1 − Dice"
            low.set_ylabel(f"Difference to the central\nwindow ({measure})")
            low.set_ylim(bottom=0)
            if low.lines:
                low.legend(fontsize=7)
        axes[0, 0].set_ylabel("Dice on the part\ncommon to all windows")
    return figure


def _curve(
    ax: Axes, moved: Moved, values: Sequence[Estimate], look: Style, name: str | None = None
) -> None:
    x, y = moved.plan.offsets, np.array([v.value for v in values])
    if np.isnan(y).all():
        return
    low, high = [v.low for v in values], [v.high for v in values]
    curve(ax, x.tolist(), y.tolist(), low, high, look, marker="", label=name)
    # Hollow where pooling meets other pixels than in the central window.
    for aligned in (True, False):
        if (chosen := moved.aligned == aligned).any():
            fill = look.colour if aligned or not moved.aligned.any() else "white"
            ax.plot(x[chosen], y[chosen], look.marker, color=look.colour, mfc=fill, ms=4.5)


def _reach(reach: Reach, size: int) -> Drawing:
    """The difference that the border makes, by distance to it, on a logarithmic scale."""
    curves = [("real surroundings − border", relative_profile(reach.surroundings), "-")]
    if reach.padding is not None:
        name = f"{reach.other} − own padding, same frame"
        curves.append((name, relative_profile(reach.padding), "--"))
    with page_style():
        figure = Drawing(figsize=(5.4, 3.6), layout="constrained")
        ax = figure.subplots()
        for (name, values, dash), colour in zip(curves, COLOURS):
            shown = np.where(values > 0, values, np.nan)
            ax.plot(np.arange(len(values)), shown, color=colour, linestyle=dash, label=name)
        limit = f"{100 * NOTICEABLE:g} % of the SD"
        ax.axhline(NOTICEABLE, color="#777777", linewidth=0.8, label=limit)
        if reach.theoretical is not None:
            name = f"theoretical reach, {reach.theoretical} px"
            ax.axvline(reach.theoretical - 0.5, color="black", linestyle=":", label=name)
        ax.set(yscale="log", xlim=(0, reach.side / 2))
        # Plain numbers: the page's style writes no mathematics.
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_xlabel(f"Distance to the border\n(px of a {reach.side} px frame; trained on {size})")
        ax.set_ylabel("Difference (RMS over SD)")
        ax.legend(fontsize=7)
    return figure


def _contributions(rolled: Sequence[Rolled], factor: int) -> Drawing:
    """Shift error for every padding × up-sampling: shifts by multiples of `factor`, and others.

    A square is darker the larger the error; a frame marks the network's own settings.
    """
    rows = list(dict.fromkeys(r.padding for r in rolled))
    columns = list(dict.fromkeys(r.upsampling for r in rolled))
    panels = (
        (f"shifts: multiples of {factor} px", [r.aligned_error.value for r in rolled]),
        ("shifts between them", [r.between_error.value for r in rolled]),
    )
    with page_style():
        size = (2 * (1.1 + 1.1 * len(columns)) + 0.4, 1.3 + 0.62 * len(rows))
        figure = Drawing(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(1, 2, squeeze=False))[0]
        for ax, (title, values) in zip(axes, panels):
            ax.set_title(title)
            ax.set_xticks(range(len(columns)), columns)
            ax.set_yticks(range(len(rows)), rows)
            ax.set_xlabel("up-sampling")
            ax.grid(False)
            ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
            for r, value in zip(rolled, values):
                x, y = columns.index(r.upsampling), rows.index(r.padding)
                known = 0.0 if np.isnan(value) else min(value, 1.0)
                shade = str(1 - 0.75 * known)
                ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=shade, linewidth=0))
                text = "0 (rounding)" if value < ROUNDING else number(value)
                if r.own:
                    frame = Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fill=False)
                    frame.set(edgecolor=COLOURS[1], linewidth=2.2)
                    ax.add_patch(frame)
                    text += "\nown"
                ink = "white" if known > 0.6 else "black"
                ax.text(x, y, text, color=ink, ha="center", va="center", fontsize=8)
        axes[0].set_ylabel("padding")
    return figure
