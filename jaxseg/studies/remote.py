"""A report of a workdir in an object store: made in a local copy of its result files."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from etils import epath

from jaxseg.grid.storage import as_folder, is_local, names, write_bytes

_NEEDED = ("config.json", "cells.csv", "metrics.jsonl", "progress.json", "examples.npz")
_NEEDED += ("saliency.npz",)


@contextlib.contextmanager
def local_results(workdir: str | os.PathLike[str]) -> Iterator[Path]:
    """The workdir itself where it is local; else a copy of what a report reads.

    Files that the body adds to the copy, such as report.html, are put into the workdir.
    """
    if is_local(workdir):
        yield Path(workdir)
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        _fetch(as_folder(workdir), copy)
        before = _files(copy)
        yield copy
        for name in _files(copy) - before:
            write_bytes(as_folder(workdir) / name, (copy / name).read_bytes())


def _fetch(workdir: epath.Path, copy: Path) -> None:
    counts = [f"counts/{name}.npz" for name in names(workdir / "counts", ".npz")]
    for name in (*_NEEDED, *counts):
        if (workdir / name).exists():
            write_bytes(copy / name, (workdir / name).read_bytes())


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
