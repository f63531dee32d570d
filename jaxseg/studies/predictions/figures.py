"""The paper's Fig. 4 for any predictions: Dice and recall by distance from centre and border."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.dice import recall
from jaxseg.report.plot import (
    COLOURS,
    DASHES,
    MARKERS,
    Style,
    page_style,
)
from jaxseg.studies.predictions.frame_bands import FRAME, RING_EDGES
from jaxseg.studies.predictions.predictions import PredictionAudit
from jaxseg.studies.predictions.scores import BASELINE, POOLED, border_labels
from jaxseg.studies.predictions.wording import px_text

MAX_COLUMNS = 4
FIXED = Style("#777777", (0, (8, 1.5, 1, 1.5)), "")


def model_styles(models: Sequence[str]) -> dict[str, Style]:
    """Colour, line and marker of every model; the baseline is grey and has no marker."""
    styles = {
        model: Style(COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)], MARKERS[k % len(MARKERS)])
        for k, model in enumerate(models)
    }
    return styles | {model: FIXED for model in models if model == BASELINE}


def bands_figure(audit: PredictionAudit) -> Figure:
    """Dice by half-width of the square ring, and recall by distance to the border."""
    with page_style():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        centre, border = figure.subplots(1, 2)
        _by_centre(centre, audit)
        _by_border(border, audit, POOLED)
        for ax in (centre, border):
            ax.set_ylim(-0.02, 1.02)
        _legend(figure, audit.models)
    return figure


def classes_figure(audit: PredictionAudit) -> Figure | None:
    """Recall by distance to the border, a panel a class; None where there is one class."""
    classes = audit.classes[1:]
    if not classes:
        return None
    across = min(len(classes), MAX_COLUMNS)
    down = -(-len(classes) // across)
    with page_style():
        size = max(4.2, 2.8 * across), 2.5 * down + 0.6
        figure = Figure(figsize=size, layout="constrained")
        axes = list(np.asarray(figure.subplots(down, across, squeeze=False)).flat)
        for ax, cls in zip(axes, classes):
            _by_border(ax, audit, cls)
            ax.set(title=cls, ylim=(-0.02, 1.02))
        for ax in axes[len(classes) :]:
            ax.set_visible(False)
        _legend(figure, audit.models)
    return figure


def depth_figure(audit: PredictionAudit) -> Figure:
    """Recall px by px near the border with the erased width, over the images it rests on."""
    shown = shown_depths(audit)
    with page_style():
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        styles = model_styles(audit.counts.names)
        for k, (model, style) in enumerate(styles.items()):
            values = recall(audit.counts.depth[k].sum(axis=1))[:shown]
            _steps(top, values, style)
            if px := audit.erased[model, POOLED].px:
                top.axvline(px, color=style.colour, linestyle=style.dash, linewidth=0.8)
        nearest = audit.counts.nearest
        near = [((nearest >= 0) & (nearest <= d)).sum() for d in range(shown)]
        low.bar(np.arange(shown) + 0.5, near, width=0.9, color="#999999")
        low.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        low.set(xlabel=f"Distance to the border ({px_text(audit)})", xlim=(shown, 0))
        low.set_ylabel("Images")
        top.set(ylabel="Recall in this px", ylim=(-0.02, 1.02))
        _legend(figure, audit.counts.names)
    return figure


def shown_depths(audit: PredictionAudit) -> int:
    """Depths that the px-by-px figure shows: thrice the border zone, twice the erased border."""
    widest = max(audit.erased[model, POOLED].px for model in audit.counts.names)
    return min(max(3 * audit.counts.border_px, 2 * widest), audit.counts.depth.shape[1])


def _by_centre(ax: Axes, audit: PredictionAudit) -> None:
    for model, style in model_styles(audit.models).items():
        rows = [audit.score(model, f"centre:{edge}", "dice") for edge in RING_EDGES]
        _curve(ax, RING_EDGES, rows, style)
    ax.set(xlabel=f"Half-width of the ring (px of {FRAME})", ylabel="Dice in the ring")
    # The border stands at the right in both panels, so that they read as one picture.
    ax.set_xlim(0, FRAME / 2 + 0.5)


def _by_border(ax: Axes, audit: PredictionAudit, cls: str) -> None:
    width = audit.counts.border_px
    deepest = audit.counts.depth.shape[1]
    labels = border_labels(width)[: -(-deepest // width)]
    middles = width * (np.arange(len(labels)) + 0.5)
    for model, style in model_styles(audit.models).items():
        rows = [audit.score(model, label, "recall", cls) for label in labels]
        _curve(ax, middles, rows, style)
    ax.set(xlabel=f"Distance to the border ({px_text(audit)})", ylabel="Recall in the ring")
    ax.set_xlim(width * len(labels) + 0.5, 0)


def _curve(ax: Axes, x, rows, style: Style) -> None:
    low, high = [row.ci_low for row in rows], [row.ci_high for row in rows]
    ax.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0)
    values = [row.value for row in rows]
    line = {"color": style.colour, "linestyle": style.dash, "marker": style.marker, "ms": 3}
    ax.plot(x, values, clip_on=False, **line)


def _steps(ax: Axes, values: np.ndarray, style: Style) -> None:
    """One level a px; a px without an object leaves a gap."""
    x = np.arange(len(values)) + 0.5
    line = {"color": style.colour, "linestyle": style.dash, "marker": style.marker, "ms": 3}
    ax.plot(x, values, **line)


def _legend(figure: Figure, models: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=s.colour, linestyle=s.dash, marker=s.marker, ms=4, label=_label(name))
        for name, s in model_styles(models).items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3.4)


def _label(model: str) -> str:
    return "fixed mask, ignores the image" if model == BASELINE else model
