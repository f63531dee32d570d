"""Figures of a study of annotations: dose-response, sequences, examples, saliency."""

from collections.abc import Sequence

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import (
    COLOURS,
    DASHES,
    MARKERS,
    Style,
    curve,
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
    shown_roles,
)
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    POINTING,
    RANDOM,
    RATIO,
    RELIANCE,
    SEQUENCE,
    TO_LAST,
    Saliency,
    Study,
    defined_mean,
    difference_of,
    in_truth,
)
from jaxseg.studies.grid_sections import Look, draw_scored, keep_to_shares, picture_axes
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow, value_of

OUTLINE = "#56B4E9"
CONTROL = "#777777"

NEVER = Style("#000000", ":", "o")
HUES = tuple(colour for colour in COLOURS if colour != NEVER.colour)
# Structures that lie in one frame are neighbours in the list of classes: their colours differ.
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
    styles = line_styles(results)
    for j, line in enumerate(lines(results)):
        style = styles[line.name]
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
    every = lines(results)
    if len({value for line in every for value in line.arms}) < 2:
        return None
    panels: dict[str, list[Line]] = {}
    for line in every:
        placement = arm_value(results, [*line.arms.values()][-1], PLACEMENT)
        panels.setdefault(placement if len(every) > MOST_SHOWN else "", []).append(line)
    styles = line_styles(results)
    with page_style():
        figure = Figure(figsize=(max(7.2, 3.6 * len(panels)), 4.4), layout="constrained")
        axes = np.asarray(figure.subplots(1, len(panels), sharey=True, squeeze=False))[0]
        for ax, (title, inside) in zip(axes, panels.items()):
            ax.axhline(0, color="black", linewidth=0.8)
            for k, line in enumerate(inside):
                shift = (k - (len(inside) - 1) / 2) * APART
                found = {
                    100 * share + shift: row
                    for share, arm in line.arms.items()
                    if (row := value_of(rows, arm, difference_of(ANNOTATED), ALL, RELIANCE))
                }
                values = np.array([row.value for row in found.values()])
                ends = np.array([(row.ci_low, row.ci_high) for row in found.values()]).T
                style = styles[line.name]
                ax.errorbar(
                    [*found],
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
            ax.set_xticks(sorted({100 * value for line in inside for value in line.arms}))
            ax.set(title=title, xlabel="Training frames with annotations (%)")
        axes[0].set_ylabel("Reliance: Dice, annotated − clean")
        legend_below(figure, styles)
    return figure


def sequence(study: Study, rows: Sequence[EstimateRow]) -> Figure | None:
    """Dice to the last prediction along the stages of annotating a frozen frame (Fig. 2).

    None without sequences.
    """
    if not study.to_last:
        return None
    look = study_look(study.results)
    with page_style():
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        ax = figure.subplots()
        for arm, style in look.styles.items():
            stages = range(study.to_last[arm].shape[-1])
            picked = {
                k: row
                for k in stages
                if (row := value_of(rows, arm, SEQUENCE, f"stage:{k}", TO_LAST))
            }
            values = [row.value for row in picked.values()]
            low = [row.ci_low for row in picked.values()]
            high = [row.ci_high for row in picked.values()]
            curve(ax, list(picked), values, low, high, style, ms=4)
        ax.set_xlabel("Stage of annotating the frame (0: no annotation yet, last: all)")
        ax.set_ylabel("Dice to the prediction at the last stage")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        keep_to_shares(ax)
        legend_below(figure, look.legend)
    return figure


def examples(study: Study) -> Figure | None:
    """Rows are frames; columns the frame without and with annotations, the truth, predictions.

    Predictions of the arms of `shown_roles` on both frames, with what is missed and added and the
    Dice of `frame_dice` (Fig. 1). What was not stored is left out; None without examples.
    """
    results, arms = study.results, shown_roles(study.roles)
    shown, seed = results.examples, results.shown_seed(arms)
    if shown is None:
        return None
    images = {"clean": shown.clean_image, "annotated": shown.image}
    pictures = {name: image for name, image in images.items() if image is not None}
    names = arm_names(results)
    predicted = {
        (arm, name): prediction
        for arm in arms
        if seed in results.seeds[arm]
        for name in pictures
        if (prediction := results.example_prediction(arm, seed, PREDICTIONS[name])) is not None
    }
    titles = [f"{wrapped(names[arm], 20)}\non {name}" for arm, name in predicted]
    columns, frames = len(pictures) + 1 + len(predicted), len(shown.truth)
    with page_style():
        size = 1.5 * columns + 0.9, 1.8 * frames + 0.9
        figure, axes = picture_axes(shown.label, columns, size)
        for k, row in enumerate(axes):
            for ax, image in zip(row, pictures.values()):
                ax.imshow(image[k])
            truth_ax = row[len(pictures)]
            canvas = np.zeros((*shown.truth[k].shape, 3))
            # Structures in colours, each named below in its own.
            for line, label in enumerate(label for label in np.unique(shown.truth[k]) if label):
                colour = STRUCTURE_HUES[(label - 1) % len(STRUCTURE_HUES)]
                canvas[shown.truth[k] == label] = matplotlib.colors.to_rgb(colour)
                place = {"transform": truth_ax.transAxes, "ha": "center", "va": "top"}
                text = study.classes[label - 1]
                truth_ax.text(0.5, -0.03 - 0.1 * line, text, color=colour, fontsize=7, **place)
            truth_ax.imshow(canvas)
            for ax, ((_, name), prediction) in zip(row[len(pictures) + 1 :], predicted.items()):
                score = frame_dice(shown.truth[k], prediction[k])
                draw_scored(ax, pictures[name][k], shown.truth[k], prediction[k], score)
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


def saliency_maps(study: Study, saliency: Saliency) -> Figure | None:
    """Columns are frames; rows the frame and the map of each arm of `shown_roles` (Fig. 8).

    Annotations are outlined. None when no shown arm has a map.
    """
    arms, names = shown_roles(study.roles), arm_names(study.results)
    seed = study.results.shown_seed(arms)
    shown = {
        names[arm]: saliency.arrays["example_map"][saliency.place[arm, seed]]
        for arm in arms
        if (arm, seed) in saliency.place
    }
    images, marked = saliency.arrays["example_image"], saliency.arrays["example_annotated"]
    if not shown or not len(images):
        return None
    with page_style():
        size = 2.0 * len(images) + 1.3, 2.15 * (1 + len(shown)) + 0.4
        labels = [f"{saliency.test_set} frame", *shown]
        figure, axes = picture_axes(labels, len(images), size)
        for ax, image, name in zip(axes[0], images, saliency.example_names):
            ax.imshow(image)
            ax.set_title(name)
        for row, maps in zip(axes[1:], shown.values()):
            for ax, image, marks, heat in zip(row, images, marked, maps):
                _map(ax, image, marks, heat)
        handle = Line2D([], [], color=OUTLINE, linewidth=1, label="outline of the annotations")
        figure.legend(handles=[handle], loc="outside lower center")
    return figure


def _map(ax: Axes, image: np.ndarray, marked: np.ndarray, heat: np.ndarray) -> None:
    """The map over the frame in grey, the more opaque the higher, and its score below."""
    ax.imshow(image.astype(float).mean(axis=-1), cmap="gray", vmin=0, vmax=255)
    ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(0.15 + 0.75 * heat, 0, 1))
    if marked.any():
        ax.contour(marked, levels=[0.5], colors=OUTLINE, linewidths=0.8)
    total, area = heat.sum(), marked.mean()
    if total > 0 and area > 0:
        times = heat[marked].sum() / total / area
        ax.set_xlabel(f"{times:.1f} × chance on annotations", fontsize=8, labelpad=2)
    elif total == 0:
        ax.set_xlabel("no map: all zero", fontsize=8, labelpad=2)


def saliency_scores(results: Results, rows: Sequence[EstimateRow]) -> Figure | None:
    """Each arm's share of saliency on annotations over chance, and its pointing game.

    Filled: trained networks; open and grey: the same with randomised weights. None without scores.
    """
    scored = {(r.arm, r.metric): r for r in rows if r.metric.startswith((RATIO, POINTING))}
    arms = [arm for arm in shown_arms(results) if (arm, RATIO) in scored]
    if not arms:
        return None
    names, looks = arm_names(results), arm_looks(results)
    with page_style():
        figure = Figure(figsize=(8.4, 0.42 * len(arms) + 1.5), layout="constrained")
        ratio, pointing = figure.subplots(1, 2, sharey=True)
        for ax, metric in ((ratio, RATIO), (pointing, POINTING)):
            ax.grid(axis="y", visible=False)
            for y, arm in enumerate(arms):
                colour = looks[arm].colour
                _dot(ax, scored.get((arm, metric)), y, colour, colour)
                _dot(ax, scored.get((arm, metric + RANDOM)), y + 0.25, CONTROL, "white")
        ratio.axvline(1, color="black", linewidth=0.8, zorder=0)
        ratio.set_xlabel("Saliency on annotations / area")
        ratio.set_xlim(left=0)
        pointing.set_xlabel("Maximum on an annotation (share)")
        pointing.set_xlim(-0.02, 1.02)
        ratio.set_yticks(range(len(arms)), [names[arm] for arm in arms])
        ratio.set_ylim(len(arms) - 0.5, -0.5)
        handles = [
            Line2D([], [], color="black", marker="o", label="trained weights (colour: arm)"),
            Line2D([], [], color=CONTROL, marker="o", mfc="white", label="randomised weights"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _dot(ax: Axes, row: EstimateRow | None, y: float, colour: str, fill: str) -> None:
    if row is not None:
        ax.plot([row.ci_low, row.ci_high], [y, y], color=colour, linewidth=1.6)
        ax.plot(row.value, y, "o", color=colour, mfc=fill, ms=5)
