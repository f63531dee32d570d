"""Training of one chunk: batches to its devices, step after step, checkpoints on the way."""

import time
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils.epath import Path

from jaxseg.grid import checkpoints, interrupt
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.checkpoints import Position
from jaxseg.grid.feed import DataWait, chunk_batches
from jaxseg.grid.group import Group, stack_hyper
from jaxseg.grid.mapping import fill, put
from jaxseg.grid.marking import validation_stream
from jaxseg.grid.train import Hyper, TrainState, selected_variables


class Trained(NamedTuple):
    """A chunk after training: its chosen variables and settings on the devices.

    `losses` [slots] are the means of the last epoch that each cell trained, NaN where it diverged;
    `diverged_at` and `stopped_at` [slots] are as in TrainState, -1 for cells that went on to the
    end; `wall_s` counts all runs that trained the chunk.
    """

    variables: Any
    hyper: Hyper
    losses: np.ndarray
    diverged_at: np.ndarray
    stopped_at: np.ndarray
    wall_s: float
    wait: DataWait


class _Job(NamedTuple):
    """What stays the same while a chunk is trained."""

    workdir: Path
    group: Group
    chunk: list[Cell]
    slots: list[Cell]
    hyper: Hyper
    manager: Any
    started: float
    wait: DataWait

    def save(
        self,
        kind: checkpoints.Kind,
        state: TrainState,
        epoch: int,
        losses: Sequence[Any],
        means: np.ndarray,
    ) -> Position:
        """Checkpoints the chunk after `epoch` epochs and the steps of `losses`."""
        values = [np.asarray(loss).tolist() for loss in jax.device_get(list(losses))]
        position = Position(
            epoch,
            len(values),
            values,
            means.tolist(),
            np.asarray(state.diverged_at).tolist(),
            np.asarray(state.stopped_at).tolist(),
            time.monotonic() - self.started,
        )
        tree = state if kind == "state" else selected_variables(state)
        classes = self.group.data.classes
        checkpoints.save(self.manager, kind, tree, position, self.chunk, classes)
        return position


def train_chunk(workdir: Path, group: Group, chunk: list[Cell]) -> Generator[None, None, Trained]:
    """Trains a chunk from its newest checkpoint on; yields after every step.

    Raises Interrupted after a signal, with the state of that very step saved, and JaxsegError when
    a checkpoint cannot be written.
    """
    slots = fill(chunk, group.layout.slots)
    hyper = put(group.layout, "cell", stack_hyper(slots))
    with checkpoints.open_manager(workdir, chunk) as manager:
        kind, at, tree = _restored(manager, group, chunk, hyper)
        started = time.monotonic() - at.wall_s
        job = _Job(workdir, group, chunk, slots, hyper, manager, started, DataWait())
        for _ in range(at.epoch * group.steps_per_epoch + at.step):
            yield
        if kind == "state":
            with interrupt.deferred():
                at, tree = yield from _train(job, tree, at)
    means = np.asarray(at.means, np.float32)
    diverged, stopped = np.asarray(at.diverged_at), np.asarray(at.stopped_at)
    return Trained(tree, hyper, means, diverged, stopped, at.wall_s, job.wait)


def _restored(manager: Any, group: Group, chunk: list[Cell], hyper: Hyper) -> checkpoints.Restored:
    """The newest checkpoint, or the beginning."""
    state = group.init(hyper)
    abstract = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
    )
    found = checkpoints.restore(manager, abstract, chunk)
    beginning = Position(0, 0, [], [np.nan] * group.layout.slots, [], [], 0.0)
    return found or checkpoints.Restored("state", beginning, state)


def _train(
    job: _Job, state: TrainState, at: Position
) -> Generator[None, None, tuple[Position, Any]]:
    """(position, chosen variables) of the finished chunk."""
    s, steps, n = job.group.settings, job.group.steps_per_epoch, len(job.chunk)
    batches = chunk_batches(job.group, job.slots, at.epoch, at.step)
    losses: list[Any] = [np.asarray(loss, np.float32) for loss in at.losses]
    means = np.asarray(at.means, np.float32)
    for epoch in range(at.epoch, s["optim.epochs"]):
        clock = time.monotonic()
        for _ in range(len(losses), steps):
            batch = job.wait.next(batches, losses[-1:])
            state, loss = job.group.step(state, job.hyper, *batch)
            losses.append(loss)
            yield
            if interrupt.requested():
                job.save("state", state, epoch, losses, means)
                interrupt.stop_if_requested()
        mean, losses = np.mean(jax.device_get(losses), axis=0), []
        job.wait.steps_s += time.monotonic() - clock
        last = epoch + 1 == s["optim.epochs"]
        state, validation = _validate(job.group, job.slots, state, job.hyper, last)
        going = _going(state, n, epoch * steps)
        means = np.where(np.isin(np.arange(len(mean)), going), mean, means)
        if epoch == at.epoch:  # not before: with less memory the chunk may yet be another one
            files.forget_epochs(job.workdir, [cell.id for cell in job.chunk], epoch)
        _log_epoch(job, going, epoch, mean, validation)
        if not np.asarray(state.running)[:n].any():
            break
        if not last and (epoch + 1) % s["run.checkpoint_epochs"] == 0:
            job.save("state", state, epoch + 1, [], means)
    position = job.save("variables", state, s["optim.epochs"], [], means)
    return position, selected_variables(state)


def _going(state: TrainState, n: int, start: int) -> list[int]:
    """Places of the first n cells that were still in training at step `start`."""
    diverged, stopped = np.asarray(state.diverged_at)[:n], np.asarray(state.stopped_at)[:n]
    ended = ((diverged >= 0) & (diverged < start)) | ((stopped >= 0) & (stopped <= start))
    return np.flatnonzero(~ended).tolist()


def _validate(
    group: Group, slots: Sequence[Cell], state: Any, hyper: Any, last: bool
) -> tuple[Any, np.ndarray | None]:
    """(state, [slots, 2] validation loss and Dice): each epoch under `best`, else at the end."""
    best = group.settings["optim.select"] == "best"
    if not group.data.validation or not (best or last):
        return state, None
    sets = [group.data.validation[validation_stream(cell.settings)] for cell in slots]
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
    values[np.asarray(state.diverged_at) >= 0] = np.nan  # what it was stopped at is no result
    if best:
        state = group.select(state, put(group.layout, "cell", values[:, 0].astype(np.float32)))
    return state, values


def _log_epoch(
    job: _Job, going: Sequence[int], epoch: int, loss: np.ndarray, validation: np.ndarray | None
) -> None:
    """Appends the losses of the cells at places `going`, those that had not ended before."""
    step = (epoch + 1) * job.group.steps_per_epoch
    rows = []
    for i in going:
        val = (None, None) if validation is None else map(_finite, validation[i])
        row = {"cell": job.chunk[i].id, "epoch": epoch, "step": step, "loss": _finite(loss[i])}
        rows.append(row | dict(zip(("val_loss", "val_dice"), val)))
    files.append_metrics(job.workdir, rows)


def _finite(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
