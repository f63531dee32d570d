"""Progress of long loops on stderr: a bar in a terminal, a line now and then in a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from tqdm import tqdm

Progress = Callable[..., Iterator[Any]]
SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Any], total: int, label: str, unit: str = "image") -> Iterator[Any]:
    """Yields `items` unchanged and shows how many of `total` are done and the time left."""
    with ProgressBar(total, label, unit) as progress:
        for item in items:
            yield item
            progress.update()


class ProgressBar:
    """The progress of a loop that reports each step itself; a context manager."""

    def __init__(self, total: int, label: str, unit: str = "image") -> None:
        self._total, self._label, self._done = total, label, 0
        self._start = self._shown = time.monotonic()
        self._bar = tqdm(total=total, desc=label, unit=unit) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int = 1) -> None:
        """Counts `done` more; shows them in a terminal at once, elsewhere now and then."""
        self._done += done
        if self._bar is not None:
            self._bar.update(done)
            return
        now = time.monotonic()
        if self._done and now - self._shown >= SECONDS_BETWEEN_LINES:
            left = (now - self._start) / self._done * (self._total - self._done)
            line = f"{self._label}: {self._done}/{self._total}, about {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
            self._shown = now


def silent(items: Iterable[Any], total: int, label: str, unit: str = "") -> Iterator[Any]:
    """Yields `items` and shows nothing."""
    del total, label, unit
    return iter(items)
