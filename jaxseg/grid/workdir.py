"""The plain files of a run: config.json, cells.csv, metrics.jsonl, counts/*.npz, progress.json.

Every file is written beside its place and renamed, so that a kill leaves the old or the new one.
"""

import csv
import io
import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid.cells import Cell, flatten

# Where things lie and how they are mapped may change between runs of one workdir; numbers may not.
_MAY_DIFFER = ("run.", "data.data_dir", "data.manual_dir", "eval.resamples")
Row = dict[str, Any]


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically, making its folder; a full disk leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a compressed .npz without pickles, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def open_workdir(
    workdir: Path, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]
) -> None:
    """Makes the workdir, or refuses one that another config or grid has made, naming the fields."""
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    if not path.exists():
        return
    try:
        old = json.loads(path.read_text())
        old_config, old_grid = flatten(old["config"]), old["grid"]
    except (ValueError, KeyError, TypeError) as error:
        raise JaxsegError(
            f"{path}: cannot be read ({error}); give another --workdir or remove this one"
        ) from error
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


def environment(devices: Sequence[Any]) -> Row:
    """The command, versions and devices, for config.json."""
    import jaxseg

    return {
        "command": shlex.join(["python", *sys.argv]),
        "jaxseg": jaxseg.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{len(devices)} × {devices[0].device_kind} ({devices[0].platform})",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    }


def read_finished(workdir: Path) -> dict[str, Row]:
    """Rows of cells.csv whose training has ended and whose counts are there: {cell id: row}."""
    path = workdir / "cells.csv"
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = {row["cell"]: row for row in csv.DictReader(file)}
    return {
        name: row
        for name, row in rows.items()
        if row["status"] != "pending" and counts_path(workdir, name).exists()
    }


def counts_path(workdir: Path, cell: str) -> Path:
    """Where the counts of a cell are stored."""
    return workdir / "counts" / f"{cell}.npz"


def write_cells(
    workdir: Path, groups: Sequence[Sequence[Cell]], axes: Iterable[str], done: Mapping[str, Row]
) -> None:
    """Writes cells.csv: every cell of the grid with its status and, when it has ended, its row."""
    axes = list(axes)
    columns = ["cell", "status", "arm", "group", *axes, "seed"]
    columns += ["epochs", "wall_s", "train_loss", "message"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    for index, group in enumerate(groups):
        for cell in group:
            row = {axis: cell.settings[axis] for axis in axes}
            row |= {"cell": cell.id, "status": "pending", "arm": cell.arm, "group": index}
            writer.writerow(row | {"seed": cell.seed} | dict(done.get(cell.id, {})))
    write_bytes(workdir / "cells.csv", buffer.getvalue().encode())


def forget_epochs(workdir: Path, cells: Iterable[str], start_epoch: int) -> None:
    """Drops the metrics of `cells` from `start_epoch` on: they are about to be written again."""
    path = workdir / "metrics.jsonl"
    if not path.exists():
        return
    names = set(cells)
    # The last line of a killed run may be torn.
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
    rows = [(json.loads(line), line) for line in lines]
    kept = [line for row, line in rows if row["cell"] not in names or row["epoch"] < start_epoch]
    write_bytes(path, "".join(kept).encode())


def append_metrics(workdir: Path, rows: Iterable[Row]) -> None:
    """Appends rows to metrics.jsonl."""
    with (workdir / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def add_progress(workdir: Path, seconds: Mapping[str, float]) -> None:
    """Adds this run's seconds to progress.json; the peak memory is the largest of all runs.

    `data_wait_share` is the share of the steps' time in which the devices waited for data.
    """
    path = workdir / "progress.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    new = {key: round(old.get(key, 0.0) + value, 4) for key, value in seconds.items()}
    new["peak_memory_mb"] = max(old.get("peak_memory_mb", 0), seconds["peak_memory_mb"])
    if new.get("steps_s"):
        new["data_wait_share"] = round(new["data_wait_s"] / new["steps_s"], 4)
    write_json(path, new)
