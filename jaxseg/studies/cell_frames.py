"""The frames that a cell is audited with: test images of its own data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.masks import not_judged_as_background
from jaxseg.data.progress import Progress, track
from jaxseg.errors import UsageError
from jaxseg.grid.config import Config
from jaxseg.grid.prepared import prepared_views
from jaxseg.homes import expand


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
