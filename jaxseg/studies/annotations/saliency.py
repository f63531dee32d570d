"""Saliency maps of a study of annotations: do they dwell on the annotations?

Reads saliency.npz (see `grid_saliency`), scores its maps, and draws them and their scores.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError, printable
from jaxseg.metrics.statistics import item_mean
from jaxseg.studies.annotations.measures import ALL, defined_mean
from jaxseg.studies.estimates import Scored, row_of
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow
from jaxseg.studies.workdir_files import SALIENCY, SALIENCY_TOO, read_forms

RATIO, POINTING = "saliency_ratio", "saliency_pointing"
RANDOM = "_random"


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
