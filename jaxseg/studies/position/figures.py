"""The figures of a grid by position: curves over the frame (the paper's Fig. 4) and examples."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxseg.metrics.dice import dice
from jaxseg.report.plot import (
    Style,
    bare,
    curve,
    draw_errors,
    errors_legend,
    legend_below,
    page_style,
    total_counts,
    wrapped,
)
from jaxseg.studies.grid_sections import (
    Look,
    grid_of_panels,
    label_rows,
    settings_apart,
    share_limits,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow

MAX_ARMS = 8


def band_dice(results: Results, rows: Sequence[EstimateRow], look: Look) -> Figure:
    """Dice by distance from the centre, and recall by distance to the border (the paper's Fig. 4).

    Columns are test sets; when there are more arms than one panel can hold, panels are the values
    of the axes not told by colour, on the probe test set alone.
    """
    panels = look.panels
    test_sets = results.test_sets if len(panels) == 1 else [results.probe]
    columns = [(test_set, *panel) for panel in panels for test_set in test_sets]
    with page_style():
        figure, blocks = grid_of_panels(2, len(columns))
        for axes, (layout, metric) in zip(blocks, (("centre", "dice"), ("border", "recall"))):
            for ax, (test_set, title, arms) in zip(axes, columns):
                styles = {arm: look.styles[arm] for arm in arms}
                _curves_by_band(ax, results, rows, test_set, layout, metric, styles)
                ax.set_title(title or f"{test_set} test set")
            label_rows(axes, f"{'Dice' if metric == 'dice' else 'Recall'} in the ring")
            share_limits(axes)
        legend_below(figure, look.legend, look.title)
    return figure


def _curves_by_band(
    ax: Axes,
    results: Results,
    rows: Sequence[EstimateRow],
    test_set: str,
    layout: str,
    metric: str,
    styles: Mapping[str, Style],
) -> None:
    for arm, style in styles.items():
        picked = [
            row
            for row in rows
            if (row.arm, row.test_set, row.metric) == (arm, test_set, metric)
            and row.band.startswith(f"{layout}:")
        ]
        spans = [row.band.split(":")[1] for row in picked]
        # A border ring is drawn at its middle, a square ring at its outer half-width, as published.
        x = [float(np.mean([float(v) for v in span.split("-")])) for span in spans]
        low, high = [r.ci_low for r in picked], [r.ci_high for r in picked]
        curve(ax, x, [row.value for row in picked], low, high, style)
    size = results.scoring.size
    names = {"centre": "Half-width of the ring", "border": "Distance to the border"}
    ax.set_xlabel(f"{names[layout]} (px of {size})")
    # The border stands at the right in both layouts, so that one column reads as one picture.
    ax.set_xlim((0, size / 2 + 0.5) if layout == "centre" else (size / 2 + 0.5, 0))
    # Values are shares; an interval may pass 1 by its Student part.
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.02), min(high, 1.02))


def shown_arms(results: Results) -> list[str]:
    """Arms of the figure: all when they fit, else the first and those one axis away from it."""
    if len(results.arms) <= MAX_ARMS:
        return results.arms
    return settings_apart(results, at_most=1)[:MAX_ARMS]


def shown_seed(results: Results, arm: str) -> int:
    """The lowest seed that all shown arms have done; the arm's own lowest when there is none."""
    shared = results.common_seeds(shown_arms(results))
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
        if (prediction := results.example_prediction(arm, shown_seed(results, arm))) is not None
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
