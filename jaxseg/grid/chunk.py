"""Training of one chunk: batches to its devices, step after step, checkpoints on the way."""

import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxseg.grid import checkpoints
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.feed import DataWait, chunk_batches
from jaxseg.grid.group import Group, stack_hyper, validation_view
from jaxseg.grid.mapping import fill, put
from jaxseg.grid.train import Hyper, TrainState, selected_variables


class Trained(NamedTuple):
    """A chunk after training: its state and settings on the devices, the last epoch's losses."""

    state: TrainState
    hyper: Hyper
    losses: np.ndarray
    wait: DataWait


def train_chunk(workdir: Path, group: Group, chunk: list[Cell]) -> Generator[None, None, Trained]:
    """Trains a chunk from its newest checkpoint on; yields after every step."""
    slots = fill(chunk, group.layout.slots)
    hyper = put(group.layout, "cell", stack_hyper(slots))
    with checkpoints.open_manager(workdir, chunk) as manager:
        start, state = _resumed(manager, group, chunk, hyper)
        files.forget_epochs(workdir, [cell.id for cell in chunk], start)
        for _ in range(start * group.steps_per_epoch):
            yield
        batches = chunk_batches(group, slots, start)
        loss, wait = np.full(len(slots), np.nan), DataWait()
        epochs, classes = group.settings["optim.epochs"], group.data.classes
        for epoch in range(start, epochs):
            state, loss = yield from _train_epoch(group, state, hyper, batches, wait)
            last = epoch + 1 == epochs
            state, validation = _validate(group, slots, state, hyper, last)
            _log_epoch(workdir, chunk, epoch, (epoch + 1) * group.steps_per_epoch, loss, validation)
            if not last and (epoch + 1) % group.settings["run.checkpoint_epochs"] == 0:
                checkpoints.save(manager, epoch + 1, "state", state, chunk, classes)
        chosen = selected_variables(state)
        checkpoints.save(manager, epochs, "variables", chosen, chunk, classes)
    return Trained(state, hyper, loss, wait)


def _resumed(manager: Any, group: Group, chunk: list[Cell], hyper: Hyper) -> tuple[int, TrainState]:
    """(epochs done, state) of the newest checkpoint, or of the beginning."""
    state = group.init(hyper)
    abstract = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
    )
    return checkpoints.restore_state(manager, abstract, chunk) or (0, state)


def _train_epoch(
    group: Group, state: TrainState, hyper: Hyper, batches: Iterator[Any], wait: DataWait
) -> Generator[None, None, tuple[TrainState, np.ndarray]]:
    """(state, mean losses [slots]) after one more epoch."""
    losses, clock = [], time.monotonic()
    for _ in range(group.steps_per_epoch):
        images, masks = wait.next(batches, losses[-1:])
        state, value = group.step(state, hyper, images, masks)
        losses.append(value)
        yield
    means = np.mean(jax.device_get(losses), axis=0)
    wait.steps_s += time.monotonic() - clock
    return state, means


def _validate(
    group: Group, slots: Sequence[Cell], state: Any, hyper: Any, last: bool
) -> tuple[Any, np.ndarray | None]:
    """(state, [slots, 2] validation loss and Dice): each epoch under `best`, else at the end."""
    best = group.settings["optim.select"] == "best"
    if not group.data.validation or not (best or last):
        return state, None
    sets = [group.data.validation[validation_view(cell.settings["data.crop"])] for cell in slots]
    batch = group.settings["optim.batch_size"]
    total = max(len(items.image) for items in sets)
    sums = np.zeros((len(slots), 5))
    for start in range(0, total, batch):
        rows = np.arange(start, start + batch)
        picks = [np.minimum(rows, len(items.image) - 1) for items in sets]
        arrays = (
            np.stack([items.images[pick] for items, pick in zip(sets, picks)]),
            np.stack([items.masks[pick] for items, pick in zip(sets, picks)]),
            np.stack([(rows < len(items.image)).astype(np.float32) for items in sets]),
        )
        sums += np.asarray(
            group.validate(state, hyper, *(put(group.layout, "batch", a) for a in arrays))
        )
    loss, tp, fp, fn, weight = sums.T
    values = np.stack([loss / weight, 2 * tp / np.maximum(2 * tp + fp + fn, 1)], axis=1)
    if best:
        state = group.select(state, put(group.layout, "cell", values[:, 0].astype(np.float32)))
    return state, values


def _log_epoch(
    workdir: Path,
    chunk: Sequence[Cell],
    epoch: int,
    step: int,
    loss: np.ndarray,
    validation: np.ndarray | None,
) -> None:
    rows = []
    for i, cell in enumerate(chunk):
        val = (None, None) if validation is None else map(_finite, validation[i])
        row = {"cell": cell.id, "epoch": epoch, "step": step, "loss": _finite(loss[i])}
        rows.append(row | dict(zip(("val_loss", "val_dice"), val)))
    files.append_metrics(workdir, rows)


def _finite(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
