"""Chunks: which cells are trained together, and their training step by step with checkpoints.

Only cells that have been trained equally far share a chunk; beyond that their order decides.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from etils.epath import Path

from jaxseg.errors import DamagedError
from jaxseg.grid import checkpoints, interrupt
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.checkpoints import Position, Restored, Saved, first_cell
from jaxseg.grid.feed import DataWait, chunk_batches
from jaxseg.grid.group import Group, stack_hyper
from jaxseg.grid.mapping import chunks, fill, put, put_cells, take_cells
from jaxseg.grid.prepared import validation_stream
from jaxseg.grid.train import Hyper, TrainState, selected_variables


class Progress(Protocol):
    """What training reports its steps to."""

    def update(self, steps: int = 1) -> None:
        """Counts further steps."""


class Chunk(NamedTuple):
    """Cells that are trained at the same time, from the same step on.

    `saved` is a checkpoint for each of them, or empty where they start from the beginning.
    `damaged` are folders of damaged checkpoints that the chunk's own take the place of.
    """

    cells: list[Cell]
    saved: list[Saved]
    damaged: list[Path]

    @property
    def folders(self) -> list[Path]:
        """Those of `saved`, each once."""
        return list(dict.fromkeys(saved.folder for saved in self.saved))


def plan_chunks(workdir: Path, cells: Sequence[Cell], slots: int) -> list[Chunk]:
    """Cells in chunks of at most `slots`, the furthest in training first.

    Only cells that have come equally far share a chunk, whichever chunks they were saved in: each
    goes on from its checkpoint though devices, cells per device or the grid have changed. A damaged
    checkpoint is named on stderr and not used.
    """
    found, errors = checkpoints.scan(workdir)
    ids = {cell.id for cell in cells}
    damaged = {first_cell(folder): folder for folder in errors if first_cell(folder) in ids}
    for cell, folder in damaged.items():
        _say_damaged(errors[folder], cell)
    by_progress: dict[tuple, list[Cell]] = {}
    for cell in cells:
        progress = found[cell.id].progress if cell.id in found else ()
        by_progress.setdefault(progress, []).append(cell)
    return [
        Chunk(
            members,
            [found[cell.id] for cell in members] if progress else [],
            [damaged[cell.id] for cell in members if cell.id in damaged],
        )
        for progress in sorted(by_progress, reverse=True)
        for members in chunks(by_progress[progress], slots)
    ]


def _say_damaged(error: DamagedError, cell: str) -> None:
    """Reports on stderr that cells of a damaged checkpoint, such as `cell`, are trained anew."""
    print(
        f"{error.path}: damaged: {error.reason}; training {cell} and the other cells "
        "of the checkpoint from the beginning",
        file=sys.stderr,
        flush=True,
    )


class Trained(NamedTuple):
    """A chunk after training: its chosen variables and settings on the devices, [slots, …].

    `position` holds how each cell ended and the seconds of all runs that trained the chunk.
    """

    variables: Any
    hyper: Hyper
    position: Position
    wait: DataWait


class _Job(NamedTuple):
    """What stays the same while a chunk is trained, and the folders that its first save replaces.

    On the devices a chunk has `slots`, the last of them idle where it has fewer cells; what is
    written has entries for its cells alone.
    """

    workdir: Path
    group: Group
    cells: list[Cell]
    slots: list[Cell]
    hyper: Hyper
    manager: Any
    started: float
    wait: DataWait
    sources: list[Path]
    damaged: list[Path]

    def save(
        self,
        kind: checkpoints.Kind,
        state: TrainState,
        epoch: int,
        losses: Sequence[Any],
        means: np.ndarray,
    ) -> Position:
        """Checkpoints the chunk after `epoch` epochs and the steps of `losses`."""
        n = len(self.cells)
        position = Position(
            epoch,
            len(losses),
            _of_cells(losses, n).tolist(),
            means.tolist(),
            np.asarray(state.diverged_at)[:n].tolist(),
            np.asarray(state.stopped_at)[:n].tolist(),
            time.monotonic() - self.started,
        )
        tree = take_cells(state if kind == "state" else selected_variables(state), n)
        classes = self.group.data.classes
        checkpoints.save(self.manager, kind, tree, position, self.cells, classes)
        own = Path(self.manager.directory)  # what it replaces is removed
        for folder in self.damaged:
            if folder != own:
                checkpoints.remove(folder)
        checkpoints.remove_superseded(self.workdir, (f for f in self.sources if f != own))
        self.sources.clear()
        self.damaged.clear()
        return position


def train_chunk(workdir: Path, group: Group, chunk: Chunk, progress: Progress) -> Trained:
    """Trains a chunk from its cells' checkpoints on.

    `progress` is updated after every step, first with those that the checkpoints hold. Raises
    Interrupted after a signal, with the state of that very step saved, and JaxsegError when a
    checkpoint cannot be written.
    """
    cells, slots = chunk.cells, fill(chunk.cells, group.layout.slots)
    hyper, wait = put(group.layout, "cell", stack_hyper(slots)), DataWait()
    restored, damaged = _start(group, chunk, hyper)
    at, tree = restored.position, restored.tree
    started = time.monotonic() - at.wall_s
    progress.update(at.epoch * group.steps_per_epoch + at.step)
    if restored.kind == "state":
        with checkpoints.open_manager(workdir, cells) as manager, interrupt.deferred():
            replaced = (chunk.folders, [*chunk.damaged, *damaged])
            job = _Job(workdir, group, cells, slots, hyper, manager, started, wait, *replaced)
            at, tree = _train(job, tree, at, progress)
    return Trained(tree, hyper, at, wait)


def _start(group: Group, chunk: Chunk, hyper: Hyper) -> tuple[Restored, list[Path]]:
    """(where the chunk goes on, on the devices; folders of checkpoints found to be damaged)."""
    damaged: list[Path] = []
    if chunk.saved:
        try:
            found = checkpoints.restore(chunk.saved, jax.eval_shape(group.init, hyper))
            return found._replace(tree=put_cells(group.layout, found.tree)), damaged
        except DamagedError as error:
            _say_damaged(error, chunk.cells[0].id)
            damaged += [folder for folder in chunk.folders if error.path.is_relative_to(folder)]
    beginning = Position(0, 0, [], [np.nan] * len(chunk.cells), [], [], 0.0)
    return Restored("state", beginning, group.init(hyper)), damaged


def _train(job: _Job, state: TrainState, at: Position, progress: Progress) -> tuple[Position, Any]:
    """(position, chosen variables) of the finished chunk."""
    config, steps, n = job.group.config, job.group.steps_per_epoch, len(job.cells)
    batches = chunk_batches(job.group, job.slots, at.epoch, at.step)
    losses: list[Any] = [np.asarray(loss, np.float32) for loss in at.losses]
    means = np.asarray(at.means, np.float32)
    for epoch in range(at.epoch, config.optim.epochs):
        clock = time.monotonic()
        for _ in range(len(losses), steps):
            batch = job.wait.next(batches, losses[-1:])
            state, loss = job.group.step(state, job.hyper, *batch)
            losses.append(loss)
            progress.update()
            if interrupt.requested():
                job.save("state", state, epoch, losses, means)
                interrupt.stop_if_requested()
        mean, losses = _of_cells(losses, n).mean(axis=0, dtype=np.float64), []
        job.wait.steps_s += time.monotonic() - clock
        last = epoch + 1 == config.optim.epochs
        state, validation = _validate(job.group, job.slots, state, job.hyper, last)
        going = _going(state, n, epoch * steps)
        means[going] = mean[going]
        if (
            epoch == at.epoch
        ):  # not before: if memory runs out, the chunk is made anew with fewer cells
            files.forget_epochs(job.workdir, [cell.id for cell in job.cells], epoch)
        _log_epoch(job, going, epoch, mean, validation)
        if not np.asarray(state.running)[:n].any():
            break
        if not last and (epoch + 1) % config.run.checkpoint_epochs == 0:
            job.save("state", state, epoch + 1, [], means)
    position = job.save("variables", state, config.optim.epochs, [], means)
    return position, selected_variables(state)


def _of_cells(losses: Sequence[Any], n: int) -> np.ndarray:
    """The losses of steps, [slots] or [cells] each, as float32 [steps, cells]."""
    rows = [np.asarray(loss)[:n] for loss in jax.device_get(list(losses))]
    return np.asarray(rows, np.float32).reshape(len(rows), n)


def _going(state: TrainState, n: int, start: int) -> list[int]:
    """Places of the first n cells that were still in training at step `start`."""
    diverged, stopped = np.asarray(state.diverged_at)[:n], np.asarray(state.stopped_at)[:n]
    ended = ((diverged >= 0) & (diverged < start)) | ((stopped >= 0) & (stopped <= start))
    return np.flatnonzero(~ended).tolist()


def _validate(
    group: Group, slots: Sequence[Cell], state: Any, hyper: Any, last: bool
) -> tuple[Any, np.ndarray | None]:
    """(state, [slots, 2] validation loss and Dice): each epoch under `best`, else at the end."""
    best = group.config.optim.select == "best"
    if not group.data.validation or not (best or last):
        return state, None
    sets = [group.data.validation[validation_stream(cell.config)] for cell in slots]
    batch = group.config.optim.batch_size
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
    values[np.asarray(state.diverged_at) >= 0] = (
        np.nan
    )  # the loss at which it was stopped is not a result
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
        val_loss, val_dice = (np.nan, np.nan) if validation is None else validation[i]
        row = {"cell": job.cells[i].id, "epoch": epoch, "step": step, "loss": _finite(loss[i])}
        rows.append(row | {"val_loss": _finite(val_loss), "val_dice": _finite(val_dice)})
    files.append_metrics(job.workdir, rows)


def _finite(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
