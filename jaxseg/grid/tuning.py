"""How many cells a device trains at once: measured unless the config sets it, kept per machine."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxseg.errors import JaxsegError, one_line
from jaxseg.grid.group import Group, compile_step, is_out_of_memory, remap, stack_hyper
from jaxseg.grid.mapping import fill, put
from jaxseg.grid.storage import write_json
from jaxseg.homes import default_data_dir

_TIMED_STEPS = 3
_WORTH_IT = 0.97  # more cells at once must spare 3 % a cell: they also cost memory and compiling
_SHAPING = ("net.", "optim.batch_size", "optim.loss", "optim.select", "data.size")


class StepCost(NamedTuple):
    """Seconds to compile a chunk's step, seconds a step, bytes of memory per device."""

    compile_s: float
    step_s: float
    memory: int


def measure_step(group: Group) -> StepCost:
    """Compiles a group's training step and times a few steps of it on random images."""
    size = group.config.data.size
    slots = fill(group.cells[: group.layout.slots], group.layout.slots)
    hyper = put(group.layout, "cell", stack_hyper(slots))
    state = group.init(hyper)
    shape = (len(slots), group.config.optim.batch_size, size, size)
    rng = np.random.default_rng(0)
    images = put(group.layout, "batch", rng.integers(0, 256, (*shape, 3), np.uint8))
    masks = put(group.layout, "batch", rng.integers(0, 2, shape, np.uint8))
    group, compile_s = compile_step(group)
    analysis = group.step.memory_analysis()
    memory = (analysis.argument_size_in_bytes + analysis.temp_size_in_bytes) if analysis else 0
    state, loss = group.step(state, hyper, images, masks)
    jax.block_until_ready(loss)
    clock = time.monotonic()
    for _ in range(_TIMED_STEPS):
        state, loss = group.step(state, hyper, images, masks)
    jax.block_until_ready(loss)
    return StepCost(compile_s, (time.monotonic() - clock) / _TIMED_STEPS, memory)


def tune(group: Group, cache: Path | None = None) -> Group:
    """The group with as many cells per device as train a cell fastest on these devices.

    `run.cells_per_device` is taken as it is unless it is 0, and then CPUs get one: there a vmapped
    convolution becomes a grouped one and every cell slower (7 to 10 times). Elsewhere 1, 2, 4, …
    are tried until it no longer pays; the choice is kept in `cache`, by default
    cells_per_device.json in the cache folder, by device kind, JAX version and what shapes the
    program.
    """
    device = group.layout.mesh.devices.flat[0]
    if group.config.run.cells_per_device or device.platform == "cpu":
        return group
    path = cache or default_data_dir() / "cells_per_device.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    key = _key(group, device.device_kind)
    if key not in known:
        known[key] = measured_count(group)
        try:
            write_json(path, known)
        except (JaxsegError, OSError) as error:  # a cache that may only be read serves all the same
            print(f"not kept for the next run: {one_line(error)}", file=sys.stderr, flush=True)
    return remap(group, known[key])


def measured_count(group: Group) -> int:
    """The number of cells per device that trains a cell fastest; prints the timings on stderr."""
    most = -(-group.part // group.layout.mesh.devices.size)
    count, found = fastest(lambda n: _seconds_per_cell(remap(group, n)), most)
    timings = ", ".join(f"{n}: {1e3 * s:.1f}" for n, s in found.items())
    line = f"{count} cells per device, measured (ms a cell and step, by cells: {timings})"
    print(line, file=sys.stderr, flush=True)
    return count


def fastest(seconds_per_cell: Callable[[int], float], most: int) -> tuple[int, dict[int, float]]:
    """Doubles the count up to `most` while it pays: (best count, seconds by count).

    A count that does not fit into memory ends the search; the best is 1 if not even that fits.
    """
    found: dict[int, float] = {}
    count = 1
    while count <= max(most, 1):
        try:
            found[count] = seconds_per_cell(count)
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        if count > 1 and found[count] > _WORTH_IT * found[count // 2]:
            break
        count *= 2
    return min(found, key=lambda n: found[n], default=1), found


def _seconds_per_cell(group: Group) -> float:
    return measure_step(group).step_s / group.layout.slots


def _key(group: Group, kind: str) -> str:
    shaping = {k: v for k, v in group.config.flat().items() if k.startswith(_SHAPING)}
    most = -(-group.part // group.layout.mesh.devices.size)
    return json.dumps([kind, jax.__version__, most, shaping], sort_keys=True)
