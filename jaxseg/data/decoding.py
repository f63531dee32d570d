"""The one decoding pass: encoded examples -> every view that is still missing, in fixed order."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxseg.data.crops import fixed_boxes
from jaxseg.data.host import data_options, quiet_tfds, tensorflow
from jaxseg.data.pairs import Pairs
from jaxseg.data.pipeline import cut
from jaxseg.data.progress import Progress
from jaxseg.data.sources import find_source
from jaxseg.data.store import StoreWriter, check_space, store_bytes
from jaxseg.data.views import View
from jaxseg.errors import DamagedError, JaxsegError, UsageError
from jaxseg.seals import AGAIN


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
                for view, (images, masks) in pieces.items():
                    writers[view].append(int(index), images, masks, name.decode())
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
        for writer in writers:
            writer.discard()
        raise JaxsegError(
            f"{builder.name} {split}: all {len(writers[0].ids)} masks are empty; "
            "there is nothing to segment"
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
) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Yields (index, id, {view: (images [v, s, s, 3], masks [v, s, s])}) from image `start` on."""
    tf = tensorflow()
    boxes = {name: fixed_boxes(view.boxes, n_images) for name, view in views.items()}

    def decode_and_cut(index: Any, example: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        image, mask = decode(example["image"], example["mask"])
        found = {
            name: _pieces(view, (image, mask, example["id"]), tf.gather(boxes[name], index), size)
            for name, view in views.items()
        }
        return index, example["id"], found

    examples = encoded.enumerate().skip(start).map(decode_and_cut, num_parallel_calls=2)
    done = start
    try:
        for example in examples.prefetch(2).with_options(data_options()).as_numpy_iterator():
            yield example
            done += 1
    except tf.errors.InvalidArgumentError as error:
        culprit = next(encoded.skip(done).take(1).as_numpy_iterator())
        raise JaxsegError(_what_is_wrong(culprit, pairs)) from error


def _pieces(view: View, frame: tuple[Any, Any, Any], boxes: Any, size: int) -> tuple[Any, Any]:
    """Images [v, s, s, 3] and masks [v, s, s] that a view makes of a frame (image, mask, id)."""
    tf = tensorflow()
    image, mask, name = frame
    images = [image] * view.count
    if make := view.versions:
        versions = tf.numpy_function(
            lambda image, mask, name: make(image, mask, name.decode()),
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


def decode(image: Any, mask: Any) -> tuple[Any, Any]:
    """Encoded bytes -> uint8 tensors image [H, W, 3] and mask [H, W], of the same height and width.

    Raises tf.errors.InvalidArgumentError for damaged bytes and for sizes that differ.
    """
    tf = tensorflow()
    image = tf.io.decode_image(image, channels=3, expand_animations=False)
    mask = tf.io.decode_image(mask, channels=1, expand_animations=False)[..., 0]
    image.set_shape((None, None, 3))
    mask.set_shape((None, None))
    tf.debugging.assert_equal(tf.shape(image)[:2], tf.shape(mask))
    return image, mask


def _what_is_wrong(example: Mapping[str, bytes], pairs: Pairs) -> str:
    tf = tensorflow()
    name = example["id"].decode()
    same = [pair for members in pairs.values() for pair in members if pair.id == name]
    # Splits may use one name twice: the culprit is the file that holds these very bytes.
    same.sort(key=lambda pair: pair.image.read_bytes() != example["image"])
    image_name, mask_name = same[0][1:] if same else (name, f"mask of {name}")
    sizes = []
    for part, file in (("image", image_name), ("mask", mask_name)):
        try:
            shape = tf.io.decode_image(example[part], expand_animations=False).shape
        except tf.errors.InvalidArgumentError:
            return f"{file}: cannot be read as an image (truncated or damaged); replace the file"
        sizes.append(f"{shape[0]}×{shape[1]}")
    if sizes[0] == sizes[1]:
        return f"{image_name}: cannot be decoded to three channels; save it as RGB"
    return f"{mask_name}: {sizes[1]} pixels but its image has {sizes[0]}; the sizes must agree"
