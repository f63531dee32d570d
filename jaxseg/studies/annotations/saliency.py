"""Saliency maps of a study of annotations: do they dwell on the annotations?

Reads saliency.npz (see `grid_saliency`), scores its maps, and draws them and their scores.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.metrics.statistics import item_mean
from jaxseg.report.plot import bare, page_style, wrapped
from jaxseg.studies.annotations.arms import arm_names, shown_arms
from jaxseg.studies.annotations.figures import arm_looks, shown_roles, shown_seed
from jaxseg.studies.annotations.measures import ALL, Study, defined_mean
from jaxseg.studies.estimates import Scored, row_of
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow
from jaxseg.studies.workdir_files import SALIENCY, SALIENCY_TOO, read_forms

RATIO, POINTING = "saliency_ratio", "saliency_pointing"
RANDOM = "_random"
OUTLINE = "#56B4E9"
CONTROL = "#777777"


class Saliency(NamedTuple):
    """saliency.npz, its cells by arm and seed.

    `arrays` are those of the file, unchanged: share and hit [cells, frames, classes], area
    [frames], example_image uint8 [e, H, W, 3], example_annotated bool [e, H, W] and example_map
    float32 [cells, e, H, W] in [0, 1] among them; example_class int [e] (whose map it is) and
    example_rule where the file has them. `place` maps (arm, seed) to an index of cells.
    """

    layer: str
    test_set: str
    place: dict[tuple[str, int], int]
    arrays: dict[str, Any]

    @property
    def example_names(self) -> list[str]:
        """The structure of every example's map; empty text where the file does not say."""
        images = self.arrays["example_image"]
        places = self.arrays.get("example_class", np.zeros(len(images), int))
        names = [printable(str(name)) for name in self.arrays["classes"]]
        return [names[k - 1] if 0 < k <= len(names) else "" for k in places]

    def cells(self, arm: str) -> list[int]:
        """Places of the arm's cells, by seed."""
        return [k for (name, _), k in sorted(self.place.items()) if name == arm]


def read_saliency(results: Results) -> Saliency | None:
    """The file of the workdir; None where there is none.

    Cells that are no longer done take no part. Raises JaxsegError for a file that lacks an array or
    holds none of the workdir's cells.
    """
    path = results.workdir / "saliency.npz" if results.workdir else None
    if path is None or not path.is_file():
        return None
    arrays = read_forms(path, SALIENCY, SALIENCY_TOO)
    done = {cell.name: (cell.arm, cell.seed) for cell in results.cells if cell.status == "done"}
    place = {done[str(n)]: k for k, n in enumerate(arrays["cells"]) if str(n) in done}
    if not place:
        raise JaxsegError(
            f"{path}: holds none of the finished cells of cells.csv; delete it and make it again"
        )
    layer, test_set = (printable(str(arrays[name])) for name in ("layer", "test_set"))
    return Saliency(layer, test_set, place, arrays)


def saliency_rows(results: Results, saliency: Saliency | None) -> list[EstimateRow]:
    """Rows of summary.csv, arm by arm in grid order, and the same of randomised weights.

    `saliency_ratio`: mean share of the saliency that lies on annotation pixels over these pixels'
    mean share of the frame; 1 is chance. `saliency_pointing`: how often the map's maximum lies on
    an annotation (the pointing game). Classes of a frame are averaged first, then frames; a class
    without a map has no part. `…_random`: networks of the same form with randomised weights.
    """
    if saliency is None:
        return []
    return [row for arm in results.arms for row in _arm_rows(results, saliency, arm)]


def _arm_rows(results: Results, saliency: Saliency, arm: str) -> Iterator[EstimateRow]:
    cells, arrays = saliency.cells(arm), saliency.arrays
    if not cells:
        return
    frame, resamples = arrays["frame"], results.scoring.resamples
    for prefix, suffix in (("", ""), ("random_", RANDOM)):
        share = defined_mean(arrays[f"{prefix}share"][cells].astype(float))
        # Share and area [cells, frames, 2], both of the frames that have a map.
        parts = np.stack([share, np.where(np.isnan(share), np.nan, arrays["area"])], axis=-1)
        found = Scored(arm, saliency.test_set, parts, resamples)
        yield row_of(found, ALL, RATIO + suffix, _ratio_of_means, frame, within=(0.0, math.inf))
        hit = arrays[f"{prefix}hit"][cells].astype(float)
        found = found._replace(parts=defined_mean(np.where(hit < 0, np.nan, hit)))
        yield row_of(found, ALL, POINTING + suffix, item_mean, frame)


def _ratio_of_means(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # A ratio for each frame would be ruled by frames with hardly an annotation in them.
    area = item_mean(parts[..., 1], weights)
    area = np.where(area > 0, area, np.nan)
    return item_mean(parts[..., 0], weights) / area


def saliency_maps(results: Results, study: Study, saliency: Saliency) -> Figure | None:
    """Columns are frames; rows the frame and the map of each arm of `shown_roles` (Fig. 8).

    Annotations are outlined. None when no shown arm has a map.
    """
    seed, names = shown_seed(results, study), arm_names(results)
    shown = {
        names[arm]: saliency.arrays["example_map"][saliency.place[arm, seed]]
        for arm in shown_roles(study)
        if (arm, seed) in saliency.place
    }
    images, marked = saliency.arrays["example_image"], saliency.arrays["example_annotated"]
    if not shown or not len(images):
        return None
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
