"""Measures jaxseg against its own strategies and against PyTorch, side by side in one run.

    python launch/benchmark.py                            # step, bands and cells on this machine
    python launch/benchmark.py --parts step --peer torch --width 16 --size 64
    python launch/benchmark.py --parts bands,cells --out bench.jsonl

Needs no data set and no TensorFlow. Every repeat runs all variants one after the other, so that a
busy machine hits them alike; medians and quartiles of the repeats are printed, the ratio is that of
the medians. On CPU the peer gets the same favour as jaxseg: an allocator that keeps freed memory.

parts:
  step     training steps of a batch: jaxseg by cells at a time and by padding; with --peer torch
           PyTorch's variants on all threads and, on CPU, one process per core
  bands    band counts on 256 × 256 masks against the paper's way, in numpy: image by image and ring
           by ring, a copy of each mask with the rest blanked
  cells    seconds a cell over 1 … 16 cells, as a grid runs them: chunk after chunk
  compile  seconds until the first step, without a cache
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags

from jaxseg.errors import UsageError, check_choice, one_line_errors

_PARTS = ("step", "bands", "cells", "compile")
_WIDTH = flags.DEFINE_integer("width", 8, "Channels of the UNet's first level", lower_bound=2)
_SIZE = flags.DEFINE_integer("size", 64, "Pixels of the frame's side", lower_bound=16)
_BATCH = flags.DEFINE_integer("batch", 16, "Images in a batch", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 9, "Interleaved repeats", lower_bound=3)
_STEPS = flags.DEFINE_integer("steps", 3, "Training steps in a repeat", lower_bound=1)
_PEER = flags.DEFINE_enum("peer", "none", ["none", "torch"], "Whom to compare with")
_PER_DEVICE = flags.DEFINE_list("per_device", None, "Cells per device to try; default: 1 on CPU")
_ONLY = flags.DEFINE_list("parts", ["step", "bands", "cells"], f"Which of {', '.join(_PARTS)}")
_OUT = flags.DEFINE_string("out", None, "File to which JSON lines are appended")
_WORKER = flags.DEFINE_integer("torch_core", None, "Internal: one PyTorch process on this core")

Variant = Callable[[], None]
Row = dict[str, Any]


def measure(variants: dict[str, Variant], repeats: int) -> dict[str, list[float]]:
    """Seconds of every variant in every repeat, interleaved, after one call to warm up."""
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            clock = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - clock)
    return seconds


def row(part: str, name: str, seconds: list[float], per: float, **more: Any) -> Row:
    """Median and quartiles in milliseconds of `seconds` divided by `per`."""
    import numpy as np

    low, mid, high = (1e3 * np.quantile(seconds, q) / per for q in (0.25, 0.5, 0.75))
    return {"part": part, "name": name, "ms": mid, "ms_q1": low, "ms_q3": high, **more}


def batch(n_cells: int) -> tuple[Any, Any]:
    """Random images uint8 [cells, B, S, S, 3] and masks uint8 [cells, B, S, S]."""
    import numpy as np

    rng = np.random.default_rng(0)
    shape = (n_cells, _BATCH.value, _SIZE.value, _SIZE.value)
    masks = (rng.random(shape) < 0.3).astype(np.uint8)
    return rng.integers(0, 256, (*shape, 3), np.uint8), masks


def jax_step(padding: str, per_device: int, n_cells: int = 10**6) -> tuple[Any, Variant, int]:
    """(compiled step, a run of `steps` steps, cells trained at a time)."""
    import jax
    import numpy as np

    from jaxseg.grid.mapping import make_layout, map_cells, put
    from jaxseg.grid.train import Hyper, make_program
    from jaxseg.nets.padding import STANDARD_MODES, padding_code
    from jaxseg.nets.unet import UNet

    as_data = padding in STANDARD_MODES and padding != "zeros"
    net = UNet(width=_WIDTH.value, padding="zeros" if as_data else padding)
    program = make_program(
        net, size=_SIZE.value, loss="dice", select_best=False, padding_as_data=as_data
    )
    layout = make_layout(n_cells, _BATCH.value, per_device, jax.local_devices())
    slots = layout.slots
    code = padding_code(padding) if as_data else 0
    hyper = Hyper(
        np.arange(slots, dtype=np.int32),
        np.full(slots, 1e-3, np.float32),
        np.full(slots, code, np.int32),
    )
    hyper = put(layout, "cell", hyper)
    data = [put(layout, "batch", array) for array in batch(slots)]
    state = map_cells(program.init, layout, ("cell",))(hyper)
    kinds = ("cell", "cell", "batch", "batch")
    step = map_cells(program.step, layout, kinds, donate=(0,)).lower(state, hyper, *data).compile()
    held = [state]

    def run() -> None:
        for _ in range(_STEPS.value):
            held[0], _ = step(held[0], hyper, *data)
        jax.block_until_ready(held[0])

    return step, run, slots


class TorchProcesses:
    """PyTorch on CPU as its users run several cells: one pinned one-thread process per core."""

    def __init__(self, cores: list[int]):
        command = [sys.executable, __file__, *_settings()]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.children = [
            subprocess.Popen([*command, f"--torch_core={core}"], **pipes) for core in cores
        ]
        self.run()

    def run(self) -> None:
        for child in self.children:
            print("go", file=child.stdin, flush=True)
        for child in self.children:
            if child.stdout.readline().strip() != "done":  # type: ignore[union-attr]
                raise RuntimeError(
                    "a PyTorch process has ended; run with --parts step alone to see"
                )

    def close(self) -> None:
        for child in self.children:
            child.stdin.close()  # type: ignore[union-attr]
            child.wait()


def _settings() -> list[str]:
    flag_values = (_WIDTH, _SIZE, _BATCH, _STEPS)
    return [f"--{flag.name}={flag.value}" for flag in flag_values]


def torch_steps(step: Any) -> Variant:
    images, masks = (array[0] for array in batch(1))

    def run() -> None:
        for _ in range(_STEPS.value):
            loss = step(images, masks)
        loss.item()  # waits for the device

    return run


def torch_worker() -> None:
    """One pinned process: a run of steps for every line on stdin."""
    import torch
    from torch_peer import make_step

    torch.set_num_threads(1)
    run = torch_steps(make_step(_WIDTH.value))
    run()
    for _ in sys.stdin:
        run()
        print("done", flush=True)


def torch_variants(device: str) -> dict[str, Variant]:
    """PyTorch's variants by name, those that fail to build left out with a line that says so."""
    from torch_peer import make_step

    options = {
        "eager": {"channels_last": False},
        "eager channels_last": {},
        "compile channels_last": {"compiled": True},
        "autocast bfloat16 channels_last": {"bfloat16": True},
    }
    found = {}
    for name, choice in options.items():
        run = torch_steps(make_step(_WIDTH.value, device=device, **choice))
        try:
            run()
        except Exception as error:
            print(f"torch {name}: left out, {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        found[f"torch {name}"] = run
    return found


def bench_step() -> list[Row]:
    """Training steps, milliseconds per cell and step."""
    import jax

    platform = jax.local_devices()[0].platform
    per_device = [int(n) for n in _PER_DEVICE.value or (["1"] if platform == "cpu" else "1248")]
    variants: dict[str, Variant] = {}
    cells: dict[str, int] = {}
    about: dict[str, Row] = {}
    for padding, n in [("zeros", n) for n in per_device] + [("reflect", per_device[-1])]:
        name = f"jaxseg {padding}, {n} per device"
        step, variants[name], cells[name] = jax_step(padding, n)
        about[name] = roofline(step)
    processes = None
    if _PEER.value == "torch":
        variants |= torch_variants("cpu" if platform == "cpu" else "cuda")
        if platform == "cpu" and len(jax.local_devices()) > 1:
            processes = TorchProcesses(sorted(os.sched_getaffinity(0)))
            name = "torch eager channels_last, one process per core"
            variants[name], cells[name] = processes.run, len(processes.children)
    try:
        seconds = measure(variants, _REPEATS.value)
    finally:
        if processes:
            processes.close()
    rows = [
        row("step", name, seconds[name], _STEPS.value * cells.get(name, 1), **about.get(name, {}))
        for name in variants
    ]
    fp32 = [r["ms"] for r in rows if r["name"].startswith("torch") and "bfloat16" not in r["name"]]
    for r in rows:
        r["ratio"] = min(fp32) / r["ms"] if fp32 else rows[0]["ms"] / r["ms"]
        if "gflop" in r:
            r["gflop_per_s"] = r["gflop"] / r["ms"] * 1e3
    return rows


def roofline(step: Any) -> Row:
    """GFLOP and GB of one cell's step, as XLA counts them on one device."""
    analysis = step.cost_analysis() or {}
    return {
        "gflop": analysis.get("flops", 0.0) / 1e9,
        "gbyte": analysis.get("bytes accessed", 0.0) / 1e9,
    }


def ring_alone(mask: Any, outer: int, inner: int) -> Any:
    """A copy of a mask with all but one square ring blanked, as the paper's code makes them."""
    import numpy as np

    half = len(mask) // 2
    kept = np.zeros(mask.shape, np.float32)
    frame, hole = (slice(half - edge, half + edge) for edge in (outer, max(inner, 0)))
    kept[frame, frame] = mask[frame, frame]
    kept[hole, hole] = 0
    return kept


def bench_bands() -> list[Row]:
    """Band counts, milliseconds per mask pair at 256 × 256."""
    import jax
    import numpy as np

    from jaxseg.metrics.bands import band_counts, square_rings

    rng = np.random.default_rng(0)
    shape = (32, 256, 256, 1)
    chosen, truth = rng.random(shape) < 0.4, rng.random(shape) < 0.4
    rings = square_rings(256, 10)
    counted = jax.jit(lambda a, b: band_counts(a, b, rings))

    def loop() -> None:
        for pair in zip(chosen[..., 0], truth[..., 0]):
            for edge in range(128, 0, -10):
                a, b = (ring_alone(mask, edge, edge - 10) for mask in pair)
                _ = (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1)

    variants = {"jaxseg": lambda: jax.block_until_ready(counted(chosen, truth)), "loop": loop}
    seconds = measure(variants, _REPEATS.value)
    rows = [row("bands", name, values, len(chosen)) for name, values in seconds.items()]
    return [r | {"ratio": rows[1]["ms"] / r["ms"]} for r in rows]


def bench_cells() -> list[Row]:
    """Milliseconds a cell and step over grids of 1 … 16 cells, chunk after chunk."""
    variants, cells = {}, {}
    for n in (1, 2, 4, 8, 16):
        _, run, slots = jax_step("zeros", 0, n)
        chunks = -(-n // slots)
        variants[f"{n} cells"] = lambda run=run, chunks=chunks: [run() for _ in range(chunks)]
        cells[f"{n} cells"] = n
    seconds = measure(variants, _REPEATS.value)
    rows = [row("cells", n, seconds[n], cells[n] * _STEPS.value) for n in variants]
    best = min(r["ms"] for r in rows)
    return [r | {"ratio": best / r["ms"]} for r in rows]


def bench_compile() -> list[Row]:
    """Seconds to compile the training step, each from nothing."""
    import jax

    rows = []
    for padding in ("zeros", "reflect"):
        jax.clear_caches()
        clock = time.perf_counter()
        jax_step(padding, 0)
        seconds = [time.perf_counter() - clock]
        rows.append(row("compile", f"start and step, {padding}", seconds, 1))
    return [r | {"ratio": rows[0]["ms"] / r["ms"]} for r in rows]


def machine() -> Row:
    """What was measured on, for every row."""
    import jax

    devices = jax.local_devices()
    about = {"device": devices[0].device_kind, "devices": len(devices), "jax": jax.__version__}
    settings = {flag.name: flag.value for flag in (_WIDTH, _SIZE, _BATCH, _STEPS, _REPEATS)}
    if _PEER.value == "torch":
        import torch

        about["torch"] = torch.__version__
    return about | settings


def show(rows: list[Row]) -> None:
    """Prints a part's rows as a table."""
    print(f"\n{rows[0]['part']:<50} {'median ms':>10} {'quartiles':>17} {'ratio':>7}")
    for r in rows:
        spread = f"{r['ms_q1']:.2f} – {r['ms_q3']:.2f}"
        more = f"  {r['gflop_per_s']:.0f} GFLOP/s" if r.get("gflop_per_s") else ""
        print(f"{r['name']:<50} {r['ms']:>10.2f} {spread:>17} {r['ratio']:>7.2f}{more}")


def main(argv: list[str]) -> None:
    """Runs the chosen parts."""
    app.define_help_flags()
    try:
        rest = flags.FLAGS(argv)[1:]
    except flags.Error as error:
        raise UsageError(f"{error}; see the head of {Path(__file__).name}") from error
    if rest:
        raise UsageError(f"argument {rest[0]!r}: not understood")
    from jaxseg.grid.devices import keep_memory, start_devices

    if _WORKER.value is not None:
        os.sched_setaffinity(0, {_WORKER.value})
        keep_memory()
        torch_worker()
        return
    parts = [check_choice("--parts", part, _PARTS) for part in _ONLY.value]
    start_devices(None)
    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    bench = {"step": bench_step, "bands": bench_bands, "cells": bench_cells}
    bench["compile"] = bench_compile
    for part in parts:
        rows = bench[part]()
        show(rows)
        if _OUT.value:
            with Path(_OUT.value).open("a") as file:
                file.writelines(json.dumps(r | about) + "\n" for r in rows)


if __name__ == "__main__":
    with one_line_errors("benchmark.py"):
        main(sys.argv)
