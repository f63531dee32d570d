"""Runs a grid: prepares data, trains and scores chunk after chunk, stores results, resumes."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from etils.epath import Path

from jaxseg.errors import printable
from jaxseg.grid import locks, record
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell, expand, group_cells
from jaxseg.grid.chunk import plan_chunks, train_chunk
from jaxseg.grid.config import make_config
from jaxseg.grid.devices import pinned
from jaxseg.grid.evaluate import Examples
from jaxseg.grid.group import (
    Group,
    check_batches,
    compile_step,
    halve,
    is_out_of_memory,
    make_group,
)
from jaxseg.grid.prepared import check_splits
from jaxseg.grid.processes import Share, shares
from jaxseg.grid.storage import as_folder
from jaxseg.grid.sweeps import grid_axes, resolve_overlays
from jaxseg.grid.tuning import tune
from jaxseg.progress import ProgressBar


@dataclass
class Run:
    """A grid on its way, as one process sees it.

    `mine` holds this process's cells of each group and `parts` the most that any process has of
    it; `done` holds the rows of finished cells, `seconds` where time went.
    """

    workdir: Path
    config: Mapping[str, Any]
    grid: Sequence[Mapping[str, Any]]
    share: Share
    groups: list[list[Cell]]
    mine: list[list[Cell]]
    parts: list[int]
    axes: dict[str, list[Any]]
    done: dict[str, files.Row]
    seconds: record.Seconds

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those of `cells` that have not ended."""
        return [cell for cell in cells if cell.id not in self.done]

    def merge_cells(self) -> None:
        """Writes cells.csv and takes in what other processes have ended."""
        self.done = record.merge_cells(self.workdir, self.groups, list(self.axes), self.done)


@dataclass
class Steps:
    """The steps of a run: each is shown, checks that this process still owns the cells, and saves
    the times now and then."""

    bar: ProgressBar
    check_lock: Callable[[], None]
    seconds: record.Seconds

    def update(self, steps: int = 1) -> None:
        """Counts further steps; JaxsegError once the lock is lost."""
        self.bar.update(steps)
        self.check_lock()
        self.seconds.write_now_and_then()


@pinned()
def run_grid(
    config: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]],
    workdir: str | os.PathLike[str],
    share: Share = Share(),  # noqa: B008
) -> list[str]:
    """Finishes what is missing of this process's share of a grid in `workdir`.

    Args:
        config: nested mapping of all fields; see configs/base.py for their meaning.
        grid: overlays, one a cell.
        workdir: folder for results and checkpoints; the same call on it resumes.
        share: which of several processes on `workdir` this is.

    Returns:
        The cells that other processes have yet to finish; when there are none, the workdir holds
        all result files.

    Raises:
        UsageError: settings that cannot run, a workdir made with other settings, more processes
        than cells.
        JaxsegError: data that cannot be used, cells that another process is training, no device.
    """
    run = _open_run(config, grid, as_folder(workdir), share)
    if missing := [cell for mine in run.mine for cell in run.missing(mine)]:
        check_splits(cell.config for cell in missing)
        ids = [cell.id for cell in missing]
        with locks.hold(run.workdir, ids) as check_lock, run.seconds.written():
            run.done.update(files.read_finished(run.workdir, run.done))
            for index, mine in enumerate(run.mine):
                if run.missing(mine):
                    _finish_group(run, index, check_lock)
    done = record.merge_all(run.workdir, run.groups, list(run.axes), run.done)
    return [cell.id for group in run.groups for cell in group if cell.id not in done]


def _open_run(
    config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]], workdir: Path, share: Share
) -> Run:
    seconds = record.Seconds(workdir, share)
    groups = group_cells(expand(config, grid))
    split = shares(groups, share.count)
    files.open_workdir(workdir, config, grid)
    base = make_config(config).flat()
    return Run(
        workdir, config, grid, share, groups,
        mine=split[share.index],
        parts=[max(len(part[index]) for part in split) for index in range(len(groups))],
        axes=grid_axes(resolve_overlays(grid, base), base),
        done=files.read_finished(workdir),
        seconds=seconds,
    )  # fmt: skip


def _finish_group(run: Run, index: int, check_lock: Callable[[], None]) -> None:
    """Prepares a group and finishes this process's part with as many cells at a time as fit."""
    with run.seconds.of("prepare_s"):
        feed = record.read_feed(run.workdir)
        group = tune(make_group(run.groups[index], run.parts[index], feed))
        check_batches(group, [cell for mine in run.mine for cell in run.missing(mine)])
        files.check_data(run.workdir, group.data.checksums)
        record.write_config(run.workdir, run.config, run.grid, run.axes, group, run.share.count)
        examples = record.write_examples(run.workdir, group)
        run.merge_cells()
    for line in (group.data.taken, *(f"! {caution}" for caution in group.data.cautions)):
        print(printable(line), file=sys.stderr, flush=True)
    run.seconds.write()  # a signal during compilation may end the process at once
    while True:
        try:
            with run.seconds.of("compile_s"):
                group, _ = compile_step(group)
            _finish_chunks(run, group, run.missing(run.mine[index]), examples, check_lock)
            return
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
        group = halve(group)


def _finish_chunks(
    run: Run,
    group: Group,
    missing: Sequence[Cell],
    examples: Examples,
    check_lock: Callable[[], None],
) -> None:
    """Trains and scores a compiled group's missing cells, chunk after chunk."""
    pending = plan_chunks(run.workdir, missing, group.layout.slots)
    total = len(pending) * group.steps_per_epoch * group.config.optim.epochs
    with ProgressBar(total, "training", "step") as bar:
        steps = Steps(bar, check_lock, run.seconds)
        for chunk in pending:
            with run.seconds.of("train_s"):
                trained = train_chunk(run.workdir, group, chunk, steps)
            with run.seconds.of("evaluate_s"):
                record.store_counts(run.workdir, group, chunk.cells, trained, examples)
                for i, cell in enumerate(chunk.cells):
                    row = record.cell_row(cell, i, trained, group.steps_per_epoch)
                    files.write_status(run.workdir, cell.id, row)
                run.merge_cells()
            run.seconds["steps_s"] += trained.wait.steps_s
            run.seconds["data_wait_s"] += trained.wait.wait_s
