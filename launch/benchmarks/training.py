"""Training: the step by strategy, padding and precision, beside PyTorch; its cost by grid size."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from benchmarks.jax_step import Step, cost, make_step, matrix_peak
from benchmarks.timing import Row, Setting, Variant, measure, random_batch, rated, row, timed

_PER_CORE = "torch eager channels_last, one process per core"


def bench_step(setting: Setting) -> list[Row]:
    """Training steps, milliseconds per cell and step."""
    platform = jax.local_devices()[0].platform
    steps = _jax_steps(setting, platform)
    variants = {name: step.run for name, step in steps.items()}
    cells = {name: step.slots for name, step in steps.items()}
    with _torch_processes(setting, platform) as processes:
        if setting.peer == "torch":
            variants |= _torch_variants(setting, "cpu" if platform == "cpu" else "cuda")
        if processes is not None:
            variants[_PER_CORE], cells[_PER_CORE] = processes.run, len(processes.children)
        seconds = measure(variants, setting.repeats)
    rows = [
        row("step", name, values, setting.steps * cells.get(name, _ensemble_size(name)))
        for name, values in seconds.items()
    ]
    return _with_shares(rated(rows, _best_peer(rows)), steps)


def _jax_steps(setting: Setting, platform: str) -> dict[str, Step]:
    counts = setting.per_device or ((1,) if platform == "cpu" else (1, 2, 4, 8))
    asked = [("zeros", n, "float32") for n in counts]
    asked += [("reflect", counts[-1], "float32"), ("zeros", counts[-1], "bfloat16")]
    return {
        f"jaxseg {padding}, {n} per device" + (", bfloat16" if dtype != "float32" else ""):
        make_step(setting, padding, n, dtype=dtype)
        for padding, n, dtype in asked
    }  # fmt: skip


def _best_peer(rows: list[Row]) -> float:
    """Milliseconds of PyTorch's fastest float32 variant; of the first row where there is none."""
    peers = [r["ms"] for r in rows if r["name"].startswith("torch") and "bf" not in r["name"]]
    return min(peers, default=rows[0]["ms"])


def _with_shares(rows: list[Row], steps: dict[str, Step]) -> list[Row]:
    """Rows with what XLA counts for a step, GFLOP/s of a device, and their share of its peak."""
    peaks = {dtype: matrix_peak(dtype) for dtype in ("float32", "bfloat16")}
    for r in rows:
        if r["name"] in steps:
            step = steps[r["name"]]
            dtype = "bfloat16" if "bfloat16" in r["name"] else "float32"
            counted = cost(step)
            # A device's cells take r["ms"] each of all devices' time.
            seconds = r["ms"] * step.slots / 1e3
            rate = counted["gflop"] / seconds
            r |= counted | {"gflop_per_s": rate, "peak": peaks[dtype], "share": rate / peaks[dtype]}
    return rows


class TorchProcesses:
    """PyTorch on CPU as its users run several cells: one pinned one-thread process per core."""

    def __init__(self, setting: Setting, cores: list[int]):
        script = Path(__file__).parents[1] / "benchmark.py"
        names = ("width", "size", "batch", "steps")
        same = [f"--{name}={getattr(setting, name)}" for name in names]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.children = [
            subprocess.Popen([sys.executable, script, *same, f"--torch_core={core}"], **pipes)
            for core in cores
        ]
        self.run()

    def run(self) -> None:
        """One run of steps in every process, at the same time."""
        for child in self.children:
            print("go", file=child.stdin, flush=True)
        for child in self.children:
            if child.stdout.readline().strip() != "done":  # type: ignore[union-attr]
                raise RuntimeError("a PyTorch process has ended; its message is above")

    def close(self) -> None:
        """Ends the processes."""
        for child in self.children:
            child.stdin.close()  # type: ignore[union-attr]
            child.wait()


@contextmanager
def _torch_processes(setting: Setting, platform: str) -> Iterator[TorchProcesses | None]:
    if setting.peer != "torch" or platform != "cpu" or len(jax.local_devices()) < 2:
        yield None
        return
    processes = TorchProcesses(setting, sorted(os.sched_getaffinity(0)))
    try:
        yield processes
    finally:
        processes.close()


def torch_worker(setting: Setting) -> None:
    """One pinned process: a run of steps for every line on stdin."""
    import torch

    from benchmarks.torch_unet import make_step

    torch.set_num_threads(1)
    run = _torch_run(setting, make_step(setting.width))
    run()
    for _ in sys.stdin:
        run()
        print("done", flush=True)


def _torch_run(setting: Setting, step: Any) -> Variant:
    images, masks = (array[0] for array in random_batch(setting, 1))

    def run() -> None:
        for _ in range(setting.steps):
            loss = step(images, masks)
        loss.sum().item()  # waits for the device

    return run


def _ensemble_size(name: str) -> int:
    return int(name.split()[3]) if name.startswith("torch ensemble of") else 1


def _torch_variants(setting: Setting, device: str) -> dict[str, Variant]:
    """PyTorch's variants by name, without those that fail to build, which a line names."""
    from benchmarks.torch_unet import make_ensemble_step, make_step

    options = {
        "eager": {"channels_last": False},
        "eager channels_last": {},
        "compile channels_last": {"compiled": True},
        "autocast bfloat16 channels_last": {"bfloat16": True},
    }
    makers = {
        name: lambda choice=choice: make_step(setting.width, device=device, **choice)
        for name, choice in options.items()
    }
    if device == "cuda":
        makers |= {
            f"ensemble of {n} by torch.func": lambda n=n: make_ensemble_step(
                setting.width, n, device=device
            )
            for n in (4, 8)
        }
    found = {}
    for name, make in makers.items():
        try:
            run = _torch_run(setting, make())
            run()
        except Exception as error:
            print(f"torch {name}: left out, {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        found[f"torch {name}"] = run
    return found


def bench_cells(setting: Setting) -> list[Row]:
    """Milliseconds a cell and step over grids of 1 … 64 cells, chunk after chunk."""
    variants, cells = {}, {}
    for n in (1, 2, 4, 8, 16, 24, 64):
        step = make_step(setting, n_cells=n)
        chunks = -(-n // step.slots)
        name = f"{n} cells in {chunks} chunks of {step.slots}"
        variants[name] = lambda run=step.run, chunks=chunks: [run() for _ in range(chunks)]
        cells[name] = n
    seconds = measure(variants, setting.repeats)
    rows = [row("cells", n, seconds[n], cells[n] * setting.steps) for n in variants]
    return rated(rows, min(r["ms"] for r in rows))


def bench_compile(setting: Setting) -> list[Row]:
    """Seconds until the first steps are done, each from nothing."""
    rows = []
    for padding in ("zeros", "reflect"):
        jax.clear_caches()
        seconds = [timed(lambda padding=padding: make_step(setting, padding).run())]
        rows.append(row("compile", f"start and first steps, {padding}", seconds, 1))
    return rated(rows, rows[0]["ms"])
