"""Figures of the audit of data sets: maps of centres and occupancy (the paper's Fig. 6), areas."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from jaxseg.metrics.bands import border_rings
from jaxseg.report.plot import page_style, style
from jaxseg.report.section import Figure
from jaxseg.report.text import number, percent
from jaxseg.studies.dataset.measures import RING, Dataset
from jaxseg.studies.fixed_mask import GRID

MAX_COLUMNS = 4
FRAME = (0.0, 1.0, 1.0, 0.0)
# Black on white: seen on light and dark ground, in grey too.
LINES = (("white", 3.2), ("black", 1.4))


def figures(datasets: Sequence[Dataset]) -> list[Figure]:
    """The two figures of data sets side by side, with their captions."""
    names = ", ".join(d.name for d in datasets)
    seen = []
    for d in datasets:
        x, y = d.centre.mean(axis=0)
        seen.append(
            f"{d.name}: mask centres lie at ({number(x, 2)}, {number(y, 2)}) on average, at most "
            f"{percent(d.prior.occupancy.max())} of the masks cover one place."
        )
    return [
        Figure(
            "dataset_maps",
            "Centres of objects, relative to centres spread evenly over the frame, with a cross "
            "where they gather; and share of masks that cover each place, with the "
            "outline of the best fixed mask. Dashed: the outer 10 % ring",
            f"Maps of object centres and of occupancy in {names}. {' '.join(seen)}",
            maps(datasets),
        ),
        Figure(
            "dataset_areas",
            "Left: share of masks up to an area. Right: share of masks that cover a place, by its "
            "distance to the border",
            f"Line plots of mask area and of occupancy by distance to the border in {names}",
            areas(datasets),
        ),
    ]


def maps(datasets: Sequence[Dataset]) -> Drawing:
    """Density of object centres and, below, occupancy; side by side for one data set alone.

    Columns are data sets, folded into blocks of two rows; each row has one scale.
    """
    n = len(datasets)
    columns = min(n, MAX_COLUMNS)
    blocks = -(-n // columns)
    # Centres a cell over what there would be, were they spread evenly over the frame.
    densities = [d.heat / max(d.heat.mean(), 1e-12) for d in datasets]
    top = max(float(density.max()) for density in densities)
    high = max(float(d.prior.occupancy.max()) for d in datasets)
    with page_style(**{"axes.grid": False}):
        size = (7.2, 2.9) if n == 1 else (2.7 * columns + 0.9, 5.6 * blocks)
        figure = Drawing(figsize=size, layout="constrained")
        if n == 1:
            axes = np.asarray(figure.subplots(1, 2)).reshape(2, 1)
        else:
            axes = np.asarray(figure.subplots(2 * blocks, columns))
            for ax in axes[-2:, n - columns * (blocks - 1) :].flat:
                ax.set_visible(False)
        for k, (d, density) in enumerate(zip(datasets, densities)):
            block, column = divmod(k, columns)
            upper, lower = axes[2 * block, column], axes[2 * block + 1, column]
            _map(upper, density, top, d.name)
            _map(lower, d.prior.occupancy, high, d.name if n == 1 else "")
            gathering = d.placement.gathering
            at = (np.arange(-1, GRID + 1) + 0.5) / GRID
            for colour, width in LINES:
                if gathering and gathering.kind in ("central", "place", "places"):
                    x, y = zip(*(place.centre for place in gathering.places))
                    upper.plot(x, y, "+", color=colour, markersize=11, markeredgewidth=width)
                inside = np.pad(d.prior.fixed, 1).astype(float)
                lower.contour(at, at, inside, levels=[0.5], colors=colour, linewidths=width)
        names = ("Centres (1 = spread evenly)", "Share of masks")
        for row, line in enumerate(axes):
            bar = figure.colorbar(line[0].images[0], ax=list(line), shrink=0.8, pad=0.02)
            bar.set_label(names[row % 2])
    return figure


def _map(ax: Axes, values: NDArray[np.float64], top: float, title: str) -> None:
    # By the square root: beside a data set with all objects in one place the others stay visible.
    norm = PowerNorm(0.5, vmin=0, vmax=top)
    # Light to dark without a change of hue in the middle: the same order in grey and in print.
    ax.imshow(values, cmap="Blues", norm=norm, extent=FRAME, interpolation="nearest")
    side = 1 - 2 * RING
    ring = Rectangle((RING, RING), side, side, fill=False, ec="#444444", ls=(0, (4, 3)), lw=0.8)
    ax.add_patch(ring)
    ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    ax.set(xlabel="x (share of the width)", ylabel="y (share of the height)")
    ax.set_title(textwrap.fill(title, 32))


def areas(datasets: Sequence[Dataset]) -> Drawing:
    """Cumulative distribution of the area, and mean occupancy by distance to the border."""
    depth = border_rings(GRID, 1).ravel()
    with page_style():
        figure = Drawing(figsize=(8.4, 3.0), layout="constrained")
        left, right = np.asarray(figure.subplots(1, 2))
        for k, d in enumerate(datasets):
            colour, dash, _ = style(k)
            up_to = np.arange(1, len(d.area) + 1) / len(d.area)
            left.plot(np.sort(d.area), up_to, color=colour, linestyle=dash)
            mean = np.bincount(depth, d.prior.occupancy.ravel()) / np.bincount(depth)
            middles = (np.arange(len(mean)) + 0.5) / GRID
            right.plot(middles, mean, color=colour, linestyle=dash, label=d.name)
        left.set(xlabel="Mask area (share of the frame)", ylabel="Share of masks up to that area")
        left.set(xlim=(0, None), ylim=(0, 1.02))
        left.xaxis.set_major_locator(MaxNLocator(5))
        right.axvspan(0, RING, color="#dddddd", linewidth=0, zorder=0)
        right.set(xlabel="Distance to the border (share of the frame's side)", xlim=(0, 0.5))
        right.set(ylabel="Share of masks covering a place", ylim=(0, None))
        figure.legend(loc="outside lower center", ncols=min(len(datasets), 4), handlelength=3.4)
    return figure
