"""The plain files of a run: config.json, counts/*.npz, and what each process writes of its own.

    status/<cell>.json     the row of a cell whose training has ended
    metrics/<cell>.json    its losses by epoch
    progress/<share>.json  seconds and memory of one process
    data/<items>.json      checksum of the prepared images and masks of a split

cells.csv, metrics.jsonl and progress.json are merged from these (see `merged`), so that no two
processes ever write one file. Files are written whole: a kill leaves the old or the new one. They
carry a digest of what they say: one that is damaged is refused.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils.epath import Path

from jaxseg.command_line import this_command
from jaxseg.errors import JaxsegError, UsageError, check_permission
from jaxseg.grid import storage
from jaxseg.grid.cells import DEFAULTS, expand
from jaxseg.grid.processes import Share
from jaxseg.grid.sweeps import flatten
from jaxseg.grid.workdir_door import Row, read_about, read_progress, read_rows, read_status
from jaxseg.seals import AGAIN, read_sealed

# Where things lie and how they are mapped may change between runs of one workdir; numbers may not.
_MAY_DIFFER = ("run.", "data.data_dir", "data.manual_dir", "data.rehash", "eval.resamples")
_LOSSES = f"{AGAIN}: the cell's losses by epoch that it holds are lost, its counts are not"
_NOT_IN_PATHS = ("*", "?", "[", "\\")
OTHER = "give another --workdir or remove this one"


def open_workdir(
    workdir: Path, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]
) -> None:
    """Makes the workdir, or refuses one that another config or grid has made, naming the fields.

    Raises UsageError for a path that Orbax would take for a pattern: its checkpoints could not be
    read again, or would be joined with those of folders that match it.
    """
    if held := [sign for sign in _NOT_IN_PATHS if sign in str(workdir)]:
        raise UsageError(
            f"--workdir {workdir}: must be a path without {' '.join(_NOT_IN_PATHS)}, for which "
            f"checkpoints cannot be kept; it holds {held[0]}"
        )
    check_permission(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if (workdir / "config.json").exists():
        check_config(workdir, config, grid)


def check_config(
    workdir: Path, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]
) -> None:
    """Raises UsageError naming the fields in which config.json differs from these settings.

    A grid may hold more cells than the one that made the workdir, such as further seeds. A field
    that one of the two leaves out has its default there.
    """
    old = read_config(workdir)
    there, here = (_plain(DEFAULTS | flatten(c)) for c in (old["config"], config))
    differing = [
        f"{name} ({there.get(name)!r} there, {here.get(name)!r} here)"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name) and not name.startswith(_MAY_DIFFER)
    ]
    # The configs agree here in all that `_cells` tells: ours has been checked.
    cells, old_cells = _cells(config, grid), {} if differing else _cells(config, old["grid"])
    gone = [name for name, settings in old_cells.items() if cells.get(name) != settings]
    if gone:
        differing.append(
            f"the grid ({len(old_cells)} cells there, {len(cells)} here; it may grow, but "
            f"{gone[0]} is missing or other here)"
        )
    if differing:
        raise UsageError(
            f"--workdir {workdir}: was made by other settings: {'; '.join(differing)}; "
            "give another --workdir or the old settings"
        )


def _cells(config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    """{cell id: what its numbers depend on}, as JSON would give it back."""
    return {
        cell.id: _plain(
            {n: value for n, value in cell.settings.items() if not n.startswith(_MAY_DIFFER)}
        )
        for cell in expand(config, grid)
    }


def _plain(settings: Mapping[str, Any]) -> Row:
    """The settings as JSON gives them back: tuples are lists."""
    return json.loads(json.dumps(settings))


def read_config(workdir: Path) -> Row:
    """What config.json says; DamagedError where it is not what a run has written."""
    return read_about(workdir / "config.json", OTHER)


def check_data(workdir: Path, checksums: Mapping[str, str]) -> None:
    """Records the checksums of prepared data, by name; JaxsegError where other data was used."""
    for name, checksum in checksums.items():
        path = workdir / "data" / f"{name}.json"
        if not path.exists():
            storage.write_sealed(path, {"checksum": checksum})
        elif read_sealed(path).get("checksum") != checksum:
            raise JaxsegError(
                f"{workdir}: was begun with other images or masks than data.name and "
                f"data.manual_dir give now ({name} differs); put the old files back or give "
                "another --workdir"
            )


def environment(devices: Sequence[Any], processes: int) -> Row:
    """The command, versions and devices of each of the processes, for config.json."""
    import jaxseg

    several = f"{processes} processes with each " if processes > 1 else ""

    return {
        "command": this_command(),
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
    storage.write_sealed(workdir / "status" / f"{cell}.json", row)


def read_finished(workdir: Path, known: Mapping[str, Row] | None = None) -> dict[str, Row]:
    """Rows of cells that have ended, with counts unless they diverged: {cell id: row}.

    `known` rows are taken as they are: a row does not change once it is written.
    """
    known = {} if known is None else known
    scored = set(storage.names(workdir / "counts", ".npz"))
    rows = {
        cell: known.get(cell) or read_status(workdir / "status" / f"{cell}.json")
        for cell in storage.names(workdir / "status", ".json")
    }
    return {c: row for c, row in rows.items() if c in scored or row["status"] == "diverged"}


def read_metrics(workdir: Path, cell: str) -> list[Row]:
    """Rows of a cell by epoch; none before its first."""
    path = _metrics_path(workdir, cell)
    return read_rows(path, _LOSSES) if path.exists() else []


def _metrics_path(workdir: Path, cell: str) -> Path:
    return workdir / "metrics" / f"{cell}.json"


def _write_metrics(workdir: Path, cell: str, rows: Iterable[Row]) -> None:
    storage.write_sealed(_metrics_path(workdir, cell), {"rows": list(rows)})


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
    storage.write_sealed(path, new)
