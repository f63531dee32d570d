"""Training batches on the host: tf.data over prepared stores, every epoch a pure function.

Only this module uses TensorFlow. It is imported on first use, without access to accelerators and
without its log messages.

No flips, no colour, no other augmentation: what differs between arms is the crop alone.
"""

import functools
import importlib.util
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.crops import Stream, stream_plan
from jaxseg.data.store import Prepared
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.homes import import_matplotlib

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@functools.cache  # also keeps AutoGraph from rewriting it where it is called inside tf.data
def tensorflow() -> Any:
    """The module `tensorflow` with GPUs hidden from it; JaxsegError where it cannot be imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Only image operations run here: oneDNN would add a line on stderr and varying rounding, no
    # speed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import_matplotlib()
    try:
        import tensorflow as tf
    except ImportError as error:
        raise JaxsegError(
            f"data.feed='host': TensorFlow cannot be imported ({error}); install tensorflow-cpu "
            "anew, or use data.feed=device in a new --workdir"
        ) from error
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    return tf


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed, without the seconds that importing it takes."""
    return importlib.util.find_spec("tensorflow") is not None


def check_feed(feed: str) -> None:
    """Raises JaxsegError for the host feed where TensorFlow is not installed."""
    if feed == "host" and not has_tensorflow():
        raise JaxsegError(
            "data.feed='host': TensorFlow is not installed; pip install tensorflow-cpu (on macOS: "
            "tensorflow), or use data.feed=device in a new --workdir"
        )


def _data_options() -> Any:
    """tf.data options: ordered, a private pool of threads, no tuner that takes the cores."""
    options = tensorflow().data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 2
    options.threading.max_intra_op_parallelism = 1
    return options


def cut(image: Any, mask: Any, box: Any, size: int) -> tuple[Any, Any]:
    """Cuts a box out of an image and its mask and resizes both to `size`.

    `image` uint8 [H, W, 3], `mask` uint8 [H, W] and `box` float64 [4] as fractions (y0, x0, y1, x1)
    -> uint8 tensors [size, size, 3] and [size, size]; what `cuts.cut` equals, by TensorFlow's
    arithmetic. Works eagerly and inside tf.data.
    """
    tf = tensorflow()
    image, mask = tf.convert_to_tensor(image), tf.convert_to_tensor(mask)
    bounds = tf.shape(image)[:2]
    scaled = tf.cast(box, tf.float64) * tf.cast(tf.tile(bounds, [2]), tf.float64)
    edges = tf.cast(tf.floor(scaled + 1e-6), tf.int32)
    start = tf.minimum(edges[:2], bounds - 1)
    stop = tf.maximum(edges[2:], start + 1)
    window = (slice(start[0], stop[0]), slice(start[1], stop[1]))
    pixels = tf.image.resize(image[window], (size, size), "bicubic", antialias=True)
    labels = tf.image.resize(mask[window][..., None], (size, size), "nearest")
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8), labels[..., 0]


def steps_per_epoch(n_images: int, batch_size: int) -> int:
    """Full batches in an epoch; UsageError when there is not even one."""
    if not 1 <= batch_size <= n_images:
        raise UsageError(
            f"optim.batch_size={batch_size}: must be from 1 to the {n_images} training images"
        )
    return n_images // batch_size


def train_batches(
    stores: Mapping[str, Prepared],
    stream: Stream,
    batch_size: int,
    start_epoch: int,
    epochs: int,
    start_step: int = 0,
) -> Iterator[Batch]:
    """Batches of epochs `start_epoch` … `epochs` - 1, in order, `steps_per_epoch` of them in each.

    Of the first epoch those before `start_step` are left out.

    Yields images uint8 [B, s, s, 3] and masks uint8 [B, s, s]. `stores` maps view names to prepared
    stores and must hold `stream.store`: from `frame2x` (side 2 s) the epoch's box is cut and
    resized, the others are read as they are. `epochs` is the total, so that starting
    at an epoch and step gives bit for bit what an undisturbed run gives from there on. The last
    incomplete batch of an epoch is dropped. Raises UsageError for arguments that break a rule.
    """
    view = stream.store
    if view not in stores:
        raise UsageError(
            f"stores: data.crop={stream.crop!r} requires view {view!r}, got {list(stores)}"
        )
    if not 0 <= start_epoch <= epochs:
        raise UsageError(f"start_epoch={start_epoch}: must be from 0 to epochs={epochs}")
    store = stores[view]
    steps = steps_per_epoch(len(store.images), batch_size)
    if not 0 <= start_step <= steps:
        raise UsageError(f"start_step={start_step}: must be from 0 to the epoch's {steps} steps")
    stream_plan(stream, len(store.images), start_epoch)  # raises here, not in a thread
    tf, side = tensorflow(), store.images.shape[2]

    def plan(epoch: NDArray[np.int64]) -> list[NDArray[Any]]:
        order, boxes, views = stream_plan(stream, len(store.images), int(epoch))
        order = order[: steps * batch_size].reshape(steps, batch_size)
        return [order, views[order], boxes[order]]

    def read(order: NDArray[np.int32], views: NDArray[np.int32]) -> list[NDArray[np.uint8]]:
        return [store.images[order, views], store.masks[order, views]]

    def steps_of(epoch: Any) -> Any:
        planned = tf.numpy_function(plan, [epoch], (tf.int32, tf.int32, tf.float64))
        for tensor, last in zip(planned, ((), (), (4,)), strict=True):
            tensor.set_shape((steps, batch_size, *last))
        return tf.data.Dataset.from_tensor_slices(tuple(planned))

    def read_step(order: Any, views: Any, boxes: Any) -> tuple[Any, Any, Any]:
        images, masks = tf.numpy_function(read, [order, views], (tf.uint8, tf.uint8))
        images.set_shape((batch_size, side, side, 3))
        masks.set_shape((batch_size, side, side))
        return images, masks, boxes

    frames = tf.data.Dataset.range(start_epoch, epochs).flat_map(steps_of).skip(start_step)
    frames = frames.map(read_step)
    if view == "frame2x":
        frames = frames.unbatch().map(
            lambda image, mask, box: cut(image, mask, box, side // 2), num_parallel_calls=2
        )
        frames = frames.batch(batch_size, drop_remainder=True)
    else:
        frames = frames.map(lambda images, masks, boxes: (images, masks))
    return frames.prefetch(2).with_options(_data_options()).as_numpy_iterator()
