"""The one decoding pass: encoded examples -> every view that is still missing, in fixed order."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.crops import fixed_boxes, pixel_box
from jaxseg.data.host import data_options, quiet_tfds, tensorflow
from jaxseg.data.images import as_rgb, read_picture
from jaxseg.data.masks import IGNORED, foreground
from jaxseg.data.pairs import Pairs
from jaxseg.data.pipeline import cut
from jaxseg.data.progress import Progress
from jaxseg.data.sources import find_source
from jaxseg.data.store import StoreWriter, check_space, store_bytes
from jaxseg.data.views import View
from jaxseg.errors import DamagedError, JaxsegError, UsageError
from jaxseg.seals import AGAIN

_SIZES = 16  # pixels between two sizes that are tried for masks that resizing has emptied


class _Cut(NamedTuple):
    """What a view makes of a frame: images [v, s, s, 3], masks [v, s, s], and `lost`: the side in
    pixels from which on its mask would not be empty after resizing; 0 where it is not."""

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    lost: int


def fill_stores(
    builder: Any,
    split: str,
    size: int,
    stores: Mapping[str, tuple[Path, View]],
    pairs: Pairs,
    progress: Progress,
) -> None:
    """Makes `stores` (name of the view -> folder, view), going on where an earlier call stopped.

    `builder` is a TFDS builder with features image, mask and id, its records on disk. Raises
    JaxsegError naming the file that cannot be decoded, for a full disk and when every mask is
    empty; UsageError when the split selects no images.
    """
    n_images = _count(builder, split)
    folders = {name: folder for name, (folder, _) in stores.items()}
    views = {name: view for name, (_, view) in stores.items()}
    shapes = {name: (n_images, view.count, view.scale * size) for name, view in views.items()}
    parent = next(iter(folders.values())).parent
    check_space(parent, sum(store_bytes(*shape) for shape in shapes.values()))
    writers = {view: StoreWriter(folders[view], *shapes[view]) for view in folders}
    try:
        start = min(len(writer.ids) for writer in writers.values())
        examples = _examples(_encoded(builder, split), start, n_images, size, views, pairs)
        label = f"preparing {builder.name} {split} at {size}"
        with _damage_named(builder):
            for index, name, pieces in progress(examples, n_images - start, label):
                for view, piece in pieces.items():
                    writers[view].append(index, piece.images, piece.masks, name, piece.lost)
        _finish(builder, split, list(writers.values()))
    finally:
        for writer in writers.values():
            writer.close()


@contextlib.contextmanager
def _damage_named(builder: Any) -> Iterator[None]:
    """Turns a record whose checksum is wrong into DamagedError."""
    try:
        yield
    except tensorflow().errors.DataLossError as error:
        folder = Path(str(builder.data_path))
        raise DamagedError(folder, "a record is not what was written", AGAIN) from error


def _count(builder: Any, split: str) -> int:
    try:
        count = builder.info.splits[split].num_examples
    except ValueError as error:
        raise UsageError(f"data split {split!r}: {str(error).splitlines()[0]}") from error
    if not count:
        raise UsageError(f"data split {split!r}: selects no images")
    return count


def _finish(builder: Any, split: str, writers: list[StoreWriter]) -> None:
    if not writers[0].has_foreground():
        lost = max(writer.lost_side for writer in writers)
        for writer in writers:
            writer.discard()
        why = "there is nothing to segment"
        if lost:
            why = f"resizing has emptied them, from data.size={lost} on all would keep some"
        raise JaxsegError(
            f"{builder.name} {split}: all {len(writers[0].ids)} masks are empty; {why}"
        )
    classes = find_source(builder.name).classes or builder.info.metadata["classes"]
    for writer in writers:
        writer.finish(classes)


def _encoded(builder: Any, split: str) -> Any:
    """Dataset of undecoded examples in their one order, whatever the number of shards."""
    with quiet_tfds() as tfds:
        skip = tfds.decode.SkipDecoding()
        return builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={"image": skip, "mask": skip},
            read_config=tfds.ReadConfig(
                options=data_options(),
                try_autocache=False,
                interleave_cycle_length=1,
                num_parallel_calls_for_interleave_files=1,
            ),
        )


def _examples(
    encoded: Any, start: int, n_images: int, size: int, views: Mapping[str, View], pairs: Pairs
) -> Iterator[tuple[int, str, dict[str, _Cut]]]:
    """Yields (index, id, {view: what it makes of the frame}) from image `start` on."""
    tf = tensorflow()
    boxes = {name: fixed_boxes(view.boxes, n_images) for name, view in views.items()}
    refused: list[JaxsegError] = []

    def decode_bytes(image: bytes, mask: bytes, name: bytes) -> Any:
        try:
            return decode(image, mask, name.decode(), pairs)
        except JaxsegError as error:
            refused.append(error)
            raise

    def decode_and_cut(index: Any, example: dict[str, Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
        parts = [example[part] for part in ("image", "mask", "id")]
        image, mask = tf.numpy_function(decode_bytes, parts, (tf.uint8, tf.uint8))
        image.set_shape((None, None, 3))
        mask.set_shape((None, None))
        found = {
            name: _pieces(view, (image, mask, example["id"]), tf.gather(boxes[name], index), size)
            for name, view in views.items()
        }
        return index, example["id"], mask, found

    examples = encoded.enumerate().skip(start).map(decode_and_cut, num_parallel_calls=2)
    try:
        for index, name, mask, found in (
            examples.prefetch(2).with_options(data_options()).as_numpy_iterator()
        ):
            pieces = {
                view: _Cut(images, masks, _lost(mask, masks, boxes[view][index]))
                for view, (images, masks) in found.items()
            }
            yield int(index), name.decode(), pieces
    except tf.errors.OpError as error:
        if isinstance(error, tf.errors.DataLossError) or not refused:
            raise
        raise refused[0] from error


def _lost(mask: NDArray[np.uint8], pieces: NDArray[np.uint8], boxes: NDArray[Any]) -> int:
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


def _pieces(view: View, frame: tuple[Any, Any, Any], boxes: Any, size: int) -> tuple[Any, Any]:
    """Images [v, s, s, 3] and masks [v, s, s] that a view makes of a frame (image, mask, id)."""
    tf = tensorflow()
    image, mask, name = frame
    images = [image] * view.count
    if make := view.versions:
        versions = tf.numpy_function(
            lambda image, mask, name: make(
                image, np.where(mask == IGNORED, 0, mask), name.decode()
            ),
            [image, mask, name],
            tf.uint8,
        )
        versions.set_shape((view.count, *image.shape))
        images = tf.unstack(versions)
    # One box serves all versions of a whole frame.
    which = [min(v, boxes.shape[0] - 1) for v in range(view.count)]
    cuts = [cut(images[v], mask, boxes[which[v]], view.scale * size) for v in range(view.count)]
    parts = zip(*cuts, strict=True)
    return tuple(tf.stack(part) for part in parts)  # pyright: ignore[reportReturnType]


def decode(
    image: bytes, mask: bytes, name: str, pairs: Pairs
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Encoded bytes -> uint8 image [H, W, 3] and mask [H, W], by the one reader.

    Raises JaxsegError naming the file of the image called `name` that cannot be decoded.
    """
    path = _file_of(name, image, pairs)
    pixels = as_rgb(read_picture(image, path), path)
    return pixels, read_picture(mask, Path(f"mask of {name}")).pixels


def _file_of(name: str, image: bytes, pairs: Pairs) -> Path:
    """The file that an example was made of."""
    same = [pair.image for members in pairs.values() for pair in members if pair.id == name]
    if len(same) > 1:
        # Splits may use one name twice: it is the file that holds these very bytes.
        same.sort(key=lambda path: path.read_bytes() != image)
    return same[0] if same else Path(name)
