"""Figures for any predictions: the paper's Fig. 4, by distance from centre and border, and Fig. 3,
outlines on images chosen by a rule stated beforehand."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.bands import FRAME, RING_EDGES, border_depth
from jaxseg.metrics.dice import dice, recall
from jaxseg.report.plot import COLOURS, Style, curve, legend_below, page_style, style, total_counts
from jaxseg.report.section import Figure
from jaxseg.report.text import number, percent
from jaxseg.studies.predictions.counts import PairCounts
from jaxseg.studies.predictions.measures import BASELINE, POOLED, PredictionAudit, border_labels
from jaxseg.studies.rows import EstimateRow

MAX_COLUMNS = 4
FIXED = Style("#777777", (0, (8, 1.5, 1, 1.5)), "")
TRUTH, PREDICTION = Style("black"), Style(COLOURS[1], (0, (3, 1.5)))
ZONE = Style("#333333", ":")
LARGEST = 384  # Longest side that is drawn; larger frames are reduced.


class Chosen(NamedTuple):
    """An image to show: its place in `PairCounts.ids`, its id and why it was chosen."""

    index: int
    id: str
    label: str


class Shown(NamedTuple):
    """What is drawn of one image: masks are class indices [H, W], `image` uint8 [H, W, 3]."""

    chosen: Chosen
    truth: np.ndarray
    predictions: list[np.ndarray]
    image: np.ndarray | None = None


def figures(audit: PredictionAudit, examples: Sequence[Shown]) -> Iterator[Figure]:
    """All figures of an audit with their captions; without `examples` Fig. 3 is left out."""
    recalls = []
    for model in audit.models:
        outer, inner = (audit.score(model, band, "recall").value for band in ("outer", "inner"))
        if not np.isnan([outer, inner]).any():
            recalls.append(f"{model}: recall {outer:.2f} at the border, {inner:.2f} inside")
    yield Figure(
        "prediction_bands",
        "Dice by half-width of the square ring about the centre, and recall by distance to the "
        f"border (rings of {audit.counts.border_px} px). The border is at the right. All images "
        "together; shaded: 95 % interval. Rings that never hold an object have no point",
        f"Line plots of Dice and recall by place in the frame. {'; '.join(recalls)}",
        _bands(audit),
    )
    if len(audit.classes) > 1:
        yield Figure(
            "prediction_classes",
            "Recall by distance to the border, class by class; shaded: 95 % interval",
            f"Line plots of recall by distance to the border for {len(audit.classes) - 1} classes",
            _classes(audit),
        )
    erased = [f"{m}: erased border {audit.erased[m, POOLED].px} px" for m in audit.counts.names]
    yield Figure(
        "prediction_depths",
        "Recall px by px near the border, and the number of images with an object at most this "
        "far from the border. Upright lines: erased border, where there is one",
        f"Line plot of recall by single px of distance to the border. {'; '.join(erased)}",
        _depths(audit),
    )
    if examples:
        yield Figure(
            "prediction_examples",
            f"Examples. Rule: {example_rule(audit.counts)}. Dotted: end of the border zone",
            "Outlines of truth and predictions on "
            + ", ".join(f"{shown.chosen.id} ({shown.chosen.label})" for shown in examples),
            _examples(audit, examples),
        )


def px_text(audit: PredictionAudit) -> str:
    """The unit of distances to the border: `px`, or `px of a 256 px frame`."""
    scale = audit.counts.scale_to
    return "px" if scale is None else f"px of a {scale} px frame"


def model_styles(models: Sequence[str]) -> dict[str, Style]:
    """Colour, line and marker of every model; the baseline is grey and has no marker."""
    return {model: FIXED if model == BASELINE else style(k) for k, model in enumerate(models)}


def _bands(audit: PredictionAudit) -> Drawing:
    """Dice by half-width of the square ring, and recall by distance to the border."""
    with page_style():
        figure = Drawing(figsize=(8.4, 3.4), layout="constrained")
        centre, border = figure.subplots(1, 2)
        for model, look in model_styles(audit.models).items():
            rows = [audit.score(model, f"centre:{edge}", "dice") for edge in RING_EDGES]
            _curve(centre, RING_EDGES.tolist(), rows, look)
        # The border is at the right in both panels, so that they read as one picture.
        centre.set(xlim=(0, FRAME / 2 + 0.5), ylim=(-0.02, 1.02))
        centre.set(xlabel=f"Half-width of the ring (px of {FRAME})", ylabel="Dice in the ring")
        _by_border(border, audit, POOLED)
        _legend(figure, audit.models)
    return figure


def _classes(audit: PredictionAudit) -> Drawing:
    """Recall by distance to the border, a panel for each of several classes."""
    classes = audit.classes[1:]
    across = min(len(classes), MAX_COLUMNS)
    down = -(-len(classes) // across)
    with page_style():
        size = max(8.4, 2.8 * across), 2.5 * down + 0.6
        figure = Drawing(figsize=size, layout="constrained")
        axes = list(np.asarray(figure.subplots(down, across, squeeze=False)).flat)
        for ax, cls in zip(axes, classes):
            _by_border(ax, audit, cls)
            ax.set(title=cls)
        for ax in axes[len(classes) :]:
            ax.set_visible(False)
        _legend(figure, audit.models)
    return figure


def _depths(audit: PredictionAudit) -> Drawing:
    """Recall px by px near the border with the erased width, over the images it rests on.

    One level a px; a px without an object leaves a gap.
    """
    shown = shown_depths(audit)
    middles = np.arange(shown) + 0.5
    with page_style():
        figure = Drawing(figsize=(8.4, 4.2), layout="constrained")
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
    middles = [width * (k + 0.5) for k in range(len(labels))]
    for model, look in model_styles(audit.models).items():
        _curve(ax, middles, [audit.score(model, b, "recall", cls) for b in labels], look)
    ax.set(xlabel=f"Distance to the border ({px_text(audit)})", ylabel="Recall in the ring")
    ax.set(xlim=(width * len(labels) + 0.5, 0), ylim=(-0.02, 1.02))


def _curve(ax: Axes, x: Sequence[float], rows: Sequence[EstimateRow], look: Style) -> None:
    low, high = [row.ci_low for row in rows], [row.ci_high for row in rows]
    curve(ax, x, [row.value for row in rows], low, high, look, clip_on=False)


def _legend(figure: Drawing, models: Sequence[str]) -> None:
    names = {BASELINE: "fixed mask, ignores the image"}
    legend_below(figure, {names.get(m, m): look for m, look in model_styles(models).items()})


def choose_examples(counts: PairCounts) -> list[Chosen]:
    """The images of `example_rule`, at most three, none twice; the first of equals is taken."""
    totals = counts.centre.sum(axis=(2, 3), dtype=np.int64)
    has = np.flatnonzero(totals[:, 0, 0] + totals[:, 0, 2])
    score = dice(totals[has]).mean(axis=1)
    upper = np.sort(score)[len(score) // 2]
    rankings = {  # the most fitting first
        "median Dice": has[np.argsort(np.abs(score - upper), kind="stable")],
        "best Dice": has[np.argsort(-score, kind="stable")],
    }
    if counts.disagreement.any():
        ranked = np.argsort(-counts.disagreement, kind="stable")
        rankings = {"largest disagreement near the border": ranked} | rankings
    chosen: list[Chosen] = []
    for label, ranked in rankings.items():
        taken = [one.index for one in chosen]
        left = [int(k) for k in ranked if k not in taken]
        if left:
            chosen.append(Chosen(left[0], counts.ids[left[0]], label))
    return chosen


def example_rule(counts: PairCounts) -> str:
    """The rule of `choose_examples` in words."""
    several = len(counts.names) > 1
    who = "the predictions differ" if several else "prediction and truth differ"
    of = "Dice averaged over the models" if several else "Dice"
    return (
        f"largest disagreement near the border: the image with the largest share of its pixels "
        f"within {counts.border_px} px of the border on which {who}; median and best: by {of}, all "
        "classes together, among images with an object; no image twice"
    )


def _examples(audit: PredictionAudit, examples: Sequence[Shown]) -> Drawing:
    """A row an example: the image where there is one, then each model's outline on the truth's."""
    images = [] if all(shown.image is None for shown in examples) else ["image"]
    columns = [*images, *audit.counts.names]
    with page_style():
        tall = sum(shown.truth.shape[0] / shown.truth.shape[1] for shown in examples)
        size = 2.3 * len(columns) + 1.9, 2.1 * tall + 0.4 * len(examples) + 0.6
        figure = Drawing(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(len(examples), len(columns), squeeze=False))
        for row, shown in zip(axes, examples):
            _example(audit, row, shown, len(images))
        for ax, title in zip(axes[0], columns):
            ax.set_title(title)
        looks = {"truth": TRUTH, "prediction": PREDICTION, "border zone": ZONE}
        handles = [
            Line2D([], [], color=look.colour, linestyle=look.dash, label=label)
            for label, look in looks.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _example(audit: PredictionAudit, axes: np.ndarray, shown: Shown, n_images: int) -> None:
    truth = _reduced(shown.truth)
    for k, ax in enumerate(axes):
        canvas = np.full((1, 1, 3), 0.93)
        if shown.image is not None:
            canvas = _reduced(shown.image).astype(float) / 255
            if k >= n_images:  # pale grey under the outlines
                canvas = np.repeat(0.3 + 0.7 * canvas.mean(-1, keepdims=True), 3, axis=-1)
        ax.imshow(canvas, extent=(0, 1, 1, 0), aspect=truth.shape[0] / truth.shape[1])
        ax.set(xticks=[], yticks=[], xlim=(-0.015, 1.015), ylim=(1.015, -0.015))
        ax.spines[:].set_visible(False)
    label = [textwrap.fill(line, 22) for line in (shown.chosen.label, shown.chosen.id)]
    axes[0].set_ylabel("\n".join(label), rotation=0, ha="right", va="center", fontsize=8)
    zone = border_depth(shown.truth.shape, audit.counts.scale_to) < audit.counts.border_px
    deeper = np.argwhere(~zone) / zone.shape
    there = zone & (shown.truth > 0)
    for ax, prediction in zip(axes[n_images:], shown.predictions):
        if len(deeper):
            (top, left), (bottom, right) = deeper.min(axis=0), deeper.max(axis=0)
            height, width = bottom - top + 1 / zone.shape[0], right - left + 1 / zone.shape[1]
            box = Rectangle((left, top), width, height, fill=False)
            box.set(linestyle=ZONE.dash, linewidth=0.8, edgecolor=ZONE.colour)
            ax.add_patch(box)
        _outline(ax, truth, TRUTH)
        _outline(ax, _reduced(prediction), PREDICTION)
        score = float(dice(total_counts(shown.truth, prediction)))
        caption = "nothing to find" if np.isnan(score) else f"Dice {number(score, 2)}"
        if there.any():
            found = percent((shown.truth == prediction)[there].mean())
            caption += f", {found} found at the border"
        ax.set_xlabel(caption, fontsize=8, labelpad=2)


def _reduced(array: np.ndarray) -> np.ndarray:
    """At most LARGEST px on the longest side."""
    scale = LARGEST / max(array.shape[:2])
    if scale >= 1:
        return array
    height, width = (max(1, round(side * scale)) for side in array.shape[:2])
    way = cv2.INTER_AREA if array.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(array, (width, height), interpolation=way)


def _outline(ax: Axes, mask: np.ndarray, look: Style) -> None:
    """Outlines of every class, closed where it touches the frame."""
    height, width = mask.shape
    x, y = (np.arange(-1, width + 1) + 0.5) / width, (np.arange(-1, height + 1) + 0.5) / height
    for cls in np.unique(mask[mask > 0]):
        inside = np.pad(mask == cls, 1).astype(float)
        lines = ax.contour(x, y, inside, levels=[0.5], colors=look.colour, linewidths=1.3)
        lines.set(
            linestyle=look.dash, path_effects=[effects.withStroke(linewidth=2.6, foreground="w")]
        )
