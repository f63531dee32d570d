"""The paper's Fig. 3 for any predictions: outlines on images chosen by a rule stated beforehand."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from jaxseg.metrics.bands import border_depth
from jaxseg.metrics.dice import dice
from jaxseg.report.plot import page_style, total_counts
from jaxseg.report.text import number, percent
from jaxseg.studies.predictions.counts import PairCounts
from jaxseg.studies.predictions.measures import PredictionAudit

TRUTH, PREDICTION = "black", "#D55E00"
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


def choose_examples(counts: PairCounts) -> list[Chosen]:
    """The images of `example_rule`, at most three, none twice; the first of equals is taken."""
    chosen: list[Chosen] = []
    for label, ranked in _rankings(counts):
        taken = {one.index for one in chosen}
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


def _rankings(counts: PairCounts) -> Iterator[tuple[str, np.ndarray]]:
    """(label, indices of images, the most fitting first)."""
    if counts.disagreement.any():
        ranked = np.argsort(-counts.disagreement, kind="stable")
        yield "largest disagreement near the border", ranked
    totals = counts.centre.sum(axis=(2, 3), dtype=np.int64)
    has = np.flatnonzero(totals[:, 0, 0] + totals[:, 0, 2])
    score = dice(totals[has]).mean(axis=1)
    upper = np.sort(score)[len(score) // 2]
    yield "median Dice", has[np.argsort(np.abs(score - upper), kind="stable")]
    yield "best Dice", has[np.argsort(-score, kind="stable")]


def examples_figure(audit: PredictionAudit, examples: Sequence[Shown]) -> Figure:
    """A row an example: the image where there is one, then each model's outline on the truth's.

    Dotted: where the border zone ends.
    """
    names = audit.counts.names
    images = [] if all(shown.image is None for shown in examples) else ["image"]
    columns = [*images, *names]
    with page_style():
        tall = sum(shown.truth.shape[0] / shown.truth.shape[1] for shown in examples)
        size = 2.3 * len(columns) + 1.9, 2.1 * tall + 0.4 * len(examples) + 0.6
        figure = Figure(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(len(examples), len(columns), squeeze=False))
        for row, shown in zip(axes, examples):
            _row(audit, row, shown, len(images))
        for ax, title in zip(axes[0], columns):
            ax.set_title(title)
        handles = [
            Line2D([], [], color=TRUTH, label="truth"),
            Line2D([], [], color=PREDICTION, linestyle=(0, (3, 1.5)), label="prediction"),
            Line2D([], [], color="#333333", linestyle=":", label="border zone"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _row(audit: PredictionAudit, axes: np.ndarray, shown: Shown, n_images: int) -> None:
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
    depth = border_depth(shown.truth.shape, audit.counts.scale_to)
    zone = depth < audit.counts.border_px
    for ax, prediction in zip(axes[n_images:], shown.predictions):
        _frame_of_zone(ax, zone)
        _outline(ax, truth, TRUTH, "-")
        _outline(ax, _reduced(prediction), PREDICTION, (0, (3, 1.5)))
        caption = _caption(zone, shown.truth, prediction)
        ax.set_xlabel(caption, fontsize=8, labelpad=2)


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


def _frame_of_zone(ax: Axes, zone: np.ndarray) -> None:
    """Frame of what lies deeper than the border zone, bool [H, W], if anything does."""
    inner = np.argwhere(~zone)
    if len(inner):
        (top, left), (bottom, right) = inner.min(axis=0), inner.max(axis=0) + 1
        height, width = zone.shape
        corner, size = (left / width, top / height), (right - left, bottom - top)
        box = Rectangle(corner, size[0] / width, size[1] / height, fill=False)
        box.set(linestyle=":", linewidth=0.8, edgecolor="#333333")
        ax.add_patch(box)


def _caption(zone: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> str:
    score = float(dice(total_counts(truth, prediction)))
    text = "nothing to find" if np.isnan(score) else f"Dice {number(score, 2)}"
    there = zone & (truth > 0)
    if not there.any():
        return text
    return f"{text}, {percent((truth == prediction)[there].mean())} found at the border"
