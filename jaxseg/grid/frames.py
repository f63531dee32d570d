"""The device feed: prepared images stay in device memory, batches are taken and cut there.

Nothing here uses TensorFlow. A step sends 24 bytes an image (which one, which view, which box)
instead of its pixels. The function that takes a batch is compiled apart from the training step, so
that both feeds use the same training step.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.data.crops import Stream
from jaxseg.data.cuts import cut_batch
from jaxseg.data.pipeline import check_feed, has_tensorflow
from jaxseg.data.store import Prepared
from jaxseg.grid.mapping import Layout, map_cells, put

_MEMORY_SHARE = 0.25  # of a device's memory, for prepared images under data.feed=auto


class Frames(NamedTuple):
    """Training images on the devices, once on each however many cells it trains.

    `arrays` are (images uint8 [n, v, S, S, 3], masks uint8 [n, v, S, S]) of each of `views`.
    `take(arrays, codes, rows)` gives a chunk's batch: codes int32 [slots], positions in `views`;
    rows int32 [slots, B, 6] of `streams.stream_rows` -> uint8 [slots, B, s, s, 3] and
    [slots, B, s, s].
    """

    views: tuple[str, ...]
    arrays: tuple[tuple[jax.Array, jax.Array], ...]
    take: Any

    def codes(self, streams: Sequence[Stream]) -> np.ndarray:
        """Position in `views` of the view that each stream is taken from: int32 [slots]."""
        return np.asarray([self.views.index(stream.store) for stream in streams], np.int32)


def send_frames(stores: Mapping[str, Prepared], layout: Layout, size: int) -> Frames:
    """Puts prepared stores on the layout's devices; on CPU their mapped files are used in place."""
    arrays = tuple(put(layout, "shared", (s.images, s.masks)) for s in stores.values())
    take = map_cells(partial(_take, size), layout, ("shared", "cell", "batch"), out="batch")
    return Frames(tuple(stores), arrays, take)


def _take(size: int, arrays: Any, code: Any, rows: Any) -> tuple[jax.Array, jax.Array]:
    branches = [partial(take_batch, images, masks, size=size) for images, masks in arrays]
    return lax.switch(code, branches, rows)


def take_batch(images: Any, masks: Any, rows: Any, *, size: int) -> tuple[jax.Array, jax.Array]:
    """One cell's batch: rows int32 [B, 6] -> images uint8 [B, s, s, 3] and masks uint8 [B, s, s].

    Frames whose side is `size` are taken whole, others (`frame2x`) are cut and resized.
    """
    images, masks = (jnp.asarray(part)[rows[:, 0], rows[:, 1]] for part in (images, masks))
    if masks.shape[-1] == size:
        return images, masks
    return cut_batch(images, masks, rows[:, 2:], size)


def choose_feed(wanted: str, kept: str | None, stores: Mapping[str, Prepared], device: Any) -> str:
    """`host` or `device`, from `data.feed` and the feed that the workdir was begun with (or None).

    The feeds differ by up to a grey level where boxes are cut, so `auto` keeps to what a workdir
    was begun with. A new one gets `device` where TensorFlow is missing, on CPU, and where images
    and masks take no more than a quarter of the device's memory; `host` otherwise. On CPU nothing
    is copied, as the prepared files are mapped.

    Raises JaxsegError for `host` where TensorFlow is not installed.
    """
    feed = wanted if wanted != "auto" else kept or _best_feed(stores, device)
    check_feed(feed)
    return feed


def _best_feed(stores: Mapping[str, Prepared], device: Any) -> str:
    # CPU: two cells of width 8 at 48 × 48, batch 16, crop random, on two busy cores took 173 ms a
    # step with the device feed, 180 with tf.data and 169 without feeding (medians of 6,
    # interleaved); with the device feed TensorFlow is not even imported.
    if device.platform == "cpu" or not has_tensorflow():
        return "device"
    needed = sum(store.images.nbytes + store.masks.nbytes for store in stores.values())
    memory = (device.memory_stats() or {}).get("bytes_limit", 0)
    return "device" if needed <= _MEMORY_SHARE * memory else "host"
