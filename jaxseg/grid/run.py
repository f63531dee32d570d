"""Runs a grid: prepares data, trains and scores chunk after chunk, stores results, resumes.

The one module that reads the config; below it plain keyword arguments are passed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxseg.data.progress import track
from jaxseg.grid import record
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell, expand, grid_axes, group_cells, resolve_overlays
from jaxseg.grid.chunk import train_chunk
from jaxseg.grid.evaluate import Examples
from jaxseg.grid.group import Group, compile_step, make_group
from jaxseg.grid.mapping import chunks


class Run(NamedTuple):
    """A grid on its way: `done` holds the rows of finished cells, `seconds` where time went."""

    workdir: Path
    groups: list[list[Cell]]
    axes: Mapping[str, Any]
    done: dict[str, files.Row]
    seconds: dict[str, float]

    def is_done(self, cells: Sequence[Cell]) -> bool:
        return all(cell.id in self.done for cell in cells)

    def write_cells(self) -> None:
        files.write_cells(self.workdir, self.groups, self.axes, self.done)


def run_grid(config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]], workdir: Path) -> Path:
    """Finishes what is missing of a grid in `workdir`, which afterwards holds all result files.

    Args:
        config: nested mapping of all fields; see configs/padding_ablation.py for their meaning.
        grid: overlays, one a cell.
        workdir: folder for results and checkpoints; the same call on it resumes.

    Raises:
        UsageError: settings that cannot run, or a workdir made by others.
        JaxsegError: data that cannot be used.
    """
    started = time.monotonic()
    cells = expand(config, grid)
    files.open_workdir(workdir, config, grid)
    axes = grid_axes(resolve_overlays(grid, cells[0].settings))
    seconds = dict.fromkeys(record.SECONDS, 0.0)
    run = Run(workdir, group_cells(cells), axes, files.read_finished(workdir), seconds)
    for members in run.groups:
        if not run.is_done(members):
            _finish_group(run, config, grid, members)
    record.write_progress(workdir, started, seconds)
    return workdir


def _finish_group(
    run: Run, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]], members: list[Cell]
) -> None:
    """Prepares and compiles a group, then trains and scores its missing chunks."""
    clock = time.monotonic()
    group = make_group(members, record.read_feed(run.workdir))
    record.write_config(run.workdir, config, grid, run.axes, group)
    examples = record.write_examples(run.workdir, group)
    run.write_cells()
    run.seconds["prepare_s"] += time.monotonic() - clock
    group, compile_s = compile_step(group)
    run.seconds["compile_s"] += compile_s
    pending = [c for c in chunks(members, group.layout.slots) if not run.is_done(c)]
    steps = len(pending) * group.steps_per_epoch * group.settings["optim.epochs"]
    work = _finish_chunks(run, group, pending, examples)
    for _ in track(work, steps, "training", unit="step"):
        pass


def _finish_chunks(
    run: Run, group: Group, pending: Sequence[list[Cell]], examples: Examples
) -> Iterator[None]:
    """Trains and scores chunk after chunk; yields after every training step."""
    for chunk in pending:
        clock = time.monotonic()
        trained = yield from train_chunk(run.workdir, group, chunk)
        wall_s = time.monotonic() - clock
        record.store_counts(run.workdir, group, chunk, trained, examples)
        diverged = np.asarray(trained.state.diverged_at)
        for i, cell in enumerate(chunk):
            row = record.cell_row(cell, trained.losses[i], int(diverged[i]), wall_s)
            run.done[cell.id] = row
        run.write_cells()
        run.seconds["train_s"] += wall_s
        run.seconds["steps_s"] += trained.wait.steps_s
        run.seconds["data_wait_s"] += trained.wait.wait_s
        run.seconds["evaluate_s"] += time.monotonic() - clock - wall_s
