"""The paper's Fig. 3: example images with the truth and what every arm predicts."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import bare, draw_errors, errors_legend, page_style, total_counts, wrapped
from jaxseg.studies.arm_styles import settings_apart
from jaxseg.studies.results import Results, common_seeds, example_prediction

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
        figure.legend(handles=errors_legend(), loc="outside lower center", ncols=3)
    return figure


def _overlay(ax: Axes, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
    draw_errors(ax, image, truth, prediction)
    score = dice(total_counts(truth, prediction))
    text = "nothing to find" if np.isnan(score) else f"Dice {score:.2f}"
    ax.set_xlabel(text, fontsize=8, labelpad=2)
