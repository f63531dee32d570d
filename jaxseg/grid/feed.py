"""How a chunk's batches reach its devices, and how long these wait for them."""

import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxseg.data.crops import Stream, stream_rows
from jaxseg.data.pipeline import train_batches
from jaxseg.grid.cells import Cell
from jaxseg.grid.frames import Frames
from jaxseg.grid.group import Group
from jaxseg.grid.mapping import Layout, map_cells, put, put_slots
from jaxseg.grid.prepared import cell_stream

_SAMPLE_EVERY = 7  # steps; a prime, so that the samples wander through the epoch
Batch = tuple[jax.Array, jax.Array]


def chunk_batches(
    group: Group, slots: Sequence[Cell], start_epoch: int, start_step: int = 0
) -> Iterator[Batch]:
    """Batches of a chunk on its devices: images uint8 [slots, B, s, s, 3], masks [slots, B, s, s].

    A pure function of the cells' streams, from step `start_step` of epoch
    `start_epoch` to the end of training. Steps are dispatched without waiting for them, so that
    the next batch is made and sent while the current step runs.
    """
    streams = [cell_stream(cell.config) for cell in slots]
    if group.frames is None:
        return _host_batches(group, streams, start_epoch, start_step)
    return _device_batches(group, group.frames, streams, start_epoch, start_step)


def _device_batches(
    group: Group, frames: Frames, streams: Sequence[Stream], start_epoch: int, start_step: int
) -> Iterator[Batch]:
    codes = put(group.layout, "cell", frames.codes(streams))
    for epoch in range(start_epoch, group.config.optim.epochs):
        plan = _epoch_plans(group, streams, epoch)
        for rows in plan[start_step if epoch == start_epoch else 0 :]:
            yield frames.take(frames.arrays, codes, rows)


def _epoch_plans(group: Group, streams: Sequence[Stream], epoch: int) -> np.ndarray:
    """Rows of an epoch: int32 [steps, slots, B, 6]."""
    batch, size = group.config.optim.batch_size, group.config.data.size
    n_images = len(next(iter(group.data.train.values())).images)
    plans = {
        stream: stream_rows(stream, n_images, size, epoch) for stream in dict.fromkeys(streams)
    }
    rows = np.stack([plans[stream][: group.steps_per_epoch * batch] for stream in streams], axis=1)
    return np.moveaxis(rows.reshape(group.steps_per_epoch, batch, *rows.shape[1:]), 2, 1)


def _host_batches(
    group: Group, streams: Sequence[Stream], start_epoch: int, start_step: int
) -> Iterator[Batch]:
    optim = group.config.optim
    distinct = list(dict.fromkeys(streams))
    made = [
        train_batches(
            group.data.train,
            stream,
            optim.batch_size,
            start_epoch,
            optim.epochs,
            start_step,
        )
        for stream in distinct
    ]
    which = [distinct.index(stream) for stream in streams]
    for parts in zip(*made):
        images, masks = (_send(group.layout, list(arrays), which) for arrays in zip(*parts))
        yield images, masks


def _send(layout: Layout, arrays: list[np.ndarray], which: list[int]) -> jax.Array:
    """Arrays [B, …] of distinct streams as the slots' array [slots, B, …]; slot i has `which[i]`.

    A stream is sent to a device once, however many of its cells share it.
    """
    if layout.per_device == 1 or len(arrays) == len(which):
        return put_slots(layout, [arrays[i] for i in which])
    sent = put(layout, "stream", np.stack(arrays))
    return _spreader(layout)(sent, put(layout, "cell", np.asarray(which, np.int32)))


@functools.cache
def _spreader(layout: Layout) -> Any:
    return map_cells(lambda arrays, which: arrays[which], layout, ("stream", "cell"), out="batch")


class DataWait:
    """How long the devices of a chunk wait for data, by sampling.

    Steps run asynchronously, so that the time spent in `next` means nothing. Every seventh time the
    step before is waited for first; the seconds until the next batch lies on the devices are then
    what they would have waited, had nothing been made ahead: an upper bound.
    """

    def __init__(self) -> None:
        self.steps_s = 0.0
        self._steps = 0
        self._sampled: list[float] = []

    def next(self, batches: Iterator[Batch], before: Any) -> Batch:
        """The next batch; `before` is any result of the step before."""
        self._steps += 1
        if self._steps % _SAMPLE_EVERY:
            return next(batches)
        jax.block_until_ready(before)
        clock = time.monotonic()
        batch = jax.block_until_ready(next(batches))
        self._sampled.append(time.monotonic() - clock)
        return batch

    @property
    def wait_s(self) -> float:
        """Estimated seconds waited over all steps so far; 0 before the first sample."""
        return self._steps * sum(self._sampled) / max(len(self._sampled), 1)
