"""Predictions of a grid's cells on one of its test sets, to be audited as any other model's."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.audit.cell_frames import data_here
from jaxseg.data.masks import not_judged_as_background
from jaxseg.data.progress import Progress, track
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.config import Config
from jaxseg.grid.loading import load_cell
from jaxseg.grid.prepared import prepared_views, views_of_tests

_BATCH = 32
_DATA = ("name", "test_split", "size", "planes")  # what the frames of a test set depend on
Predict = Callable[[Any], NDArray[np.uint8]]


class CellPredictions(NamedTuple):
    """Items of a test set: images uint8 [n, s, s, 3], masks and each cell's masks uint8 [n, s, s].

    Where a test set holds several pieces of each frame, one of them in turn: items are independent.
    Pixels that are not judged are background in all masks; `taken` says how masks were read.
    """

    ids: list[str]
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    predicted: list[NDArray[np.uint8]]
    taken: str


def predict_cells(
    workdir: str | os.PathLike[str],
    cells: Sequence[str],
    test_set: str | None = None,
    progress: Progress = track,
    *,
    manual_dir: str | None = None,
) -> CellPredictions:
    """What finished cells of one grid predict on `test_set`, by default the first of theirs.

    `manual_dir` is as for `data_here`. Raises UsageError for an unknown or repeated cell, a test
    set that the grid does not have and cells with other test frames; what `load_cell`, `data_here`
    and `prepare_views` raise.
    """
    if len(set(cells)) < len(cells):
        raise UsageError(f"--cell {', '.join(cells)}: name each cell once")
    loaded = [load_cell(workdir, cell) for cell in cells]
    first = data_here(loaded[0][1], manual_dir)
    for cell, (_, config) in zip(cells, loaded):
        _check_frames(cells[0], first, cell, config)
    ids, images, masks, taken = _items(first, test_set or first.eval.test_sets[0], progress)
    starts = range(0, len(ids), _BATCH)
    batches = progress(starts, len(starts), "predicting")
    parts = [[_predict(model, images, start) for model, _ in loaded] for start in batches]
    predicted = [np.concatenate(each) for each in zip(*parts)]
    masks, *predicted = not_judged_as_background(masks, *predicted)
    return CellPredictions(ids, images, masks, predicted, taken)


def _check_frames(cell_a: str, a: Config, cell_b: str, b: Config) -> None:
    for field in _DATA:
        of_a, of_b = getattr(a.data, field), getattr(b.data, field)
        if of_a != of_b:
            raise UsageError(
                f"--cell {cell_b}: data.{field} is {of_b!r} but {of_a!r} for {cell_a}; cells are "
                "compared on the same frames"
            )


def _items(
    config: Config, test_set: str, progress: Progress
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.uint8], str]:
    views = views_of_tests(config)
    check_choice("--test_set", test_set, views)
    view, data = views[test_set], config.data
    store = prepared_views(data, data.test_split, [view], progress=progress)[view]
    frames, pieces = store.masks.shape[:2]
    piece = np.arange(frames) % pieces
    ids = [f"{name} ({k + 1})" if pieces > 1 else name for name, k in zip(store.ids, piece)]
    rows = np.arange(frames)
    return ids, store.images[rows, piece], store.masks[rows, piece], store.taken


def _predict(model: Predict, images: NDArray[np.uint8], start: int) -> NDArray[np.uint8]:
    """The last batch is filled up, so that one program serves all."""
    rows = np.arange(start, start + _BATCH)
    return model(images[np.minimum(rows, len(images) - 1)])[rows < len(images)]
