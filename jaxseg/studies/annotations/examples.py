"""The paper's Fig. 1: frames with and without annotations, and what networks make of both."""

from typing import NamedTuple

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import (
    COLOURS,
    bare,
    draw_errors,
    errors_legend,
    page_style,
    wrapped,
)
from jaxseg.studies.annotations.measures import Study, defined_mean, in_truth
from jaxseg.studies.annotations.names import arm_names
from jaxseg.studies.results import Results, common_seeds, example_prediction

# Structures that lie in one frame stand next to each other in the list of classes: they differ.
HUES = COLOURS[:6]
PREDICTIONS = {
    "clean": "examples.clean_prediction",
    "annotated": "examples.prediction",
}


class Column(NamedTuple):
    """Predictions uint8 [k, H, W] on images uint8 [k, H, W, 3]."""

    title: str
    image: np.ndarray
    prediction: np.ndarray


def shown_roles(study: Study) -> list[str]:
    """Arms of pictures: the baseline, and the mitigated arm or else the control or placebo."""
    found = (study.roles.mitigated, study.roles.control, study.roles.placebo)
    return [study.roles.baseline, *[arm for arm in found if arm is not None][:1]]


def shown_seed(results: Results, study: Study) -> int:
    """The lowest seed that the shown arms have in common, else the baseline's own lowest."""
    shared = common_seeds(results, shown_roles(study))
    return shared[0] if shared else results.seeds[study.roles.baseline][0]


def study_examples(results: Results, study: Study) -> Figure | None:
    """Rows are frames; columns the frame without and with annotations, the truth, predictions.

    Predictions of the arms of `shown_roles` on both frames, with what is missed and added and the
    Dice of `frame_dice`. What was not stored is left out; None without examples.
    """
    shown = results.examples
    if shown is None:
        return None
    images = {"clean": shown.clean_image, "annotated": shown.image}
    pictures = {name: image for name, image in images.items() if image is not None}
    columns = _columns(results, study, pictures)
    plain = len(pictures) + 1
    with page_style():
        size = 1.5 * (plain + len(columns)) + 0.9, 1.8 * len(shown.truth) + 0.9
        figure = Figure(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(len(shown.truth), plain + len(columns), squeeze=False))
        bare(axes)
        for k, row in enumerate(axes):
            row[0].set_ylabel(wrapped(shown.label[k]), rotation=0, ha="right", va="center")
            for ax, image in zip(row, pictures.values()):
                ax.imshow(image[k])
            _truth(row[plain - 1], study, shown.truth[k])
            for ax, column in zip(row[plain:], columns):
                _prediction(ax, column.image[k], shown.truth[k], column.prediction[k])
        titles = [*pictures, "truth", *(column.title for column in columns)]
        for ax, title in zip(axes[0], titles):
            ax.set_title(title, fontsize=8)
        figure.legend(handles=errors_legend(), loc="outside lower center", ncols=3)
    return figure


def frame_dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean Dice over the classes that the truth [H, W] holds, as `reliance.image_dice`."""
    highest = int(max(truth.max(), prediction.max()))
    counted = np.zeros((max(highest, 1), 3))
    for k in range(highest):
        true, found = truth == k + 1, prediction == k + 1
        counted[k] = (true & found).sum(), (found & ~true).sum(), (true & ~found).sum()
    return float(defined_mean(np.where(in_truth(counted), dice(counted), np.nan)))


def _columns(results: Results, study: Study, pictures: dict[str, np.ndarray]) -> list[Column]:
    names, seed = arm_names(results), shown_seed(results, study)
    found = []
    for arm in shown_roles(study):
        if seed not in results.seeds[arm]:
            continue
        for name, image in pictures.items():
            prediction = example_prediction(results, arm, seed, PREDICTIONS[name])
            if prediction is not None:
                title = f"{wrapped(names[arm], 20)}\non {name}"
                found.append(Column(title, image, prediction))
    return found


def _prediction(ax: Axes, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
    draw_errors(ax, image, truth, prediction)
    score = frame_dice(truth, prediction)
    text = "nothing to find" if np.isnan(score) else f"Dice {score:.2f}"
    ax.set_xlabel(text, fontsize=8, labelpad=2)


def _truth(ax: Axes, study: Study, truth: np.ndarray) -> None:
    """Structures in colours, each named below in its own."""
    canvas = np.zeros((*truth.shape, 3))
    for line, k in enumerate(k for k in np.unique(truth) if k):
        colour = HUES[(k - 1) % len(HUES)]
        canvas[truth == k] = matplotlib.colors.to_rgb(colour)
        place = {"transform": ax.transAxes, "ha": "center", "va": "top", "fontsize": 7}
        ax.text(0.5, -0.03 - 0.1 * line, study.classes[k - 1], color=colour, **place)
    ax.imshow(canvas)
