"""The film strip of a shift audit (the paper's Fig. 7): windows above what is predicted in them."""

from collections.abc import Sequence

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import COLOURS, page_style
from jaxseg.studies.shift.moving import Moved

MISSED, ADDED = COLOURS[1], COLOURS[0]
MOST_WINDOWS = 9


def film_strip(moved: Moved) -> Figure:
    """One image's windows above what was predicted in them, in the order of their offsets."""
    picks = shown_windows(moved)
    with page_style():
        figure = Figure(figsize=(1.15 * len(picks) + 0.7, 3.2), layout="constrained")
        axes = np.asarray(figure.subplots(2, len(picks), squeeze=False))
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set(visible=True, color="#999999", linewidth=0.5)
        for column, index in zip(axes.T, picks):
            _film_frame(column, moved, index)
        axes[0, 0].set_ylabel("window")
        axes[1, 0].set_ylabel("prediction")
        figure.legend(handles=_strip_legend(), loc="outside lower center", ncols=4)
    return figure


def shown_windows(moved: Moved) -> list[int]:
    """At most nine windows, evenly spread about the central one."""
    count, centre = len(moved.plan.origins), moved.plan.centre
    every = -(-(count - 1) // (MOST_WINDOWS - 1)) or 1
    return list(range(centre % every, count, every))


def _film_frame(column: Sequence[Axes], moved: Moved, index: int) -> None:
    strip, start = moved.strip, moved.plan.common.start - moved.plan.origins[index]
    side = moved.plan.common.stop - moved.plan.common.start
    truth, prediction = strip.truth[index], strip.predictions[index]
    column[0].imshow(strip.images[index])
    offset = int(moved.plan.offsets[index])
    column[0].set_title(f"{offset:+d} px".replace("-", "−") if offset else "centre", fontsize=8)
    grey = strip.images[index].mean(axis=-1, keepdims=True) / 255
    canvas = 0.35 + 0.65 * np.repeat(grey, 3, axis=-1)
    wrong = truth != prediction
    for mask, colour in ((wrong & (truth > 0), MISSED), (wrong & (truth == 0), ADDED)):
        canvas[mask] = 0.2 * canvas[mask] + 0.8 * np.array(matplotlib.colors.to_rgb(colour))
    column[1].imshow(canvas)
    for ax in column:
        if (truth > 0).any() and (truth == 0).any():
            ax.contour(truth > 0, levels=[0.5], colors="black", linewidths=0.8)
        style = {"fill": False, "edgecolor": "white", "linestyle": ":", "linewidth": 1.2}
        ax.add_patch(Rectangle((start - 0.5, start - 0.5), side, side, **style))
    part = slice(start, start + side)
    column[1].set_xlabel(_dice_text(truth[part, part], prediction[part, part]), fontsize=8)


def _dice_text(truth: np.ndarray, prediction: np.ndarray) -> str:
    hit = int(((truth == prediction) & (truth > 0)).sum())
    counts = np.array([hit, (prediction > 0).sum() - hit, (truth > 0).sum() - hit])
    score = float(dice(counts))
    return "empty" if np.isnan(score) else f"Dice {score:.2f}"


def _strip_legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color="black", linewidth=1, label="truth"),
        Patch(color=MISSED, label="missed (inside it)"),
        Patch(color=ADDED, label="added (outside it)"),
        Patch(facecolor="#bbbbbb", edgecolor="white", linestyle=":", label="part in all windows"),
    ]
