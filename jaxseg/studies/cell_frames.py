"""The frames that a cell of a grid is audited with, and what cells predict on them."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.masks import not_judged_as_background
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.config import Config
from jaxseg.grid.loading import load_cell
from jaxseg.grid.prepared import prepared_views, views_of_tests
from jaxseg.homes import expand
from jaxseg.progress import Progress, track
from jaxseg.studies.folders import Predicted

_BATCH = 32
_DATA = ("name", "test_split", "size", "planes")  # what the frames of a test set depend on


class Frames(NamedTuple):
    """Frames: images uint8 [n, s, s, 3], masks uint8 [n, s, s] with 0 where nothing is judged.

    `taken` says how masks were read.
    """

    ids: Sequence[str]
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    taken: str = ""


def data_here(config: Config, manual_dir: str | None = None) -> Config:
    """The config of a cell for reading its data set on this machine.

    `manual_dir` is where its images lie now, by default where they lay in training. A workdir may
    be somebody else's: what it says of where to write is not followed, so prepared images go to
    $JAXSEG_CACHE or ~/.cache/jaxseg. Raises UsageError where the images of training are not here.
    """
    place = config.data.manual_dir if manual_dir is None else manual_dir
    if place and manual_dir is None and not expand(place).is_dir():
        raise UsageError(
            f"data.manual_dir={place!r}: the grid was trained on images that are not there now; "
            "say where they are with --manual_dir=DIR"
        )
    return replace(config, data=replace(config.data, manual_dir=place, data_dir=""))


def cell_frames(config: Config, side: int, limit: int, progress: Progress = track) -> Frames:
    """At most `limit` frames of the cell's test split, evenly spread over it, at `side` pixels.

    Raises UsageError for a limit below 1 and what `prepare_views` raises.
    """
    if limit < 1:
        raise UsageError(f"limit={limit}: must be at least 1 image")
    data = config.data
    store = prepared_views(data, data.test_split, ["full"], size=side, progress=progress)["full"]
    n = len(store.ids)
    picks = np.unique(np.linspace(0, n - 1, min(limit, n)).round().astype(int))
    ids = [store.ids[i] for i in picks]
    masks = not_judged_as_background(store.masks[picks, 0])[0]
    return Frames(ids, store.images[picks, 0], masks, store.taken)


def frames_at(
    config: Config, limit: int, progress: Progress = track
) -> Callable[[int], Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]]:
    """The function that gives (id, image, mask) one by one for a side in pixels.

    `progress` shows how far each pass is. Errors are those of `cell_frames`, at the first frame.
    """

    def at(side: int) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        frames = cell_frames(config, side, limit, progress)
        each = zip(frames.ids, frames.images, frames.masks)
        return progress(each, len(frames.ids), f"frames of {side} px")

    return at


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

    def show(name: str) -> tuple[Any, list[Any], Any]:
        k = ids.index(name)
        return masks[k], [of_cell[k] for of_cell in by_cell], images[k]

    items = list(zip(ids, masks, *by_cell))
    return Predicted(list(cells), items, show, [store.taken], [], [])
