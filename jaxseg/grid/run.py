"""Runs a grid: prepares data, trains and scores chunk after chunk, stores results, resumes.

The one module that reads the config; below it plain keyword arguments are passed.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from etils.epath import Path

from jaxseg.data.progress import track
from jaxseg.escape import printable
from jaxseg.grid import locks, merged, record
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell, base_settings, expand, group_cells
from jaxseg.grid.chunk import train_chunk
from jaxseg.grid.evaluate import Examples
from jaxseg.grid.group import (
    Group,
    check_batches,
    compile_step,
    halve,
    is_out_of_memory,
    make_group,
)
from jaxseg.grid.numerics import pinned
from jaxseg.grid.prepared import check_splits
from jaxseg.grid.processes import Share, shares
from jaxseg.grid.resume import Chunk, plan_chunks
from jaxseg.grid.storage import as_folder
from jaxseg.grid.sweeps import grid_axes, resolve_overlays
from jaxseg.grid.tuning import tune


class Run(NamedTuple):
    """A grid on its way, as one process sees it.

    `mine` holds this process's cells of each group and `parts` the most that any process has of
    it; `done` holds the rows of finished cells, `seconds` where time went.
    """

    workdir: Path
    share: Share
    groups: list[list[Cell]]
    mine: list[list[Cell]]
    parts: list[int]
    axes: Mapping[str, Any]
    done: dict[str, files.Row]
    seconds: record.Seconds

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those of `cells` that have not ended."""
        return [cell for cell in cells if cell.id not in self.done]

    def merge_cells(self) -> None:
        """Writes cells.csv and takes in what other processes have ended."""
        self.done.update(merged.merge_cells(self.workdir, self.groups, self.axes, self.done))


@pinned()
def run_grid(
    config: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]],
    workdir: str | os.PathLike[str],
    share: Share = Share(),  # noqa: B008
) -> list[str]:
    """Finishes what is missing of this process's share of a grid in `workdir`.

    Args:
        config: nested mapping of all fields; see configs/padding_ablation.py for their meaning.
        grid: overlays, one a cell.
        workdir: folder for results and checkpoints; the same call on it resumes.
        share: which of several processes on `workdir` this is.

    Returns:
        The cells that other processes have yet to finish; when there are none, the workdir holds
        all result files.

    Raises:
        UsageError: settings that cannot run, a workdir made by others, more processes than cells.
        JaxsegError: data that cannot be used, cells that another process is training, no device.
    """
    run = _open_run(config, grid, as_folder(workdir), share)
    if missing := [cell for mine in run.mine for cell in run.missing(mine)]:
        check_splits(cell.settings for cell in missing)
        with (
            locks.hold(run.workdir, [cell.id for cell in missing]) as check_lock,
            record.progress_kept(run.workdir, share, run.seconds),
        ):
            run.done.update(files.read_finished(run.workdir, run.done))
            for index, mine in enumerate(run.mine):
                if run.missing(mine):
                    _finish_group(run, config, grid, index, check_lock)
    done = merged.merge_all(run.workdir, run.groups, run.axes, run.done)
    return [cell.id for group in run.groups for cell in group if cell.id not in done]


def _open_run(
    config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]], workdir: Path, share: Share
) -> Run:
    seconds = record.Seconds()
    cells = expand(config, grid)
    groups = group_cells(cells)
    split = shares(groups, share.count)
    files.open_workdir(workdir, config, grid)
    base = base_settings(config)
    axes = grid_axes(resolve_overlays(grid, base), base)
    parts = [max(len(part[index]) for part in split) for index in range(len(groups))]
    done = files.read_finished(workdir)
    return Run(workdir, share, groups, split[share.index], parts, axes, done, seconds)


def _finish_group(
    run: Run,
    config: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]],
    index: int,
    check_lock: Callable[[], None],
) -> None:
    """Prepares a group and finishes this process's part with as many cells at a time as fit."""
    with run.seconds.of("prepare_s"):
        feed = record.read_feed(run.workdir)
        group = tune(make_group(run.groups[index], run.parts[index], feed))
        check_batches(group, [cell for mine in run.mine for cell in run.missing(mine)])
        files.check_data(run.workdir, group.data.checksums)
        record.write_config(run.workdir, config, grid, run.axes, group, run.share.count)
        examples = record.write_examples(run.workdir, group)
        run.merge_cells()
    for line in (group.data.taken, *(f"! {caution}" for caution in group.data.cautions)):
        print(printable(line), file=sys.stderr, flush=True)
    # A signal that meets a compiler may end the process at once.
    record.add_progress(run.workdir, run.share, run.seconds)
    while not _fits(run, group, index, examples, check_lock):
        group = halve(group)


def _fits(
    run: Run, group: Group, index: int, examples: Examples, check_lock: Callable[[], None]
) -> bool:
    """Compiles a group, trains and scores its missing chunks; False when memory did not suffice."""
    try:
        with run.seconds.of("compile_s"):
            group, _ = compile_step(group)
        missing = run.missing(run.mine[index])
        pending = plan_chunks(run.workdir, missing, group.layout.slots)
        steps = len(pending) * group.steps_per_epoch * group.settings["optim.epochs"]
        work = _finish_chunks(run, group, pending, examples)
        for _ in track(work, steps, "training", unit="step"):
            check_lock()
            record.keep_progress(run.workdir, run.share, run.seconds)
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _finish_chunks(
    run: Run, group: Group, pending: Sequence[Chunk], examples: Examples
) -> Iterator[None]:
    """Trains and scores chunk after chunk; yields after every training step."""
    for chunk in pending:
        with run.seconds.of("train_s"):
            trained = yield from train_chunk(run.workdir, group, chunk)
        with run.seconds.of("evaluate_s"):
            record.store_counts(run.workdir, group, chunk.cells, trained, examples)
            for i, cell in enumerate(chunk.cells):
                row = record.cell_row(cell, i, trained, group.steps_per_epoch)
                files.write_status(run.workdir, cell.id, row)
            run.merge_cells()
        run.seconds["steps_s"] += trained.wait.steps_s
        run.seconds["data_wait_s"] += trained.wait.wait_s
