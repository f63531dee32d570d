"""The paper's Fig. 8: saliency maps of networks with and without the shortcut, and their scores."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxseg.report.plot import bare, page_style, wrapped
from jaxseg.studies.annotations.arms import told_arms
from jaxseg.studies.annotations.examples import shown_roles, shown_seed
from jaxseg.studies.annotations.figures import arm_looks
from jaxseg.studies.annotations.measures import ALL, Study
from jaxseg.studies.annotations.names import arm_names
from jaxseg.studies.annotations.saliency import (
    POINTING,
    RANDOM,
    RATIO,
    Saliency,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow, value_of

OUTLINE = "#56B4E9"
CONTROL = "#777777"


def saliency_maps(results: Results, study: Study, saliency: Saliency) -> Figure | None:
    """Columns are frames; rows the frame and the map of each arm of `shown_roles`.

    Annotations are outlined. None when no shown arm has a map.
    """
    shown = _shown_maps(results, study, saliency)
    images = saliency.arrays["example_image"]
    if not shown or not len(images):
        return None
    marked = saliency.arrays["example_annotated"]
    with page_style():
        size = 2.0 * len(images) + 1.3, 2.15 * (1 + len(shown)) + 0.4
        figure = Figure(figsize=size, layout="constrained")
        axes = np.asarray(figure.subplots(1 + len(shown), len(images), squeeze=False))
        bare(axes)
        for ax, image, name in zip(axes[0], images, saliency.example_names):
            ax.imshow(image)
            ax.set_title(name)
        for row, maps in zip(axes[1:], shown.values()):
            for k, ax in enumerate(row):
                _map(ax, images[k], marked[k], maps[k])
        for ax, title in zip(axes[:, 0], [f"{saliency.test_set} frame", *shown]):
            ax.set_ylabel(wrapped(title), rotation=0, ha="right", va="center")
        handle = Line2D([], [], color=OUTLINE, linewidth=1, label="outline of the annotations")
        figure.legend(handles=[handle], loc="outside lower center")
    return figure


def saliency_scores(results: Results, rows: Sequence[EstimateRow]) -> Figure | None:
    """Each arm's share of saliency on annotations over chance, and its pointing game.

    Filled: trained networks; open and grey: the same with randomised weights. None without scores.
    """
    arms = [a for a in told_arms(results) if any((r.arm, r.metric) == (a, RATIO) for r in rows)]
    if not arms:
        return None
    names = arm_names(results)
    with page_style():
        figure = Figure(figsize=(8.4, 0.42 * len(arms) + 1.5), layout="constrained")
        ratio, pointing = figure.subplots(1, 2, sharey=True)
        for ax, metric in ((ratio, RATIO), (pointing, POINTING)):
            _scores(ax, results, rows, arms, metric)
        ratio.axvline(1, color="black", linewidth=0.8, zorder=0)
        ratio.set_xlabel("Saliency on annotations / area")
        ratio.set_xlim(left=0)
        pointing.set_xlabel("Maximum on an annotation (share)")
        pointing.set_xlim(-0.02, 1.02)
        ratio.set_yticks(range(len(arms)), [names[arm] for arm in arms])
        ratio.set_ylim(len(arms) - 0.5, -0.5)
        _scores_legend(figure)
    return figure


def _shown_maps(results: Results, study: Study, saliency: Saliency) -> dict[str, np.ndarray]:
    """Maps float32 [e, H, W] of one seed by the arm's name, of the arms that have them."""
    seed, names = shown_seed(results, study), arm_names(results)
    maps = saliency.arrays["example_map"]
    return {
        names[arm]: maps[saliency.place[arm, seed]]
        for arm in shown_roles(study)
        if (arm, seed) in saliency.place
    }


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


def _scores(
    ax: Axes, results: Results, rows: Sequence[EstimateRow], arms: Sequence[str], metric: str
) -> None:
    looks = arm_looks(results)
    test_set = next(row.test_set for row in rows if row.metric == RATIO)
    for y, arm in enumerate(arms):
        for name, colour, down in (
            (metric, looks[arm].colour, 0),
            (metric + RANDOM, CONTROL, 0.25),
        ):
            row = value_of(rows, arm, test_set, ALL, name)
            if row is None:
                continue
            ax.plot([row.ci_low, row.ci_high], [y + down] * 2, color=colour, linewidth=1.6)
            fill = "white" if down else colour
            ax.plot(row.value, y + down, "o", color=colour, mfc=fill, ms=5)
    ax.grid(axis="y", visible=False)


def _scores_legend(figure: Figure) -> None:
    def dot(colour: str, fill: str, text: str) -> Line2D:
        return Line2D([], [], color=colour, marker="o", mfc=fill, label=text)

    handles = [
        dot("black", "black", "trained weights (colour: arm)"),
        dot(CONTROL, "white", "randomised weights"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
