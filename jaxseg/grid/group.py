"""A group: cells that share one compiled program, with its data and its mapped functions."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxseg.data.pipeline import steps_per_epoch
from jaxseg.data.planes import check_planes, plane_of
from jaxseg.data.store import Prepared, checksums
from jaxseg.data.streams import Stream
from jaxseg.errors import JaxsegError
from jaxseg.grid.cells import Cell, Settings, make_net
from jaxseg.grid.data_cautions import data_cautions
from jaxseg.grid.evaluate import TestSet, flatten_views, make_scorer, ring_maps, validation_items
from jaxseg.grid.frames import Frames, choose_feed, send_frames
from jaxseg.grid.mapping import DATA, Layout, fill, make_layout, map_cells, put
from jaxseg.grid.marking import (
    cell_stream,
    test_views,
    validation_stream,
)
from jaxseg.grid.optimiser import Optimiser
from jaxseg.grid.prepared import data_reading, prepared_views
from jaxseg.grid.processes import own_devices
from jaxseg.grid.train import Hyper, Program, make_program
from jaxseg.nets.padding import STANDARD_MODES, padding_code


class GroupData(NamedTuple):
    """Prepared data of a group: training stores by view, validation items by stream, test by set.

    `planes` are the standard planes of the test frames, empty strings where ids name none;
    `checksums` those of all stores, by data set and store. `taken` says what the masks were taken
    for, `cautions` what to bear in mind of the data.
    """

    train: Mapping[str, Any]
    validation: Mapping[Stream, TestSet]
    test: Mapping[str, TestSet]
    classes: tuple[str, ...]
    planes: list[str]
    checksums: Mapping[str, str]
    taken: str
    cautions: list[str]


class Group(NamedTuple):
    """Cells of one compiled program, with that program mapped over a chunk.

    `frames` are the training images on the devices; None under the host feed.
    """

    cells: list[Cell]
    part: int
    layout: Layout
    program: Program
    data: GroupData
    frames: Frames | None
    init: Any
    step: Any
    validate: Any
    select: Any
    predict: Any
    score: Any

    @property
    def settings(self) -> Settings:
        """Those of the first cell: what the cells share is the same in all."""
        return self.cells[0].settings

    @property
    def feed(self) -> str:
        """`host` or `device`."""
        return "host" if self.frames is None else "device"

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; UsageError when there is not even one."""
        n_images = len(next(iter(self.data.train.values())).ids)
        return steps_per_epoch(n_images, self.settings["optim.batch_size"])


def make_group(cells: list[Cell], part: int | None = None, kept_feed: str | None = None) -> Group:
    """Prepares the data of a group and maps its program over the devices there are.

    `part` is the largest number of these cells that one process trains; by default it is all.
    `kept_feed` is the feed that the workdir was begun with: `data.feed=auto` stays with it. Raises
    UsageError for a batch larger than the training data, and what `prepare_views` raises.
    """
    s, data = cells[0].settings, _load_data(cells)
    part = len(cells) if part is None else part
    feed = choose_feed(s["data.feed"], kept_feed, data.train, jax.local_devices()[0])
    group = _map_group(cells, data, part, s["run.cells_per_device"], feed)
    _ = group.steps_per_epoch  # a batch that cannot be filled is refused before compiling
    return group


def check_batches(group: Group, cells: Iterable[Cell]) -> None:
    """Raises UsageError for a batch, of any group on the same images, that they cannot fill."""
    n_images = len(next(iter(group.data.train.values())).ids)
    fields = ("data.name", "data.manual_dir", "data.train_split")
    for cell in cells:
        if all(cell.settings[field] == group.settings[field] for field in fields):
            steps_per_epoch(n_images, cell.settings["optim.batch_size"])


def halve(group: Group) -> Group:
    """The group with half the cells per device, as it did not fit into memory.

    Raises JaxsegError when a device has one cell already.
    """
    s, now = group.settings, group.layout.per_device
    kind = group.layout.mesh.devices.flat[0].device_kind
    if now == 1:
        raise JaxsegError(
            f"out of memory: one cell does not fit on {kind}; lower optim.batch_size="
            f"{s['optim.batch_size']}, net.width={s['net.width']} or data.size={s['data.size']}"
        )
    print(
        f"out of memory with {now} cells per device on {kind}: going on with {now // 2}; "
        f"--config.run.cells_per_device={now // 2} spares the attempt",
        file=sys.stderr,
        flush=True,
    )
    return remap(group, now // 2)


def remap(group: Group, cells_per_device: int) -> Group:
    """The group with another number of cells per device, not compiled."""
    return _map_group(group.cells, group.data, group.part, cells_per_device, group.feed)


def is_out_of_memory(error: Exception) -> bool:
    """Whether XLA says that a device's memory did not suffice."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def _map_group(
    cells: list[Cell], data: GroupData, part: int, cells_per_device: int, feed: str
) -> Group:
    s = cells[0].settings
    devices = own_devices(jax.local_devices(), len(cells), part)
    layout = make_layout(part, s["optim.batch_size"], cells_per_device, devices)
    frames = send_frames(data.train, layout, s["data.size"]) if feed == "device" else None
    axis = DATA if layout.mesh.shape[DATA] > 1 else None
    n_images = len(next(iter(data.train.values())).ids)
    steps = steps_per_epoch(n_images, s["optim.batch_size"]) * s["optim.epochs"]
    program = make_program(
        make_net(s, len(data.classes), axis),
        size=s["data.size"],
        loss=s["optim.loss"],
        select_best=s["optim.select"] == "best",
        padding_as_data=len({cell.settings["net.padding"] for cell in cells}) > 1,
        optimiser=Optimiser(s["optim.weight_decay"], s["optim.schedule"], steps),
        patience=s["optim.patience"],
        ignores=data_reading(s).truth.ignore is not None,
    )
    rings = ring_maps(s["data.size"], s["eval.ring_width"], s["eval.border_px"])
    return Group(
        cells,
        part,
        layout,
        program,
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
    s = group.settings
    slots = fill(group.cells[: group.layout.slots], group.layout.slots)
    hyper = put(group.layout, "cell", stack_hyper(slots))
    shape = (len(slots), s["optim.batch_size"], s["data.size"], s["data.size"])
    batch = [put(group.layout, "batch", np.zeros(full, np.uint8)) for full in ((*shape, 3), shape)]
    clock = time.monotonic()
    print(f"compiling for {group.layout.slots} cells at a time …", file=sys.stderr, flush=True)
    compiled = group.step.lower(group.init(hyper), hyper, *batch).compile()
    return group._replace(step=compiled), time.monotonic() - clock


def _load_data(cells: Sequence[Cell]) -> GroupData:
    s = cells[0].settings
    sources = list(dict.fromkeys(cell_stream(cell.settings).store for cell in cells))
    known: dict[str, str] = {}
    prepare = partial(_prepare, s, known)
    train = prepare(s["data.train_split"], sources)
    wanted = test_views(s)
    test = prepare(s["data.test_split"], wanted.values())
    first, any_test = (next(iter(part.values())) for part in (train, test))
    validation = _validation_stores(cells, prepare)
    return GroupData(
        train,
        _validation_items(cells, validation),
        {name: flatten_views(test[v].images, test[v].masks) for name, v in wanted.items()},
        first.classes,
        _test_planes(s.get("data.planes", ""), first.ids, any_test.ids),
        known,
        first.taken,
        data_cautions(s, train, validation, test),
    )


def _prepare(
    settings: Settings, known: dict[str, str], split: str, views: Iterable[str]
) -> dict[str, Prepared]:
    """Prepared views of a split, whose checksums are added to `known`."""
    stores = prepared_views(settings, split, views)
    known |= checksums(settings["data.name"], stores.values())
    return stores


def _validation_stores(cells: Sequence[Cell], prepare: Any) -> dict[str, Prepared]:
    split = cells[0].settings["data.val_split"]
    if not split:
        return {}
    streams = [validation_stream(cell.settings) for cell in cells]
    return prepare(split, dict.fromkeys(stream.store for stream in streams))


def _validation_items(
    cells: Sequence[Cell], stores: Mapping[str, Prepared]
) -> dict[Stream, TestSet]:
    streams = dict.fromkeys(validation_stream(cell.settings) for cell in cells) if stores else {}
    return {
        stream: validation_items(stream, stores[stream.store].images, stores[stream.store].masks)
        for stream in streams
    }


def _test_planes(pattern: str, train_ids: Sequence[str], test_ids: Sequence[str]) -> list[str]:
    planes = plane_of(test_ids, pattern)
    check_planes(plane_of(train_ids, pattern), planes)
    return planes


def stack_hyper(cells: Sequence[Cell]) -> Hyper:
    """What the cells bring to their program, stacked along the cell axis."""
    codes = [
        padding_code(c.settings["net.padding"])
        if c.settings["net.padding"] in STANDARD_MODES
        else 0
        for c in cells
    ]
    return Hyper(
        seed=np.asarray([cell.seed for cell in cells], np.int32),
        learning_rate=np.asarray(
            [cell.settings["optim.learning_rate"] for cell in cells], np.float32
        ),
        padding_code=np.asarray(codes, np.int32),
    )
