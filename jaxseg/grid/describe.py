"""What a grid would do, without doing it: cells, programs, steps, memory and expected time."""

from collections.abc import Mapping, Sequence
from typing import Any

from etils.epath import Path

from jaxseg.grid import workdir as files
from jaxseg.grid.cells import expand, group_cells
from jaxseg.grid.chunk import Chunk, plan_chunks
from jaxseg.grid.devices import pinned
from jaxseg.grid.group import Group, make_group
from jaxseg.grid.prepared import check_splits
from jaxseg.grid.record import read_feed
from jaxseg.grid.tuning import measure_step, tune


@pinned()
def describe(config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]], workdir: Path) -> str:
    """Prepares the data, compiles each program and times a few steps of it on random images.

    Raises what `run_grid` would raise for the same arguments.
    """
    cells = expand(config, grid)
    if (workdir / "config.json").exists():
        files.check_same_settings(workdir, config, grid)
    check_splits(cell.config for cell in cells)
    done = files.read_finished(workdir)
    groups = group_cells(cells)
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    finished = sum(cell.id in done for cell in cells)
    lines = [
        f"{len(cells)} cells, {finished} finished in {workdir}",
        f"{len(arms)} arms: {', '.join(arms)}",
        f"{len({cell.seed for cell in cells})} seeds; {len(groups)} compiled programs",
    ]
    for index, members in enumerate(groups):
        group = tune(make_group(members, kept_feed=read_feed(workdir)))
        missing = [cell for cell in members if cell.id not in done]
        lines += _describe_group(index, group, plan_chunks(workdir, missing, group.layout.slots))
    return "\n".join(lines)


def _describe_group(index: int, group: Group, pending: Sequence[Chunk]) -> list[str]:
    steps = group.steps_per_epoch * group.config.optim.epochs
    left = sum(_steps_left(chunk, group.steps_per_epoch, steps) for chunk in pending)
    compile_s, step_s, memory = measure_step(group)
    mesh = dict(group.layout.mesh.shape)
    return [
        *(f"  {line}" for line in (group.data.taken, *group.data.cautions)),
        f"program {index}: {len(group.cells)} cells in {len(pending)} chunks of "
        f"{group.layout.slots} on {mesh['cell']} × {mesh['data']} devices",
        f"  {group.steps_per_epoch} steps × {group.config.optim.epochs} epochs = "
        f"{steps} steps a chunk, {1e3 * step_s:.0f} ms a step; {group.feed} feed",
        f"  compiling {compile_s:.0f} s, training about {left * step_s:.0f} s",
        f"  memory per device: {memory / 2**20:.0f} MiB for state, batch and buffers",
    ]


def _steps_left(chunk: Chunk, steps_per_epoch: int, steps: int) -> int:
    """The steps that a chunk has yet to train."""
    if not chunk.saved:
        return steps
    ended, epoch, step = chunk.saved[0].progress
    return 0 if ended else steps - epoch * steps_per_epoch - step
