"""The paper's Fig. 3 for any predictions: outlines of truth and prediction on chosen images."""

import textwrap
from collections.abc import Sequence

import cv2
import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import page_style
from jaxseg.report.text import number
from jaxseg.studies.predictions.examples import Shown, example_rule
from jaxseg.studies.predictions.frame_bands import border_depth
from jaxseg.studies.predictions.predictions import PredictionAudit
from jaxseg.studies.predictions.wording import share

TRUTH, PREDICTION = "black", "#D55E00"
LARGEST = 384  # Longest side that is drawn; larger frames are reduced.


def examples_figure(audit: PredictionAudit, examples: Sequence[Shown]) -> Figure | None:
    """A row an example: the image where there is one, then each model's outline on the truth's.

    Dotted: where the border zone ends. The rule stands below. None without examples.
    """
    if not examples:
        return None
    names = audit.counts.names
    with_image = any(shown.image is not None for shown in examples)
    columns = len(names) + with_image
    with page_style():
        tall = sum(shown.truth.shape[0] / shown.truth.shape[1] for shown in examples)
        size = 2.3 * columns + 1.9, 2.1 * tall + 0.4 * len(examples) + 1.0
        figure = Figure(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(len(examples), columns, squeeze=False))
        for row, shown in zip(axes, examples):
            _row(audit, row, shown, with_image)
        for ax, title in zip(axes[0], ["image"] * with_image + names):
            ax.set_title(title)
        figure.supxlabel(_wrapped(f"Rule: {example_rule(audit.counts)}.", size[0]), fontsize=8)
        _legend(figure)
    return figure


def _row(audit: PredictionAudit, axes: np.ndarray, shown: Shown, with_image: bool) -> None:
    truth = _reduced(shown.truth)
    for k, ax in enumerate(axes):
        canvas = _canvas(shown, pale=k >= with_image)
        ax.imshow(canvas, extent=(0, 1, 1, 0), aspect=truth.shape[0] / truth.shape[1])
        ax.set(xticks=[], yticks=[], xlim=(-0.015, 1.015), ylim=(1.015, -0.015))
        ax.spines[:].set_visible(False)
    label = f"{shown.chosen.label}\n{shown.chosen.id}"
    axes[0].set_ylabel("\n".join(textwrap.fill(line, 22) for line in label.split("\n")))
    axes[0].yaxis.label.set(rotation=0, ha="right", va="center", fontsize=8)
    for ax, prediction in zip(axes[with_image:], shown.predictions):
        _zone(ax, audit, shown.truth.shape)
        _outline(ax, truth, TRUTH, "-")
        _outline(ax, _reduced(prediction), PREDICTION, (0, (3, 1.5)))
        ax.set_xlabel(_caption(audit, shown.truth, prediction), fontsize=8, labelpad=2)


def _canvas(shown: Shown, pale: bool) -> np.ndarray:
    """The image, in pale grey where outlines lie on it; plain where there is none."""
    if shown.image is None:
        return np.full((1, 1, 3), 0.93)
    image = _reduced(shown.image).astype(float) / 255
    return np.repeat(0.3 + 0.7 * image.mean(-1, keepdims=True), 3, axis=-1) if pale else image


def _reduced(array: np.ndarray) -> np.ndarray:
    """At most LARGEST px on the longest side."""
    scale = LARGEST / max(array.shape[:2])
    if scale >= 1:
        return array
    size = [max(1, round(side * scale)) for side in array.shape[1::-1]]
    way = cv2.INTER_AREA if array.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(array, size, interpolation=way)


def _outline(ax: Axes, mask: np.ndarray, colour: str, dash) -> None:
    """Outlines of every class, closed where it touches the frame."""
    height, width = mask.shape
    x, y = (np.arange(-1, width + 1) + 0.5) / width, (np.arange(-1, height + 1) + 0.5) / height
    for cls in np.unique(mask[mask > 0]):
        inside = np.pad(mask == cls, 1).astype(float)
        lines = ax.contour(x, y, inside, levels=[0.5], colors=colour, linewidths=1.3)
        lines.set(linestyle=dash, path_effects=[effects.withStroke(linewidth=2.6, foreground="w")])


def _zone(ax: Axes, audit: PredictionAudit, shape: tuple[int, int]) -> None:
    """Frame of what lies deeper than the border zone, if anything does."""
    inner = np.argwhere(border_depth(shape, audit.counts.scale_to) >= audit.counts.border_px)
    if len(inner):
        (top, left), (bottom, right) = inner.min(axis=0), inner.max(axis=0) + 1
        corner, size = (left / shape[1], top / shape[0]), (right - left, bottom - top)
        box = Rectangle(corner, size[0] / shape[1], size[1] / shape[0], fill=False)
        box.set(linestyle=":", linewidth=0.8, edgecolor="#333333")
        ax.add_patch(box)


def _caption(audit: PredictionAudit, truth: np.ndarray, prediction: np.ndarray) -> str:
    zone = border_depth(truth.shape, audit.counts.scale_to) < audit.counts.border_px
    hit = (truth == prediction) & (truth > 0)
    counts = [hit.sum(), (prediction > 0).sum() - hit.sum(), (truth > 0).sum() - hit.sum()]
    score = dice(np.array(counts))
    text = "nothing to find" if np.isnan(score) else f"Dice {number(float(score), 2)}"
    there = int((zone & (truth > 0)).sum())
    return f"{text}, {share(hit[zone].sum() / there)} found at the border" if there else text


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=TRUTH, label="truth"),
        Line2D([], [], color=PREDICTION, linestyle=(0, (3, 1.5)), label="prediction"),
        Line2D([], [], color="#333333", linestyle=":", label="border zone"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)


def _wrapped(text: str, inches: float) -> str:
    return textwrap.fill(text, max(40, int(14 * inches)))
