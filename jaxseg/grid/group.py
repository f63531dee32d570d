"""A group: cells that share one compiled program, with its data and its mapped functions."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxseg.data.crops import Stream
from jaxseg.data.pipeline import steps_per_epoch
from jaxseg.data.store import Prepared, checksums
from jaxseg.data.views import check_planes, plane_of
from jaxseg.errors import JaxsegError
from jaxseg.grid.cells import Cell
from jaxseg.grid.config import Config, DataConfig, make_net
from jaxseg.grid.data_cautions import data_cautions
from jaxseg.grid.evaluate import TestSet, flatten_views, make_scorer, ring_maps, validation_items
from jaxseg.grid.frames import Frames, choose_feed, send_frames
from jaxseg.grid.mapping import DATA, Layout, fill, make_layout, map_cells, put
from jaxseg.grid.prepared import (
    cell_stream,
    prepared_views,
    validation_stream,
    views_of_tests,
)
from jaxseg.grid.processes import own_devices
from jaxseg.grid.train import Hyper, Optimiser, Program
from jaxseg.nets.padding import STANDARD_MODES, padding_code


class GroupData(NamedTuple):
    """Prepared data of a group: training stores by view, validation items by stream, test by set.

    `planes` are the standard planes of the test frames, empty strings where ids name none;
    `checksums` those of all stores, by data set and store. `taken` states how the masks are read,
    `cautions` what limits the results of this data.
    """

    train: Mapping[str, Any]
    validation: Mapping[Stream, TestSet]
    test: Mapping[str, TestSet]
    classes: tuple[str, ...]
    planes: list[str]
    checksums: Mapping[str, str]
    taken: str
    cautions: list[str]

    @property
    def n_train(self) -> int:
        """Images to train on."""
        return len(next(iter(self.train.values())).ids)


class Group(NamedTuple):
    """Cells of one compiled program, with its functions mapped over a chunk.

    `frames` are the training images on the devices; None under the host feed.
    """

    cells: list[Cell]
    part: int
    layout: Layout
    data: GroupData
    frames: Frames | None
    init: Any
    step: Any
    validate: Any
    select: Any
    predict: Any
    score: Any

    @property
    def config(self) -> Config:
        """The config of the first cell; what the cells share is the same in all of them."""
        return self.cells[0].config

    @property
    def feed(self) -> str:
        """`host` or `device`."""
        return "host" if self.frames is None else "device"

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; UsageError when there is not even one."""
        return steps_per_epoch(self.data.n_train, self.config.optim.batch_size)


def make_group(cells: list[Cell], part: int | None = None, kept_feed: str | None = None) -> Group:
    """Prepares the data of a group and maps its program over the devices there are.

    `part` is the largest number of these cells that one process trains; by default it is all.
    `kept_feed` is the feed that the workdir was begun with: `data.feed=auto` stays with it. Raises
    UsageError for a batch larger than the training data, and what `prepare_views` raises.
    """
    config, data = cells[0].config, _load_data(cells)
    part = len(cells) if part is None else part
    feed = choose_feed(config.data.feed, kept_feed, data.train, jax.local_devices()[0])
    group = _map_group(cells, data, part, config.run.cells_per_device, feed)
    _ = group.steps_per_epoch  # raises for a batch that is too large before anything is compiled
    return group


def check_batches(group: Group, cells: Iterable[Cell]) -> None:
    """Raises UsageError where any group on these images has a batch larger than their number."""

    def images(data: DataConfig) -> tuple:
        return data.name, data.manual_dir, data.train_split

    for cell in cells:
        if images(cell.config.data) == images(group.config.data):
            steps_per_epoch(group.data.n_train, cell.config.optim.batch_size)


def halve(group: Group) -> Group:
    """The group with half the cells per device, as it did not fit into memory.

    Raises JaxsegError when a device has one cell already.
    """
    config, now = group.config, group.layout.per_device
    kind = group.layout.mesh.devices.flat[0].device_kind
    if now == 1:
        raise JaxsegError(
            f"out of memory: one cell does not fit on {kind}; lower optim.batch_size="
            f"{config.optim.batch_size}, net.width={config.net.width} or "
            f"data.size={config.data.size}"
        )
    print(
        f"out of memory with {now} cells per device on {kind}: going on with {now // 2}; "
        f"--config.run.cells_per_device={now // 2} skips this attempt next time",
        file=sys.stderr,
        flush=True,
    )
    return remap(group, now // 2)


def remap(group: Group, cells_per_device: int) -> Group:
    """The group with another number of cells per device, not compiled."""
    return _map_group(group.cells, group.data, group.part, cells_per_device, group.feed)


def is_out_of_memory(error: Exception) -> bool:
    """Whether XLA reports that a device ran out of memory."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def _map_group(
    cells: list[Cell], data: GroupData, part: int, cells_per_device: int, feed: str
) -> Group:
    config = cells[0].config
    size, batch = config.data.size, config.optim.batch_size
    devices = own_devices(jax.local_devices(), len(cells), part)
    net = make_net(config.net, len(data.classes))
    net.check(size)
    splits = batch if net.splits_batch(size) else 1
    layout = make_layout(part, splits, cells_per_device, devices)
    frames = send_frames(data.train, layout, size) if feed == "device" else None
    axis = DATA if layout.mesh.shape[DATA] > 1 else None
    steps = steps_per_epoch(data.n_train, batch) * config.optim.epochs
    program = Program(
        replace(net, batch_axis=axis),
        size=size,
        loss=config.optim.loss,
        select_best=config.optim.select == "best",
        padding_as_data=len({cell.config.net.padding for cell in cells}) > 1,
        optimiser=Optimiser(config.optim.weight_decay, config.optim.schedule, steps),
        patience=config.optim.patience,
        ignores=config.data.reading.truth.ignore is not None,
    )
    rings = ring_maps(size, config.eval.ring_width, config.eval.border_px)
    return Group(
        cells,
        part,
        layout,
        data,
        frames,
        init=map_cells(program.init, layout, ("cell",)),
        step=map_cells(program.step, layout, ("cell", "cell", "batch", "batch"), donate=(0,)),
        validate=map_cells(program.validate, layout, ("cell", "cell", "batch", "batch", "batch")),
        select=map_cells(program.select, layout, ("cell", "cell")),
        predict=map_cells(program.predict, layout, ("cell", "cell", "shared")),
        score=make_scorer(layout, rings, len(data.classes)),
    )


def compile_step(group: Group) -> tuple[Group, float]:
    """The group with its training step compiled ahead of time, and the seconds that took."""
    size = group.config.data.size
    slots = fill(group.cells[: group.layout.slots], group.layout.slots)
    hyper = put(group.layout, "cell", stack_hyper(slots))
    shape = (len(slots), group.config.optim.batch_size, size, size)
    batch = [put(group.layout, "batch", np.zeros(full, np.uint8)) for full in ((*shape, 3), shape)]
    clock = time.monotonic()
    print(f"compiling for {group.layout.slots} cells at a time …", file=sys.stderr, flush=True)
    compiled = group.step.lower(group.init(hyper), hyper, *batch).compile()
    return group._replace(step=compiled), time.monotonic() - clock


def _load_data(cells: Sequence[Cell]) -> GroupData:
    config = cells[0].config
    known: dict[str, str] = {}

    def prepare(split: str, views: Iterable[str]) -> dict[str, Prepared]:
        nonlocal known
        stores = prepared_views(config.data, split, dict.fromkeys(views)) if split else {}
        known |= checksums(config.data.name, stores.values())
        return stores

    train = prepare(config.data.train_split, (cell_stream(cell.config).store for cell in cells))
    views = views_of_tests(config)
    test = prepare(config.data.test_split, views.values())
    streams = dict.fromkeys(validation_stream(cell.config) for cell in cells)
    validation = prepare(config.data.val_split, (stream.store for stream in streams))
    first, any_test = (next(iter(part.values())) for part in (train, test))
    planes = plane_of(any_test.ids, config.data.planes)
    check_planes(plane_of(first.ids, config.data.planes), planes)
    return GroupData(
        train,
        {
            stream: validation_items(
                stream, validation[stream.store].images, validation[stream.store].masks
            )
            for stream in streams
            if validation
        },
        {name: flatten_views(test[v].images, test[v].masks) for name, v in views.items()},
        first.classes,
        planes,
        known,
        first.taken,
        data_cautions(config.data, train, validation, test),
    )


def stack_hyper(cells: Sequence[Cell]) -> Hyper:
    """What the cells bring to their program, stacked along the cell axis."""
    paddings = [cell.config.net.padding for cell in cells]
    codes = [padding_code(mode) if mode in STANDARD_MODES else 0 for mode in paddings]
    return Hyper(
        seed=np.asarray([cell.seed for cell in cells], np.int32),
        learning_rate=np.asarray([cell.config.optim.learning_rate for cell in cells], np.float32),
        padding_code=np.asarray(codes, np.int32),
    )
