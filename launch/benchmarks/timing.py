"""Interleaved repeats, and what a row of the benchmark's table holds."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Variant = Callable[[], Any]
Row = dict[str, Any]


class Setting(NamedTuple):
    """What is measured: the command line's flags of the same names."""

    width: int
    size: int
    batch: int
    steps: int
    repeats: int
    peer: str
    per_device: tuple[int, ...]
    cells: int
    epochs: int
    data: str
    file_height: int


def measure(variants: dict[str, Variant], repeats: int) -> dict[str, list[float]]:
    """Seconds of every variant in every repeat, interleaved, after one call to warm up."""
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            seconds[name].append(timed(run))
    return seconds


def timed(run: Variant) -> float:
    """Seconds of one call."""
    clock = time.perf_counter()
    run()
    return time.perf_counter() - clock


def row(part: str, name: str, seconds: list[float], per: float, **more: Any) -> Row:
    """Median and quartiles in milliseconds of `seconds` divided by `per`."""
    low, mid, high = (1e3 * np.quantile(seconds, q) / per for q in (0.25, 0.5, 0.75))
    return {"part": part, "name": name, "ms": mid, "ms_q1": low, "ms_q3": high, **more}


def rated(rows: list[Row], against: float) -> list[Row]:
    """The rows with `ratio`: `against` milliseconds over their own, so that more is faster."""
    return [r | {"ratio": against / r["ms"]} for r in rows]


def random_batch(setting: Setting, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images uint8 [cells, B, S, S, 3] and masks uint8 [cells, B, S, S]."""
    rng = np.random.default_rng(0)
    shape = (n_cells, setting.batch, setting.size, setting.size)
    masks = (rng.random(shape) < 0.3).astype(np.uint8)
    return rng.integers(0, 256, (*shape, 3), np.uint8), masks
