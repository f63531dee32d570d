"""Measures jaxseg against its own strategies and against PyTorch, side by side in one run.

    python launch/benchmark.py                            # step, bands and cells on this machine
    python launch/benchmark.py --parts step --peer torch --width 16 --size 64
    python launch/benchmark.py --parts grid --peer torch --epochs 10 --data DIR
    python launch/benchmark.py --parts bands,cells --out bench.jsonl

It uses no data set and, except for `preparation`, no TensorFlow. Every repeat runs all variants one
after the other, so that a busy machine slows all of them; medians and quartiles of the
repeats are printed, the ratio is that of the medians, above 1 where a row is faster than what it is
compared with. On CPU PyTorch also gets the allocator that keeps freed memory, as jaxseg has it.

parts:
  step         training steps of a batch, per cell: jaxseg by cells at a time, padding and
               precision, with its share of the device's measured matrix peak; with --peer torch
               PyTorch's variants and, on CPU, one process per core (compared with the best float32)
  bands        band counts on 256 × 256 masks against a loop over images and rings
  cells        milliseconds a cell over 1 … 64 cells, as a grid runs them: chunk after chunk
  compile      milliseconds until the first steps are done, without a cache
  preparation  an image kept prepared against decoding it in every epoch
  grid         a grid of --cells from files to scores, started afresh, against as many runs of a
               PyTorch script that loads and scores as the paper's code does (minutes)
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from absl import app, flags

from jaxseg.errors import UsageError, check_choice, check_writable, one_line_errors

_PARTS = ("step", "bands", "cells", "compile", "preparation", "grid")
_WIDTH = flags.DEFINE_integer("width", 8, "Channels of the UNet's first level", lower_bound=2)
_SIZE = flags.DEFINE_integer("size", 64, "Pixels of the frame's side", lower_bound=16)
_BATCH = flags.DEFINE_integer("batch", 16, "Images in a batch", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 9, "Interleaved repeats", lower_bound=3)
_STEPS = flags.DEFINE_integer("steps", 3, "Training steps in a repeat", lower_bound=1)
_PEER = flags.DEFINE_enum("peer", "none", ["none", "torch"], "Framework to compare with")
_PER_DEVICE = flags.DEFINE_list("per_device", [], "Cells per device to try; default: 1 on CPU")
_ONLY = flags.DEFINE_list("parts", ["step", "bands", "cells"], f"Which of {', '.join(_PARTS)}")
_CELLS = flags.DEFINE_integer("cells", 12, "Part grid: cells, a multiple of 4", lower_bound=4)
_EPOCHS = flags.DEFINE_integer("epochs", 10, "Part grid: epochs of each cell", lower_bound=1)
_DATA = flags.DEFINE_string(
    "data", "", "Parts grid, preparation: folder with {train,test}/{images,masks}; default: drawn"
)
_FILE_HEIGHT = flags.DEFINE_integer(
    "file_height", 767, "Parts grid, preparation: height of drawn files; ISIC's begin at 767"
)
_OUT = flags.DEFINE_string("out", None, "File to which JSON lines are appended")
_WORKER = flags.DEFINE_integer("torch_core", None, "Internal: one PyTorch process on this core")


def read_setting() -> Any:
    """The command line as the parts take it."""
    from benchmarks.timing import Setting

    plain = (_WIDTH, _SIZE, _BATCH, _STEPS, _REPEATS, _PEER, _CELLS, _EPOCHS, _DATA, _FILE_HEIGHT)
    values: dict[str, Any] = {flag.name: flag.value for flag in plain}
    return Setting(**values, per_device=tuple(map(int, _PER_DEVICE.value)))


def find_parts() -> dict[str, Any]:
    """The functions of the chosen parts, by name; only theirs are imported."""
    names = [check_choice("--parts", part, _PARTS) for part in _ONLY.value]
    found: dict[str, Any] = {}
    if {"step", "cells", "compile"} & {*names}:
        from benchmarks.training import bench_cells, bench_compile, bench_step

        found |= {"step": bench_step, "cells": bench_cells, "compile": bench_compile}
    if "bands" in names:
        from benchmarks.bands import bench_bands

        found["bands"] = bench_bands
    if "preparation" in names:
        from benchmarks.preparation import bench_preparation

        found["preparation"] = bench_preparation
    if "grid" in names:
        from benchmarks.whole_grid import bench_grid

        found["grid"] = bench_grid
    return {name: found[name] for name in names}


def machine() -> dict[str, Any]:
    """The machine and versions, for every row."""
    import jax

    devices = jax.local_devices()
    about = {"device": devices[0].device_kind, "devices": len(devices), "jax": jax.__version__}
    if _PEER.value == "torch":
        import torch

        about["torch"] = torch.__version__
    return about


def show(rows: list[dict]) -> None:
    """Prints a part's rows as a table."""
    width = max(50, *(len(r["name"]) for r in rows))
    print(f"\n{rows[0]['part']:<{width}} {'median ms':>10} {'quartiles':>19} {'ratio':>7}")
    for r in rows:
        spread = f"{r['ms_q1']:.2f} – {r['ms_q3']:.2f}"
        more = ""
        if r.get("gflop_per_s"):
            more = f"  {r['gflop_per_s']:.0f} of {r['peak']:.0f} GFLOP/s ({r['share']:.0%})"
        print(f"{r['name']:<{width}} {r['ms']:>10.2f} {spread:>19} {r['ratio']:>7.2f}{more}")


def main(argv: list[str]) -> None:
    """Runs the chosen parts."""
    app.define_help_flags()
    try:
        rest = flags.FLAGS(argv)[1:]
    except flags.Error as error:
        raise UsageError(f"{error}; see --help") from error
    if rest:
        raise UsageError(f"argument {rest[0]!r}: not understood; see --help")
    from jaxseg.grid.devices import check_devices, keep_memory, pinned, start_devices

    setting = read_setting()
    if _WORKER.value is not None:
        from benchmarks.training import torch_worker

        os.sched_setaffinity(0, {_WORKER.value})
        keep_memory()
        torch_worker(setting)
        return
    parts = find_parts()
    if _OUT.value:
        check_writable("--out", Path(_OUT.value).parent)
    start_devices(None)
    check_devices()
    about = machine() | setting._asdict()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for bench in parts.values():
        with pinned():
            rows = bench(setting)
        show(rows)
        if _OUT.value:
            with Path(_OUT.value).open("a") as file:
                file.writelines(json.dumps(r | about) + "\n" for r in rows)


if __name__ == "__main__":
    with one_line_errors("benchmark.py"):
        main(sys.argv)
