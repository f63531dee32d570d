"""Figures of a study of annotations: dose-response, stability along a sequence, examples."""

from collections.abc import Sequence

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import (
    COLOURS,
    DASHES,
    MARKERS,
    Style,
    bare,
    curve,
    draw_errors,
    errors_legend,
    legend_below,
    page_style,
    wrapped,
)
from jaxseg.studies.annotations.arms import (
    MOST_SHOWN,
    PLACEMENT,
    Line,
    arm_names,
    arm_value,
    dose,
    lines,
    shown_arms,
)
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    RELIANCE,
    SEQUENCE,
    TO_LAST,
    Study,
    defined_mean,
    difference_of,
    in_truth,
)
from jaxseg.studies.grid_figures import Look
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow, value_of

NEVER = Style("#000000", ":", "o")
HUES = tuple(colour for colour in COLOURS if colour != NEVER.colour)
# Structures that lie in one frame stand next to each other in the list of classes: they differ.
STRUCTURE_HUES = COLOURS[:6]
# Percent of contamination by which neighbouring lines stand apart, so that no bar hides another.
APART = 1.2
PREDICTIONS = {"clean": "examples.clean_prediction", "annotated": "examples.prediction"}


def line_styles(results: Results) -> dict[str, Style]:
    """Style of every dose-response line by its name: a colour, a marker and a dash of its own."""
    return {
        line.name: Style(HUES[k % len(HUES)], DASHES[k % len(DASHES)], MARKERS[k % len(MARKERS)])
        for k, line in enumerate(lines(results))
    }


def arm_looks(results: Results) -> dict[str, Style]:
    """Style of every arm: that of its line at the highest dose, other dashes below; black for the
    one arm that never saw an annotation."""
    found: dict[str, Style] = {}
    for j, line in enumerate(lines(results)):
        style = line_styles(results)[line.name]
        for k, arm in enumerate(reversed(line.arms.values())):
            found.setdefault(arm, style._replace(dash=DASHES[(j + k) % len(DASHES)]))
    never = {arm: NEVER for arm in found if dose(results, arm) == 0 and len(found) > 1}
    return found | (never if len(never) == 1 else {})


def study_look(results: Results) -> Look:
    """The arms of `shown_arms` in one panel, under their readers' names."""
    looks, names, arms = arm_looks(results), arm_names(results), shown_arms(results)
    styles = {arm: looks[arm] for arm in arms}
    return Look([("", arms)], styles, {names[arm]: style for arm, style in styles.items()})


def dose_response(results: Results, rows: Sequence[EstimateRow]) -> Figure | None:
    """Reliance by contamination, a line for each placement, removal and placebo, with intervals.

    One panel while all lines fit in it, else one for each placement. None where every arm has the
    same contamination.
    """
    found = lines(results)
    if len({value for line in found for value in line.arms}) < 2:
        return None
    panels: dict[str, list[Line]] = {}
    for line in found:
        placement = arm_value(results, [*line.arms.values()][-1], PLACEMENT)
        panels.setdefault(placement if len(found) > MOST_SHOWN else "", []).append(line)
    styles = line_styles(results)
    with page_style():
        figure = Figure(figsize=(max(7.2, 3.6 * len(panels)), 4.4), layout="constrained")
        axes = np.asarray(figure.subplots(1, len(panels), sharey=True, squeeze=False))[0]
        for ax, (title, inside) in zip(axes, panels.items()):
            ax.axhline(0, color="black", linewidth=0.8)
            for k, line in enumerate(inside):
                shift = (k - (len(inside) - 1) / 2) * APART
                _dose_line(ax, rows, line, styles[line.name], shift)
            ax.set_xticks(sorted({100 * value for line in inside for value in line.arms}))
            ax.set(title=title, xlabel="Training frames with annotations (%)")
        axes[0].set_ylabel("Reliance: Dice, annotated − clean")
        legend_below(figure, styles)
    return figure


def _dose_line(
    ax: Axes, rows: Sequence[EstimateRow], line: Line, style: Style, shift: float
) -> None:
    found = [
        (100 * share + shift, row)
        for share, arm in line.arms.items()
        if (row := value_of(rows, arm, difference_of(ANNOTATED), ALL, RELIANCE)) is not None
    ]
    values = np.array([row.value for _, row in found])
    ends = np.array([(row.ci_low, row.ci_high) for _, row in found]).T
    ax.errorbar(
        [x for x, _ in found],
        values,
        # A percentile interval of a skewed statistic need not hold the value itself.
        yerr=np.maximum([values - ends[0], ends[1] - values], 0),
        color=style.colour,
        linestyle=style.dash,
        marker=style.marker,
        ms=5,
        elinewidth=1.2,
        capsize=2.5,
    )


def sequence(results: Results, study: Study, rows: Sequence[EstimateRow]) -> Figure | None:
    """Dice to the last prediction along the stages of annotating a frozen frame (Fig. 2).

    None without sequences.
    """
    if not study.to_last:
        return None
    look = study_look(results)
    with page_style():
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        ax = figure.subplots()
        for arm, style in look.styles.items():
            stages = range(study.to_last[arm].shape[-1])
            found = {k: value_of(rows, arm, SEQUENCE, f"stage:{k}", TO_LAST) for k in stages}
            picked = {k: row for k, row in found.items() if row is not None}
            values = [row.value for row in picked.values()]
            low = [row.ci_low for row in picked.values()]
            high = [row.ci_high for row in picked.values()]
            curve(ax, list(picked), values, low, high, style, ms=4)
        ax.set_xlabel("Stage of annotating the frame (0: no annotation yet, last: all)")
        ax.set_ylabel("Dice to the prediction at the last stage")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        bottom, top = ax.get_ylim()
        ax.set_ylim(max(bottom, -0.02), min(top, 1.02))
        legend_below(figure, look.legend)
    return figure


def shown_roles(study: Study) -> list[str]:
    """Arms of pictures: the baseline, and the mitigated arm or else the control or placebo."""
    found = (study.roles.mitigated, study.roles.control, study.roles.placebo)
    return [study.roles.baseline, *[arm for arm in found if arm is not None][:1]]


def shown_seed(results: Results, study: Study) -> int:
    """The lowest seed that the shown arms have in common, else the baseline's own lowest."""
    shared = results.common_seeds(shown_roles(study))
    return shared[0] if shared else results.seeds[study.roles.baseline][0]


def examples(results: Results, study: Study) -> Figure | None:
    """Rows are frames; columns the frame without and with annotations, the truth, predictions.

    Predictions of the arms of `shown_roles` on both frames, with what is missed and added and the
    Dice of `frame_dice` (Fig. 1). What was not stored is left out; None without examples.
    """
    shown = results.examples
    if shown is None:
        return None
    images = {"clean": shown.clean_image, "annotated": shown.image}
    pictures = {name: image for name, image in images.items() if image is not None}
    names, seed = arm_names(results), shown_seed(results, study)
    predicted = {
        (arm, name): prediction
        for arm in shown_roles(study)
        if seed in results.seeds[arm]
        for name in pictures
        if (prediction := results.example_prediction(arm, seed, PREDICTIONS[name])) is not None
    }
    titles = [f"{wrapped(names[arm], 20)}\non {name}" for arm, name in predicted]
    columns, frames = len(pictures) + 1 + len(predicted), len(shown.truth)
    with page_style():
        size = 1.5 * columns + 0.9, 1.8 * frames + 0.9
        figure = Figure(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(frames, columns, squeeze=False))
        bare(axes)
        for k, row in enumerate(axes):
            row[0].set_ylabel(wrapped(shown.label[k]), rotation=0, ha="right", va="center")
            for ax, image in zip(row, pictures.values()):
                ax.imshow(image[k])
            _truth(row[len(pictures)], study, shown.truth[k])
            for ax, ((_, name), prediction) in zip(row[len(pictures) + 1 :], predicted.items()):
                draw_errors(ax, pictures[name][k], shown.truth[k], prediction[k])
                score = frame_dice(shown.truth[k], prediction[k])
                text = "nothing to find" if np.isnan(score) else f"Dice {score:.2f}"
                ax.set_xlabel(text, fontsize=8, labelpad=2)
        for ax, title in zip(axes[0], [*pictures, "truth", *titles]):
            ax.set_title(title, fontsize=8)
        figure.legend(handles=errors_legend(), loc="outside lower center", ncols=3)
    return figure


def frame_dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean Dice over the classes that the truth [H, W] holds, as `measures.image_dice`."""
    highest = int(max(truth.max(), prediction.max()))
    counted = np.zeros((max(highest, 1), 3))
    for k in range(highest):
        true, found = truth == k + 1, prediction == k + 1
        counted[k] = (true & found).sum(), (found & ~true).sum(), (true & ~found).sum()
    return float(defined_mean(np.where(in_truth(counted), dice(counted), np.nan)))


def _truth(ax: Axes, study: Study, truth: np.ndarray) -> None:
    """Structures in colours, each named below in its own."""
    canvas = np.zeros((*truth.shape, 3))
    for line, k in enumerate(k for k in np.unique(truth) if k):
        colour = STRUCTURE_HUES[(k - 1) % len(STRUCTURE_HUES)]
        canvas[truth == k] = matplotlib.colors.to_rgb(colour)
        place = {"transform": ax.transAxes, "ha": "center", "va": "top", "fontsize": 7}
        ax.text(0.5, -0.03 - 0.1 * line, study.classes[k - 1], color=colour, **place)
    ax.imshow(canvas)
