"""The figures of a grid by position: curves over the frame (the paper's Fig. 4) and examples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import (
    Style,
    curve,
    errors_legend,
    legend_below,
    page_style,
    total_counts,
)
from jaxseg.studies.grid_sections import (
    Look,
    draw_scored,
    grid_of_panels,
    keep_to_shares,
    name_and_align,
    near_first,
    picture_axes,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow

MAX_ARMS = 8


def band_dice(results: Results, rows: Sequence[EstimateRow], look: Look) -> Figure:
    """Dice by distance from the centre, and recall by distance to the border (the paper's Fig. 4).

    Columns are test sets; when there are more arms than one panel can hold, panels are the values
    of the axes that colour does not show, on the probe test set alone.
    """
    panels, size = look.panels, results.scoring.size
    test_sets = results.test_sets if len(panels) == 1 else [results.probe]
    columns = [(test_set, *panel) for panel in panels for test_set in test_sets]
    # The border is at the right in both layouts, so that one column reads as one picture.
    layouts = (
        ("centre", "dice", "Dice", "Half-width of the ring", (0, size / 2 + 0.5)),
        ("border", "recall", "Recall", "Distance to the border", (size / 2 + 0.5, 0)),
    )
    with page_style():
        figure, blocks = grid_of_panels(2, len(columns))
        for axes, (layout, metric, name, distance, limits) in zip(blocks, layouts):
            of_layout = [
                row for row in rows if row.metric == metric and row.band.startswith(f"{layout}:")
            ]
            for ax, (test_set, title, arms) in zip(axes, columns):
                for arm in arms:
                    _curve(ax, of_layout, arm, test_set, look.styles[arm])
                ax.set(title=title or f"{test_set} test set", xlim=limits)
                ax.set_xlabel(f"{distance} (px of {size})")
                keep_to_shares(ax)
            name_and_align(axes, f"{name} in the ring")
        legend_below(figure, look.legend, look.title)
    return figure


def _curve(ax: Axes, rows: Sequence[EstimateRow], arm: str, test_set: str, style: Style) -> None:
    picked = [row for row in rows if (row.arm, row.test_set) == (arm, test_set)]
    spans = [row.band.split(":")[1].split("-") for row in picked]
    # A border ring is drawn at its middle, a square ring at its outer half-width, as published.
    x = [float(np.mean([float(edge) for edge in span])) for span in spans]
    low, high = [row.ci_low for row in picked], [row.ci_high for row in picked]
    curve(ax, x, [row.value for row in picked], low, high, style)


def shown_arms(results: Results) -> list[str]:
    """Arms of the figure: all when they fit, else the first and those one axis away from it."""
    if len(results.arms) <= MAX_ARMS:
        return results.arms
    return near_first(results)[:MAX_ARMS]


def examples(results: Results) -> Figure | None:
    """Rows are examples; columns the image, the truth and each arm's prediction with its Dice.

    Pixels an arm missed and pixels it added are filled, the truth is outlined. None when the
    workdir holds no examples.
    """
    if results.examples is None:
        return None
    arms = shown_arms(results)
    predictions = {}
    for arm in arms:
        # An arm without the common seed shows its own.
        seed = (results.common_seeds(arms) or results.seeds[arm])[0]
        found = results.example_prediction(arm, seed)
        if found is not None:
            predictions[arm] = found
    shown, columns = results.examples, 2 + len(predictions)
    with page_style():
        size = 1.5 * columns + 1.1, 1.72 * len(shown.truth) + 0.5
        figure, axes = picture_axes(shown.label, columns, size)
        for k, row in enumerate(axes):
            image, truth = shown.image[k], shown.truth[k]
            row[0].imshow(image)
            row[1].imshow(truth > 0, cmap="gray", vmin=0, vmax=1)
            for ax, predicted in zip(row[2:], predictions.values()):
                score = float(dice(total_counts(truth, predicted[k])))
                draw_scored(ax, image, truth, predicted[k], score)
        for ax, title in zip(axes[0], ["image", "truth", *predictions]):
            ax.set_title(title.replace("/", "\n"), fontsize=8)
        figure.legend(handles=errors_legend(), loc="outside lower center", ncols=3)
    return figure
