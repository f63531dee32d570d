"""The paper's Fig. 4 for any predictions: Dice and recall by distance from centre and border."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.bands import FRAME, RING_EDGES
from jaxseg.metrics.dice import recall
from jaxseg.report.plot import Style, curve, legend_below, page_style, style
from jaxseg.studies.predictions.measures import BASELINE, POOLED, PredictionAudit, border_labels

MAX_COLUMNS = 4
FIXED = Style("#777777", (0, (8, 1.5, 1, 1.5)), "")


def px_text(audit: PredictionAudit) -> str:
    """The unit of distances to the border: `px`, or `px of a 256 px frame`."""
    scale = audit.counts.scale_to
    return "px" if scale is None else f"px of a {scale} px frame"


def model_styles(models: Sequence[str]) -> dict[str, Style]:
    """Colour, line and marker of every model; the baseline is grey and has no marker."""
    return {model: FIXED if model == BASELINE else style(k) for k, model in enumerate(models)}


def bands_figure(audit: PredictionAudit) -> Figure:
    """Dice by half-width of the square ring, and recall by distance to the border."""
    with page_style():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        centre, border = figure.subplots(1, 2)
        for model, look in model_styles(audit.models).items():
            rows = [audit.score(model, f"centre:{edge}", "dice") for edge in RING_EDGES]
            _curve(centre, RING_EDGES, rows, look)
        # The border stands at the right in both panels, so that they read as one picture.
        centre.set(xlim=(0, FRAME / 2 + 0.5), ylim=(-0.02, 1.02))
        centre.set(xlabel=f"Half-width of the ring (px of {FRAME})", ylabel="Dice in the ring")
        _by_border(border, audit, POOLED)
        _legend(figure, audit.models)
    return figure


def classes_figure(audit: PredictionAudit) -> Figure:
    """Recall by distance to the border, a panel for each of several classes."""
    classes = audit.classes[1:]
    across = min(len(classes), MAX_COLUMNS)
    down = -(-len(classes) // across)
    with page_style():
        size = max(8.4, 2.8 * across), 2.5 * down + 0.6
        figure = Figure(figsize=size, layout="constrained")
        axes = list(np.asarray(figure.subplots(down, across, squeeze=False)).flat)
        for ax, cls in zip(axes, classes):
            _by_border(ax, audit, cls)
            ax.set(title=cls)
        for ax in axes[len(classes) :]:
            ax.set_visible(False)
        _legend(figure, audit.models)
    return figure


def depth_figure(audit: PredictionAudit) -> Figure:
    """Recall px by px near the border with the erased width, over the images it rests on.

    One level a px; a px without an object leaves a gap.
    """
    shown = shown_depths(audit)
    middles = np.arange(shown) + 0.5
    with page_style():
        figure = Figure(figsize=(8.4, 4.2), layout="constrained")
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for k, (model, look) in enumerate(model_styles(audit.counts.names).items()):
            values = recall(audit.counts.depth[k].sum(axis=1))[:shown]
            line = {"color": look.colour, "linestyle": look.dash}
            top.plot(middles, values, marker=look.marker, ms=3, **line)
            if px := audit.erased[model, POOLED].px:
                top.axvline(px, linewidth=0.8, **line)
        nearest = audit.counts.nearest
        near = [((nearest >= 0) & (nearest <= d)).sum() for d in range(shown)]
        low.bar(middles, near, width=0.9, color="#999999")
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


def _by_border(ax: Axes, audit: PredictionAudit, cls: str) -> None:
    width = audit.counts.border_px
    deepest = audit.counts.depth.shape[1]
    labels = border_labels(width)[: -(-deepest // width)]
    middles = width * (np.arange(len(labels)) + 0.5)
    for model, look in model_styles(audit.models).items():
        rows = [audit.score(model, label, "recall", cls) for label in labels]
        _curve(ax, middles, rows, look)
    ax.set(xlabel=f"Distance to the border ({px_text(audit)})", ylabel="Recall in the ring")
    ax.set(xlim=(width * len(labels) + 0.5, 0), ylim=(-0.02, 1.02))


def _curve(ax: Axes, x, rows, look: Style) -> None:
    low, high = [row.ci_low for row in rows], [row.ci_high for row in rows]
    curve(ax, x, [row.value for row in rows], low, high, look, clip_on=False)


def _legend(figure: Figure, models: Sequence[str]) -> None:
    names = {BASELINE: "fixed mask, ignores the image"}
    legend_below(figure, {names.get(m, m): look for m, look in model_styles(models).items()})
