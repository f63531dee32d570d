"""What all figures share: their look, their files, legends, and pictures with errors marked.

Figures are matplotlib's `Figure` objects on the Agg canvas; no pyplot state is touched.
"""

import contextlib
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.colors
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

DPI = 150
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollars
    "svg.hashsalt": "jaxseg",
}
# Okabe & Ito (2008), distinguishable under the common colour vision deficiencies; the pale
# yellow comes last because it is hard to see on white.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#F0E442",
)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (10, 3)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MISSED, ADDED = COLOURS[1], COLOURS[0]


class Style(NamedTuple):
    """`colour` as #rrggbb; `dash` and `marker` as matplotlib takes them."""

    colour: str
    dash: Any = "-"
    marker: str = "o"


def style(k: int) -> Style:
    """The k-th of the styles, in colour, dash and marker apart from its neighbours."""
    return Style(COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)], MARKERS[k % len(MARKERS)])


def page_style(**changes: Any) -> contextlib.AbstractContextManager[None]:
    """Context manager: figures get LOOK with `changes`, and ignore the user's matplotlibrc."""
    return matplotlib.style.context(["default", {**LOOK, **changes}])


def rendered(figure: Figure, form: str) -> bytes:
    """The figure as the bytes of a `png` (150 dpi) or `svg` file, the same for equal figures."""
    buffer = io.BytesIO()
    stamps = {"Date": None} if form == "svg" else {"Software": None}
    with page_style():
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=form, dpi=DPI, metadata=stamps)
    figure.set_layout_engine("none")  # its second form is laid out as the first
    return buffer.getvalue()


def curve(
    ax: Axes,
    x: Sequence[float],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    look: Style,
    **line: Any,
) -> None:
    """A line with its 95 % interval shaded."""
    ax.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
    settings: dict[str, Any] = {"linestyle": look.dash, "marker": look.marker, "ms": 3} | line
    ax.plot(x, values, color=look.colour, **settings)


def legend_below(
    figure: Figure, styles: Mapping[str, Style], title: str | None = None, more: Sequence[Any] = ()
) -> None:
    """One entry for each name, then `more` handles, in as many columns as the width holds."""
    handles: list[Any] = [
        Line2D([], [], color=s.colour, linestyle=s.dash, marker=s.marker, ms=4, label=name)
        for name, s in styles.items()
    ]
    handles += more
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, int(figure.get_figwidth() / (0.9 + 0.075 * longest)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        title=title,
        handlelength=3.4,
    )


def bare(axes: np.ndarray) -> None:
    """Axes that hold pictures: a thin frame, no ticks."""
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set(visible=True, color="#999999", linewidth=0.5)


def draw_errors(ax: Axes, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> None:
    """The image in grey with the truth outlined, and missed and added pixels in colour.

    image uint8 [H, W, 3]; truth and prediction [H, W], class indices. An error is a wrong class,
    also between two foreground classes.
    """
    grey = image.astype(float).mean(axis=-1, keepdims=True) / 255
    canvas = 0.35 + 0.65 * np.repeat(grey, 3, axis=-1)
    wrong = truth != prediction
    for mask, colour in ((wrong & (truth > 0), MISSED), (wrong & (truth == 0), ADDED)):
        canvas[mask] = 0.2 * canvas[mask] + 0.8 * np.array(matplotlib.colors.to_rgb(colour))
    ax.imshow(canvas)
    if (truth > 0).any() and (truth == 0).any():
        ax.contour(truth > 0, levels=[0.5], colors="black", linewidths=0.9)


def errors_legend() -> list[Any]:
    """The legend of `draw_errors`."""
    return [
        Line2D([], [], color="black", linewidth=1, label="outline of the truth"),
        Patch(color=MISSED, label="missed"),
        Patch(color=ADDED, label="added"),
    ]


def total_counts(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(tp, fp, fn) of one picture, all classes together, from class indices [H, W]."""
    hit = ((truth == prediction) & (truth > 0)).sum()
    return np.array([hit, (prediction > 0).sum() - hit, (truth > 0).sum() - hit])


def wrapped(text: str, width: int = 16) -> str:
    """Lines of at most `width` characters, broken at spaces, so that a label stays in its place."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
