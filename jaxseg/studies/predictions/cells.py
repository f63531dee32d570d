"""Predictions of a grid's cells on one of its test sets, to be audited as any other model's."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.data.masks import not_judged_as_background
from jaxseg.data.progress import Progress, track
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.loading import load_cell
from jaxseg.grid.prepared import prepared_views, views_of_tests
from jaxseg.studies.cell_frames import data_here
from jaxseg.studies.folders import Predicted

_BATCH = 32
_DATA = ("name", "test_split", "size", "planes")  # what the frames of a test set depend on


def predict_cells(
    workdir: str | os.PathLike[str],
    cells: Sequence[str],
    test_set: str | None = None,
    progress: Progress = track,
    *,
    manual_dir: str | None = None,
) -> Predicted:
    """What finished cells of one grid predict on `test_set`, by default the first of theirs.

    Where a test set holds several pieces of each frame, one of them in turn: items are independent.
    Pixels that are not judged are background in all masks.

    `manual_dir` is as for `data_here`. Raises UsageError for an unknown or repeated cell, a test
    set that the grid does not have and cells with other test frames; what `load_cell`, `data_here`
    and `prepare_views` raise.
    """
    if len(set(cells)) < len(cells):
        raise UsageError(f"--cell {', '.join(cells)}: name each cell once")
    loaded = [load_cell(workdir, cell) for cell in cells]
    first = data_here(loaded[0][1], manual_dir)
    for cell, (_, config) in zip(cells, loaded):
        for field in _DATA:
            own, other = getattr(config.data, field), getattr(first.data, field)
            if own != other:
                raise UsageError(
                    f"--cell {cell}: data.{field} is {own!r} but {other!r} for {cells[0]}; cells "
                    "are compared on the same frames"
                )
    views = views_of_tests(first)
    view = views[check_choice("--test_set", test_set or first.eval.test_sets[0], views)]
    store = prepared_views(first.data, first.data.test_split, [view], progress=progress)[view]
    frames, pieces = store.masks.shape[:2]
    rows = np.arange(frames)
    piece = rows % pieces
    ids = [f"{name} ({k + 1})" if pieces > 1 else name for name, k in zip(store.ids, piece)]
    images = store.images[rows, piece]

    predicted = []
    starts = range(0, frames, _BATCH)
    for start in progress(starts, len(starts), "predicting"):
        # The last batch is filled up, so that one program serves all.
        batch = images[np.minimum(np.arange(start, start + _BATCH), frames - 1)]
        predicted.append([model(batch)[: frames - start] for model, _ in loaded])
    masks, *by_cell = not_judged_as_background(
        store.masks[rows, piece], *map(np.concatenate, zip(*predicted))
    )
    place = {name: k for k, name in enumerate(ids)}

    def show(name: str) -> tuple[Any, list[Any], Any]:
        k = place[name]
        return masks[k], [of_cell[k] for of_cell in by_cell], images[k]

    items = list(zip(ids, masks, *by_cell))
    return Predicted(list(cells), items, show, [store.taken], [], [])
