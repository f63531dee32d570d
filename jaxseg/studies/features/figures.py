"""Figures of a feature audit: R² of the position probe by layer, and principal components."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure as Drawing

from jaxseg.report.plot import COLOURS, DASHES, MARKERS, bare, page_style
from jaxseg.report.section import Figure
from jaxseg.studies.features.measures import (
    AS_IS,
    ROLLED,
    TRAINED,
    CellFeatures,
    best_layer,
    find_probed,
    probed_estimate,
)

_PANELS = {ROLLED: "frames rolled at random", AS_IS: "frames as they are"}
_LOWEST = -0.3  # a probe that fails elsewhere may score far below 0
_SPREAD = 0.09  # between the four marks of one layer


def figures(cells: Sequence[CellFeatures]) -> Iterator[Figure]:
    """Both figures with their captions."""
    best = []
    for cell in cells:
        own = find_probed(cell, TRAINED, cell.padding, ROLLED)
        layer = best_layer(own)
        value = probed_estimate(own, layer).value
        best.append(f"{cell.name} on rolled frames: highest at {layer}, {value:.2f}.")
    yield Figure(
        "feature_probe",
        "How well a linear read-out of each layer predicts the distance to the border (bars: 95 % "
        "intervals; hollow: random weights)",
        "R² by layer. " + " ".join(best),
        _probe(cells),
    )
    layers = ", ".join(dict.fromkeys(cell.map.layer for cell in cells))
    yield Figure(
        "feature_map",
        f"Principal components of {layers} (each grows inwards from the border)",
        "Maps of the first components over one held-out image, and pixels of all held-out images on"
        " components 1 and 2, darker nearer to the border.",
        _components(cells),
    )


def _probe(cells: Sequence[CellFeatures]) -> Drawing:
    """R² by layer with 95 % intervals, a row a cell: its own padding and another, random weights.

    Colour stands for the padding; marks are filled for trained weights, hollow for random ones.
    """
    paddings = dict.fromkeys(p for cell in cells for p in (cell.padding, cell.other))
    colours = dict(zip(paddings, COLOURS))
    with page_style():
        figure = Drawing(figsize=(10.2, 3.1 * len(cells) + 0.4), layout="constrained")
        axes = np.asarray(figure.subplots(len(cells), 2, squeeze=False, sharey=True))
        for row, cell in zip(axes, cells):
            layers = list(cell.probed[0].by_layer)
            for ax, (frames, title) in zip(row, _PANELS.items()):
                conditions = [probed for probed in cell.probed if probed.frames == frames]
                for k, probed in enumerate(conditions):
                    found = [probed_estimate(probed, layer) for layer in layers]
                    x = np.arange(len(layers)) + _SPREAD * (k - (len(conditions) - 1) / 2)
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
                    low = np.maximum([e.low for e in found], _LOWEST)
                    ax.vlines(x, low, [e.high for e in found], color=colour, linewidth=1.4)
                ax.axhline(0, color="black", linewidth=0.7)
                turned = 90 if len("".join(layers)) > 60 else 0
                ax.set_xticks(range(len(layers)), layers, fontsize=8, rotation=turned)
                ax.set_xlabel("Layer, from image to logits")
                ax.set_title(f"{cell.name}: {title}")
            row[0].set_ylabel("R² of the distance to the\nborder, held-out images")
            row[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        axes[0, 0].set_ylim(_LOWEST, 1.03)
    return figure


def _components(cells: Sequence[CellFeatures]) -> Drawing:
    """Principal components of one layer, a row a cell: image, component 1, components 1 to 3 as
    red, green and blue, and all held-out images' pixels by their distance to the border."""
    with page_style():
        figure = Drawing(figsize=(9.4, 2.5 * len(cells) + 0.3), layout="constrained")
        widths = (1, 1, 1, 1.5)
        axes = np.asarray(figure.subplots(len(cells), 4, squeeze=False, width_ratios=widths))
        for (image, one, three, plane), cell in zip(axes, cells):
            bare(np.array([image, one, three]))
            low, high = np.percentile(cell.map.maps, [2, 98], axis=(0, 1, 2))
            scaled = np.clip((cell.map.maps[0] - low) / np.maximum(high - low, 1e-9), 0, 1)
            image.imshow(cell.map.images[0])
            image.set_ylabel(f"{cell.name}\n{cell.map.layer}", fontsize=8)
            one.imshow(scaled[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            one.set_xlabel(f"{100 * cell.map.shares[0]:.0f} % of variance", fontsize=8)
            three.imshow(scaled, interpolation="nearest")
            three.set_xlabel(f"{100 * cell.map.shares.sum():.0f} % of variance", fontsize=8)
            first, second, distance = cell.map.dots.T
            # Light in the middle of the frame, dark at the border: so it reads in grey as well.
            shades = {"c": distance, "cmap": "cividis"}
            dots = plane.scatter(first, second, s=5, linewidths=0, rasterized=True, **shades)
            figure.colorbar(dots, ax=plane).set_label("distance to the border (px)", fontsize=8)
            plane.set_xlabel("component 1", fontsize=8)
            plane.set_ylabel("component 2", fontsize=8)
        titles = ("image", "component 1", "components 1 to 3", "pixels of held-out images")
        for ax, title in zip(axes[0], titles):
            ax.set_title(title)
    return figure
