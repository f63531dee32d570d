"""The paper's Fig. 3: example images with the truth and what every arm predicts."""

from collections.abc import Sequence

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxseg.metrics.dice import dice
from jaxseg.report.figures import page_style
from jaxseg.report.results import Results, common_seeds, example_prediction
from jaxseg.report.styles import settings_apart

MISSED = "#D55E00"
ADDED = "#0072B2"
MAX_ARMS = 8


def shown_arms(results: Results) -> list[str]:
    """Arms of the figure: all when they fit, else the first and those one axis away from it."""
    if len(results.arms) <= MAX_ARMS:
        return results.arms
    first = results.settings[results.arms[0]]
    return settings_apart(results, first, at_most=1)[:MAX_ARMS]


def shown_seed(results: Results, arm: str) -> int:
    """The lowest seed that all shown arms have done; the arm's own lowest when there is none."""
    shared = common_seeds(results, shown_arms(results))
    return shared[0] if shared else results.seeds[arm][0]


def examples(results: Results) -> Figure | None:
    """Rows are examples; columns the image, the truth and each arm's prediction with its Dice.

    Pixels an arm missed and pixels it added are filled, the truth is outlined. None when the
    workdir holds no examples.
    """
    if results.examples is None:
        return None
    predictions = {
        arm: prediction
        for arm in shown_arms(results)
        if (prediction := example_prediction(results, arm, shown_seed(results, arm))) is not None
    }
    shown, truth = results.examples, results.examples.truth
    columns, rows = 2 + len(predictions), len(truth)
    with page_style():
        figure = Figure(figsize=(1.5 * columns + 1.1, 1.72 * rows + 0.5), layout="constrained")
        axes = np.asarray(figure.subplots(rows, columns, squeeze=False))
        bare(axes)
        for k in range(rows):
            axes[k, 0].imshow(shown.image[k])
            axes[k, 0].set_ylabel(wrapped(shown.label[k]), rotation=0, ha="right", va="center")
            axes[k, 1].imshow(truth[k] > 0, cmap="gray", vmin=0, vmax=1)
            for ax, prediction in zip(axes[k, 2:], predictions.values()):
                _overlay(ax, shown.image[k], truth[k], prediction[k])
        for ax, title in zip(axes[0], ["image", "truth", *predictions]):
            ax.set_title(title.replace("/", "\n"), fontsize=8)
        errors_legend(figure)
    return figure


def _overlay(ax: Axes, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
    errors(ax, image, truth, prediction)
    score = dice(_total_counts(truth, prediction))
    text = "nothing to find" if np.isnan(score) else f"Dice {score:.2f}"
    ax.set_xlabel(text, fontsize=8, labelpad=2)


def bare(axes: np.ndarray) -> None:
    """Axes that hold pictures: a thin frame, no ticks."""
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color="#999999", linewidth=0.5)


def errors(ax: Axes, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
    """The image in grey with the truth outlined, and filled what is missed and what is added.

    image uint8 [H, W, 3]; truth and prediction [H, W], class indices.
    """
    grey = image.astype(float).mean(axis=-1, keepdims=True) / 255
    canvas = 0.35 + 0.65 * np.repeat(grey, 3, axis=-1)
    # An error is a wrong class, also between two foreground classes.
    wrong = truth != prediction
    for mask, colour in ((wrong & (truth > 0), MISSED), (wrong & (truth == 0), ADDED)):
        canvas[mask] = 0.2 * canvas[mask] + 0.8 * np.array(matplotlib.colors.to_rgb(colour))
    ax.imshow(canvas)
    if (truth > 0).any():
        ax.contour(truth > 0, levels=[0.5], colors="black", linewidths=0.9)


def _total_counts(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    hit = (truth == prediction) & (truth > 0)
    return np.array([hit.sum(), (prediction > 0).sum() - hit.sum(), (truth > 0).sum() - hit.sum()])


def errors_legend(figure: Figure) -> None:
    """What the outline and the fillings of `errors` are."""
    handles = [
        Line2D([], [], color="black", linewidth=1, label="outline of the truth"),
        Patch(color=MISSED, label="missed"),
        Patch(color=ADDED, label="added"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def wrapped(text: str, width: int = 16) -> str:
    """Breaks at spaces so that a label does not push its neighbours aside."""
    lines: Sequence[str] = [""]
    for word in text.split():
        fits = len(lines[-1]) + len(word) < width
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if fits else [*lines, word]
    return "\n".join(line for line in lines if line)
