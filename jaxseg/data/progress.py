"""Progress of long loops on stderr: a bar in a terminal, a line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

Progress = Callable[..., Iterator[Any]]
SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Any], total: int, label: str, unit: str = "image") -> Iterator[Any]:
    """Yields `items` unchanged and shows how many of `total` are done and the time left."""
    if sys.stderr.isatty():
        return iter(tqdm(items, total=total, desc=label, unit=unit))
    return _lines(items, total, label)


def silent(items: Iterable[Any], total: int, label: str, unit: str = "") -> Iterator[Any]:
    """Yields `items` and shows nothing."""
    del total, label, unit
    return iter(items)


def _lines(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
    start = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= SECONDS_BETWEEN_LINES:
            left = (now - start) / done * (total - done)
            print(f"{label}: {done}/{total}, about {left:.0f} s left", file=sys.stderr, flush=True)
            shown = now
