"""The plain files of a run: config.json, counts/*.npz, and what each process writes of its own.

    status/<cell>.json     the row of a cell whose training has ended
    metrics/<cell>.jsonl   its losses by epoch
    progress/<share>.json  seconds and memory of one process

cells.csv, metrics.jsonl and progress.json are merged from these (see `merged`), so that no two
processes ever write one file. Files are written whole: a kill leaves the old or the new one.
"""

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils.epath import Path

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import storage
from jaxseg.grid.processes import Share
from jaxseg.grid.sweeps import flatten

# Where things lie and how they are mapped may change between runs of one workdir; numbers may not.
_MAY_DIFFER = ("run.", "data.data_dir", "data.manual_dir", "eval.resamples")
STATUSES = ("done", "diverged")  # of a cell that has ended
Row = dict[str, Any]


def open_workdir(
    workdir: Path, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]
) -> None:
    """Makes the workdir, or refuses one that another config or grid has made, naming the fields."""
    workdir.mkdir(parents=True, exist_ok=True)
    if (workdir / "config.json").exists():
        check_config(workdir, config, grid)


def check_config(
    workdir: Path, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]
) -> None:
    """Raises UsageError naming the fields in which config.json differs from these settings."""
    path = workdir / "config.json"
    mend = "give another --workdir or remove this one"
    old = storage.read_json(path, mend)
    if not isinstance(old.get("config"), dict) or not isinstance(old.get("grid"), list):
        raise JaxsegError(f"{path}: must hold `config`, an object, and `grid`, a list; {mend}")
    old_config, old_grid = flatten(old["config"]), old["grid"]
    new = json.loads(json.dumps(flatten(config)))
    old_config = json.loads(json.dumps(old_config))
    differing = [
        f"{name} ({old_config.get(name)!r} there, {new.get(name)!r} here)"
        for name in sorted(new.keys() | old_config.keys())
        if new.get(name) != old_config.get(name) and not name.startswith(_MAY_DIFFER)
    ]
    if json.loads(json.dumps(list(grid))) != old_grid:
        differing.append(f"the grid ({len(old_grid)} cells there, {len(grid)} here)")
    if differing:
        raise UsageError(
            f"--workdir {workdir}: was made by other settings: {'; '.join(differing)}; "
            "give another --workdir or the old settings"
        )


def environment(devices: Sequence[Any], processes: int) -> Row:
    """The command, versions and devices of each of the processes, for config.json."""
    import jaxseg

    several = f"{processes} processes with each " if processes > 1 else ""

    return {
        "command": shlex.join(["python", *sys.argv]),
        "jaxseg": jaxseg.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{several}{len(devices)} × {devices[0].device_kind} ({devices[0].platform})",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    }


def counts_path(workdir: Path, cell: str) -> Path:
    """Where the counts of a cell are stored."""
    return workdir / "counts" / f"{cell}.npz"


def write_status(workdir: Path, cell: str, row: Row) -> None:
    """Marks a cell whose counts are stored as ended; `row` is its part of cells.csv."""
    storage.write_json(workdir / "status" / f"{cell}.json", row)


def read_finished(workdir: Path, known: Mapping[str, Row] | None = None) -> dict[str, Row]:
    """Rows of cells that have ended, with counts unless they diverged: {cell id: row}.

    `known` rows are taken as they are: a row does not change once it is written.
    """
    known = {} if known is None else known
    scored = set(storage.names(workdir / "counts", ".npz"))
    rows = {
        cell: known.get(cell) or _read_status(workdir / "status" / f"{cell}.json")
        for cell in storage.names(workdir / "status", ".json")
    }
    return {c: row for c, row in rows.items() if c in scored or row["status"] == "diverged"}


def _read_status(path: Path) -> Row:
    row = storage.read_json(path)
    if row.get("status") not in STATUSES or not all(map(_is_plain, row.values())):
        raise JaxsegError(
            f"{path}: must hold plain values, with `status` one of {', '.join(STATUSES)}; "
            f"{storage.MEND}"
        )
    return row


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def read_metrics(workdir: Path, cell: str) -> list[Row]:
    """Rows of a cell by epoch; none before its first."""
    path = workdir / "metrics" / f"{cell}.jsonl"
    lines = storage.read_text(path).splitlines() if path.exists() else []
    rows = [storage.parse_json(line, f"{path}:{k}") for k, line in enumerate(lines, start=1)]
    for number, row in enumerate(rows, start=1):
        if not storage.is_number(row.get("epoch")):
            raise JaxsegError(f"{path}:{number}: `epoch` must be a number; {storage.MEND}")
    return rows


def _write_metrics(workdir: Path, cell: str, rows: Iterable[Row]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    storage.write_bytes(workdir / "metrics" / f"{cell}.jsonl", text.encode())


def forget_epochs(workdir: Path, cells: Iterable[str], start_epoch: int) -> None:
    """Drops the metrics of `cells` from `start_epoch` on: they are about to be written again."""
    for cell in cells:
        old = read_metrics(workdir, cell)
        kept = [row for row in old if row["epoch"] < start_epoch]
        if len(kept) < len(old):
            _write_metrics(workdir, cell, kept)


def append_metrics(workdir: Path, rows: Iterable[Row]) -> None:
    """Adds one row to the metrics of each cell named in `rows`; whole, as objects cannot grow."""
    for row in rows:
        _write_metrics(workdir, row["cell"], [*read_metrics(workdir, row["cell"]), row])


def add_progress(workdir: Path, share: Share, seconds: Mapping[str, float]) -> None:
    """Adds a run's seconds to its share's file; the peak memory is the largest of all runs."""
    path = workdir / "progress" / f"{share.index}-of-{share.count}.json"
    old = read_progress(path) if path.exists() else {}
    new = {key: round(old.get(key, 0.0) + value, 4) for key, value in seconds.items()}
    new["peak_memory_mb"] = max(old.get("peak_memory_mb", 0), seconds["peak_memory_mb"])
    storage.write_json(path, new)


def read_progress(path: Path) -> dict[str, float]:
    """Seconds and memory of one share by name; `wall_s` and `peak_memory_mb` are among them."""
    found = storage.read_json(path)
    needed = {key: found.get(key) for key in ("wall_s", "peak_memory_mb")}
    for key, value in (found | needed).items():
        if not storage.is_number(value, least=0):
            raise JaxsegError(f"{path}: {key}={value!r}: must be a number from 0; {storage.MEND}")
    return found
