"""From a data set's files to prepared stores: decode once, crop, resize, keep.

Crops are cut at original resolution and then resized, the order of the paper's code. All views of a
split that are missing are made in one pass.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxseg.data import sources
from jaxseg.data.crops import fixed_boxes, pixel_box
from jaxseg.data.cuts import cut
from jaxseg.data.masks import IGNORED, foreground
from jaxseg.data.sources import Frame, Reading
from jaxseg.data.store import (
    Prepared,
    StoreWriter,
    check_space,
    load_store,
    store_bytes,
    store_folder,
    verify_store,
)
from jaxseg.data.views import View, edition, find_view, plane_of
from jaxseg.errors import JaxsegError, UsageError, is_disk_full
from jaxseg.file_locks import exclusive
from jaxseg.homes import default_data_dir, expand
from jaxseg.progress import Progress, track

_THREADS = 2  # that read and cut frames
T = TypeVar("T")
_Pieces = tuple[NDArray[np.uint8], NDArray[np.uint8], int]
_SIZES = 16  # pixels between the sizes tried for masks that resizing has emptied


def prepare_views(
    name: str,
    split: str,
    *,
    size: int,
    views: Sequence[str],
    manual_dir: str | Path | None = None,
    reading: Reading = Reading(),  # noqa: B008
    data_dir: str | Path | None = None,
    planes: str = "",
    progress: Progress = track,
) -> dict[str, Prepared]:
    """Prepared views of a split: those on disk are mapped, the others made in one pass.

    `name` is one of `sources.SOURCES`, whose files lie below `manual_dir` and are read as `reading`
    states; `split` may be sliced (`train[:85%]`); `views` are `full`, `quarter` (4), `random` (4
    fixed boxes an image), each at `size`, `frame2x`, the whole frame at 2 · `size`, and those of
    annotation studies (see `views`), which write the plane that the pattern `planes` finds in an id
    on its frame. `data_dir` is by default $JAXSEG_CACHE or ~/.cache/jaxseg. An interrupted call is
    finished by the next one. What is on disk is used only for files of the same content. Raises
    UsageError for wrong arguments and JaxsegError for files that cannot be used, for masks that are
    all empty and for a full disk.
    """
    plane_of((), planes)
    made = {view: find_view(view, planes) for view in views}
    if size < 1:
        raise UsageError(f"data.size={size}: must be 1 or more pixels")
    root = expand(data_dir) if data_dir else default_data_dir()
    pairs = sources.find_pairs(name, manual_dir, reading.patterns)
    sources.check_split(name, split, pairs, manual_dir)  # before any file is opened
    files = sources.find_files(
        name, manual_dir, reading, cache=root, progress=progress, pairs=pairs
    )
    source = (name, sources.find_source(name).version, files.mark)
    folders = {
        view: store_folder(root, source, split, size, edition(view, planes)) for view in views
    }
    if not all(map(load_store, folders.values())):
        with _only_one_at_a_time(root):
            # Another process may have made them in the meantime.
            missing = [view for view in folders if load_store(folders[view]) is None]
            if missing:
                stores = {view: (folders[view], made[view]) for view in missing}
                _fill_stores(name, split, files, size, stores, progress)
    return {view: _described(folder, files, split) for view, folder in folders.items()}


def _described(folder: Path, files: sources.SourceFiles, split: str) -> Prepared:
    """The store in a folder, its content verified, with what is known of its files."""
    store = load_store(folder)
    if store is None:
        raise JaxsegError(
            f"{folder}: was removed while it was being prepared; run the command again"
        )
    verify_store(folder)
    if files.masks is None:
        n = len(store.classes)
        classes = f"{n} class" if n == 1 else f"{n} classes"
        return store._replace(taken=f"masks: generated, background and {classes}")
    known = [files.digests[base] for base in sources.base_splits(split)]
    found = (next((ids[i] for ids in known if i in ids), "") for i in store.ids)
    return store._replace(
        taken=files.masks.line,
        cautions=tuple(files.masks.cautions),
        digests=tuple(found),
        splits=tuple((base, len(members)) for base, members in files.pairs.items()),
    )


@contextlib.contextmanager
def _only_one_at_a_time(root: Path) -> Iterator[None]:
    """Holds the cache's lock; a folder in it that cannot be used becomes a one-line error."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        waiting = f"waiting: another process prepares data in {root}"
        with exclusive(root / "prepare.lock", waiting):
            yield
    except OSError as error:
        if is_disk_full(error) or not str(error.filename).startswith(str(root)):
            raise
        raise JaxsegError(
            f"{error.filename}: {error.strerror}, but data is prepared there; set JAXSEG_CACHE or "
            "data.data_dir to a folder that can be written to"
        ) from error


def _fill_stores(
    name: str,
    split: str,
    files: sources.SourceFiles,
    size: int,
    stores: Mapping[str, tuple[Path, View]],
    progress: Progress,
) -> None:
    """Makes `stores` (name of the view -> folder, view), going on where an earlier call stopped."""
    from jaxseg.data.builders import split_frames  # a filled cache is read without TFDS and OpenCV

    frames = split_frames(name, split, files)
    n_images = len(frames)
    boxes = {key: fixed_boxes(view.boxes, n_images) for key, (_, view) in stores.items()}
    shapes = {key: (n_images, view.count, view.scale * size) for key, (_, view) in stores.items()}
    parent = next(folder for folder, _ in stores.values()).parent
    check_space(parent, sum(store_bytes(*shape) for shape in shapes.values()))

    def read_and_cut(index: int) -> tuple[str, dict[str, _Pieces]]:
        frame = frames[index]()
        return frame.id, {
            key: _pieces(view, frame, boxes[key][index], view.scale * size)
            for key, (_, view) in stores.items()
        }

    writers = {key: StoreWriter(folder, *shapes[key]) for key, (folder, _) in stores.items()}
    try:
        start = min(len(writer.ids) for writer in writers.values())
        made = _ahead(read_and_cut, range(start, n_images))
        label = f"preparing {name} {split} at {size}"
        for index, (image_id, found) in enumerate(progress(made, n_images - start, label), start):
            for key, (images, masks, lost) in found.items():
                writers[key].append(index, images, masks, image_id, lost)
        if not next(iter(writers.values())).has_foreground():
            lost = max(writer.lost_side for writer in writers.values())
            for writer in writers.values():
                writer.discard()
            why = "there is nothing to segment"
            if lost:
                why = f"resizing has emptied them; with data.size={lost} or more none becomes empty"
            raise JaxsegError(f"{name} {split}: all {n_images} masks are empty; {why}")
        for writer in writers.values():
            writer.finish(files.classes)
    finally:
        for writer in writers.values():
            writer.close()


def _ahead(work: Callable[[int], T], items: range) -> Iterator[T]:
    """`work` of each item in order, done by threads a few items ahead."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * _THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pieces(view: View, frame: Frame, boxes: NDArray[np.float64], side: int) -> _Pieces:
    """Images [v, s, s, 3] and masks [v, s, s] of a frame's pieces in a view, and what was `_lost`.

    One box serves all versions of a whole frame.
    """
    images = [frame.image] * view.count
    if view.versions:
        drawn_on = np.where(frame.mask == IGNORED, np.uint8(0), frame.mask)
        images = view.versions(frame.image, drawn_on, frame.id)
    which = [min(v, len(boxes) - 1) for v in range(view.count)]
    cuts = [cut(images[v], frame.mask, boxes[which[v]], side) for v in range(view.count)]
    pixels, labels = (np.stack(parts) for parts in zip(*cuts))
    return pixels, labels, _lost(frame.mask, labels, boxes)


def _lost(mask: NDArray[np.uint8], pieces: NDArray[np.uint8], boxes: NDArray[np.float64]) -> int:
    """Whether resizing has emptied a mask [H, W]: its windows hold some, its pieces [v, s, s] none.

    Gives the side from which on one of them keeps some; 0 where nothing is lost, and where the
    windows hold nothing. A sliver that a window has cut off may vanish: the object is elsewhere.
    """
    if foreground(pieces).any():
        return 0
    bounds = [pixel_box(box, mask.shape[0], mask.shape[1]) for box in boxes]
    windows = [foreground(mask[y0:y1, x0:x1]) for y0, x0, y1, x1 in bounds]
    drawn = [window for window in windows if window.any()]
    return min((_side_that_keeps(window, pieces.shape[-1]) for window in drawn), default=0)


def _side_that_keeps(window: NDArray[np.bool_], side: int) -> int:
    """The least multiple of _SIZES from which on resizing a mask [h, w] by nearest keeps some."""
    rows, columns = (np.flatnonzero(window.any(axis)) for axis in (1, 0))
    kept = max(window.shape)
    for tried in range(kept // _SIZES * _SIZES, side, -_SIZES):
        picks = [
            np.floor((np.arange(tried) + 0.5) * length / tried).astype(int)
            for length in window.shape
        ]
        chosen = [np.intersect1d(p, inside) for p, inside in zip(picks, (rows, columns))]
        if not window[np.ix_(*chosen)].any():
            break
        kept = tried
    return kept
