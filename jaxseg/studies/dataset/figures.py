"""Figures of the audit of data sets: maps of centres and occupancy (the paper's Fig. 6), areas."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from jaxseg.metrics.bands import border_rings
from jaxseg.report.plot import page_style, style
from jaxseg.studies.dataset.mask_numbers import RING
from jaxseg.studies.dataset.measures import Dataset
from jaxseg.studies.dataset.placement import Gathering
from jaxseg.studies.fixed_mask import GRID

MAX_COLUMNS = 4
# Light to dark without a change of hue in the middle: the same order in grey and in print.
SHADES = "Blues"
FRAME = (0.0, 1.0, 1.0, 0.0)


def maps(datasets: Sequence[Dataset]) -> Figure:
    """Density of object centres and, below, occupancy; side by side for one data set alone.

    Columns are data sets, folded into blocks of two rows; each row has one scale.
    """
    top = max(float(_density(d).max()) for d in datasets)
    high = max(float(d.prior.occupancy.max()) for d in datasets)
    with page_style(**{"axes.grid": False}):
        figure, axes = _blocks(len(datasets))
        for k, d in enumerate(datasets):
            block, column = divmod(k, axes.shape[1])
            upper, lower = axes[2 * block : 2 * block + 2, column]
            _map(upper, _density(d), top, d.name)
            _crosses(upper, d.placement.gathering)
            _map(lower, d.prior.occupancy, high, d.name if len(datasets) == 1 else None)
            _outline(lower, d.prior.fixed)
        names = ("Centres (1 = spread evenly)", "Share of masks")
        for row, line in enumerate(axes):
            bar = figure.colorbar(line[0].images[0], ax=list(line), shrink=0.8, pad=0.02)
            bar.set_label(names[row % 2])
    return figure


def _blocks(n: int) -> tuple[Figure, NDArray]:
    """Axes [2 rows a block, columns] for n data sets; those of no data set are not shown."""
    columns = min(n, MAX_COLUMNS)
    blocks = -(-n // columns)
    if n == 1:
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        return figure, np.asarray(figure.subplots(1, 2)).reshape(2, 1)
    figure = Figure(figsize=(2.7 * columns + 0.9, 5.6 * blocks), layout="constrained")
    axes = np.asarray(figure.subplots(2 * blocks, columns))
    for ax in axes[-2:, n - columns * (blocks - 1) :].flat:
        ax.set_visible(False)
    return figure, axes


def areas(datasets: Sequence[Dataset]) -> Figure:
    """Cumulative distribution of the area, and mean occupancy by distance to the border."""
    with page_style():
        figure = Figure(figsize=(8.4, 3.0), layout="constrained")
        left, right = np.asarray(figure.subplots(1, 2))
        for k, d in enumerate(datasets):
            look: dict[str, Any] = {"color": style(k).colour, "linestyle": style(k).dash}
            left.plot(np.sort(d.area), np.arange(1, len(d.area) + 1) / len(d.area), **look)
            depth = border_rings(GRID, 1).ravel()
            mean = np.bincount(depth, d.prior.occupancy.ravel()) / np.bincount(depth)
            right.plot((np.arange(len(mean)) + 0.5) / GRID, mean, **look, label=d.name)
        left.set(xlabel="Mask area (share of the frame)", ylabel="Share of masks up to that area")
        left.set(xlim=(0, None), ylim=(0, 1.02))
        left.xaxis.set_major_locator(MaxNLocator(5))
        right.axvspan(0, RING, color="#dddddd", linewidth=0, zorder=0)
        right.set(xlabel="Distance to the border (share of the frame's side)", xlim=(0, 0.5))
        right.set(ylabel="Share of masks covering a place", ylim=(0, None))
        figure.legend(loc="outside lower center", ncols=min(len(datasets), 4), handlelength=3.4)
    return figure


def _density(d: Dataset) -> NDArray[np.float64]:
    """Centres a cell over what there would be, were they spread evenly over the frame."""
    return d.heat / max(d.heat.mean(), 1e-12)


def _map(ax: Axes, values: NDArray[np.float64], top: float, title: str | None) -> None:
    # By the square root: beside a data set with all objects in one place the others stay visible.
    norm = PowerNorm(0.5, vmin=0, vmax=top)
    ax.imshow(values, cmap=SHADES, norm=norm, extent=FRAME, interpolation="nearest")
    side = 1 - 2 * RING
    ring = Rectangle((RING, RING), side, side, fill=False, ec="#444444", ls=(0, (4, 3)), lw=0.8)
    ax.add_patch(ring)
    ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    ax.set(xlabel="x (share of the width)", ylabel="y (share of the height)")
    if title:
        ax.set_title(textwrap.fill(title, 32))


def _crosses(ax: Axes, gathering: Gathering | None) -> None:
    """A cross at each place where objects gather."""
    if gathering is None or gathering.kind not in ("central", "place", "places"):
        return
    x, y = zip(*(place.centre for place in gathering.places))
    for colour, width in (("white", 3.2), ("black", 1.4)):
        ax.plot(x, y, "+", color=colour, markersize=11, markeredgewidth=width)


def _outline(ax: Axes, fixed: NDArray[np.bool_]) -> None:
    at = (np.arange(-1, GRID + 1) + 0.5) / GRID
    # Black on white: to be seen on light and dark ground, in grey too.
    for colour, width in (("white", 3.2), ("black", 1.4)):
        inside = np.pad(fixed, 1).astype(float)
        ax.contour(at, at, inside, levels=[0.5], colors=colour, linewidths=width)
