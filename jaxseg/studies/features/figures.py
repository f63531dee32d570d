"""Figures of a feature audit: R² of the position probe by layer, and principal components."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxseg.report.plot import COLOURS, DASHES, MARKERS, bare, page_style
from jaxseg.studies.features.features import (
    AS_IS,
    ROLLED,
    TRAINED,
    CellFeatures,
    probed_estimate,
)

_PANELS = {ROLLED: "frames rolled at random", AS_IS: "frames as they are"}
_LOWEST = -0.3  # a probe that fails elsewhere may score far below 0
_SPREAD = 0.09  # between the four marks of one layer


def probe_figure(cells: Sequence[CellFeatures]) -> Figure:
    """R² by layer with 95 % intervals, a row a cell: its own padding and another, random weights.

    Colour stands for the padding; marks are filled for trained weights, hollow for random ones.
    """
    with page_style():
        figure = Figure(figsize=(10.2, 3.1 * len(cells) + 0.4), layout="constrained")
        axes = np.asarray(figure.subplots(len(cells), 2, squeeze=False, sharey=True))
        paddings = dict.fromkeys(p for cell in cells for p in (cell.padding, cell.other))
        colours = dict(zip(paddings, COLOURS))
        for row, cell in zip(axes, cells):
            for ax, (frames, title) in zip(row, _PANELS.items()):
                _probe_panel(ax, cell, frames, colours)
                ax.set_title(f"{cell.name}: {title}")
            row[0].set_ylabel("R² of the distance to the\nborder, held-out images")
            row[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        axes[0, 0].set_ylim(_LOWEST, 1.03)
    return figure


def _probe_panel(ax: Axes, cell: CellFeatures, frames: str, colours: Mapping[str, str]) -> None:
    conditions = [probed for probed in cell.probed if probed.frames == frames]
    layers = list(cell.probed[0].by_layer)
    for k, probed in enumerate(conditions):
        found = [probed_estimate(probed, layer) for layer in layers]
        x = np.arange(len(layers)) + _SPREAD * (k - (len(conditions) - 1) / 2)
        low = np.maximum([e.low for e in found], _LOWEST)
        colour, trained = colours[probed.padding], probed.weights == TRAINED
        ax.plot(
            x,
            [e.value for e in found],
            color=colour,
            linestyle=DASHES[0 if trained else 1],
            marker=MARKERS[k],
            ms=4.5,
            mfc=colour if trained else "white",
            label=", ".join(filter(None, (probed.weights, probed.padding))),
            linewidth=1.2,
        )
        ax.vlines(x, low, [e.high for e in found], color=colour, linewidth=1.4)
    ax.axhline(0, color="black", linewidth=0.7)
    turned = 90 if len("".join(layers)) > 60 else 0
    ax.set_xticks(range(len(layers)), layers, fontsize=8, rotation=turned)
    ax.set_xlabel("Layer, from image to logits")


def map_figure(cells: Sequence[CellFeatures]) -> Figure:
    """Principal components of one layer, a row a cell: image, component 1, components 1 to 3 as
    red, green and blue, and all held-out images' pixels by their distance to the border."""
    with page_style():
        figure = Figure(figsize=(9.4, 2.5 * len(cells) + 0.3), layout="constrained")
        widths = (1, 1, 1, 1.5)
        axes = np.asarray(figure.subplots(len(cells), 4, squeeze=False, width_ratios=widths))
        for row, cell in zip(axes, cells):
            *pictures, dots = row
            bare(np.asarray(pictures))
            _maps(pictures, cell)
            _dots(figure, dots, cell)
        titles = ("image", "component 1", "components 1 to 3", "pixels of held-out images")
        for ax, title in zip(axes[0], titles):
            ax.set_title(title)
    return figure


def _maps(row: Sequence[Axes], cell: CellFeatures) -> None:
    low, high = np.percentile(cell.map.maps, [2, 98], axis=(0, 1, 2))
    scaled = np.clip((cell.map.maps[0] - low) / np.maximum(high - low, 1e-9), 0, 1)
    row[0].imshow(cell.map.images[0])
    row[0].set_ylabel(f"{cell.name}\n{cell.map.layer}", fontsize=8)
    row[1].imshow(scaled[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    row[2].imshow(scaled, interpolation="nearest")
    row[1].set_xlabel(f"{100 * cell.map.shares[0]:.0f} % of variance", fontsize=8)
    row[2].set_xlabel(f"{100 * cell.map.shares.sum():.0f} % of variance", fontsize=8)


def _dots(figure: Figure, ax: Axes, cell: CellFeatures) -> None:
    first, second, distance = cell.map.dots.T
    # Light in the middle of the frame, dark at the border: so it reads in grey as well.
    dots = ax.scatter(first, second, c=distance, cmap="cividis", s=5, linewidths=0, rasterized=True)
    bar = figure.colorbar(dots, ax=ax)
    bar.set_label("distance to the border (px)", fontsize=8)
    ax.set_xlabel("component 1", fontsize=8)
    ax.set_ylabel("component 2", fontsize=8)
