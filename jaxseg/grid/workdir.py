"""The plain files of a run: config.json, counts/*.npz, and the files that each process writes.

    status/<cell>.json     the row of a cell whose training has ended
    metrics/<cell>.json    its losses by epoch
    progress/<share>.json  seconds and memory of one process
    data/<items>.json      checksum of the prepared images and masks of a split

cells.csv, metrics.jsonl and progress.json are merged from these (see `record`), so that no two
processes ever write one file. Files are written whole: a kill leaves the old or the new one. A file
of `status`, `metrics` or `progress` that cannot be read is treated as missing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils.epath import Path

from jaxseg.errors import DamagedError, JaxsegError, UsageError, check_permission
from jaxseg.grid import storage
from jaxseg.grid.cells import expand
from jaxseg.grid.config import DEFAULTS
from jaxseg.grid.sweeps import flatten
from jaxseg.texts import AGAIN, is_number, read_json, read_with_digest

# These may change between the runs of one workdir, because no number depends on them.
_MAY_DIFFER = ("run.", "data.data_dir", "data.manual_dir", "data.rehash", "eval.resamples")
_NOT_IN_PATHS = ("*", "?", "[", "\\")
OTHER = "give another --workdir or remove this one"
STATUSES = ("done", "diverged")  # of a cell that has ended
Row = dict[str, Any]


def open_workdir(
    workdir: Path, config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]
) -> None:
    """Makes the workdir; UsageError naming the fields for one made by another config or grid.

    Raises UsageError for a path that Orbax would take for a pattern: its checkpoints could not be
    read again, or would be joined with those of folders that match it.
    """
    if held := [sign for sign in _NOT_IN_PATHS if sign in str(workdir)]:
        raise UsageError(
            f"--workdir {workdir}: must be a path without {' '.join(_NOT_IN_PATHS)}, under which "
            f"checkpoints cannot be saved; it holds {held[0]}"
        )
    check_permission(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if (workdir / "config.json").exists():
        check_same_settings(workdir, config, grid)


def check_same_settings(
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
    # The configs agree here in all that `_cells` compares: ours has been checked.
    cells, old_cells = _cells(config, grid), {} if differing else _cells(config, old["grid"])
    gone = [name for name, settings in old_cells.items() if cells.get(name) != settings]
    if gone:
        differing.append(
            f"the grid ({len(old_cells)} cells there, {len(cells)} here; it may grow, but "
            f"{gone[0]} is missing or differs here)"
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
            {n: v for n, v in cell.config.flat().items() if not n.startswith(_MAY_DIFFER)}
        )
        for cell in expand(config, grid)
    }


def _plain(settings: Mapping[str, Any]) -> Row:
    """The settings as JSON gives them back: tuples are lists."""
    return json.loads(json.dumps(settings))


def read_config(workdir: Path) -> Row:
    """The content of config.json; DamagedError where it is not what a run has written.

    `config` and `data` are objects, `grid` is a list of fields with plain values.
    """
    path = workdir / "config.json"
    blank: Row = {"config": {}, "grid": [], "data": {}}
    about = blank | read_with_digest(path, OTHER)
    for name, kind in blank.items():
        if not isinstance(about[name], type(kind)):
            raise DamagedError(path, f"`{name}` must be a {type(kind).__name__}", OTHER)
    if not all(isinstance(cell, dict) and _is_plain(cell) for cell in about["grid"]):
        raise DamagedError(path, "`grid` must be a list of fields and plain values", OTHER)
    return about


def check_data(workdir: Path, checksums: Mapping[str, str]) -> None:
    """Records the checksums of prepared data, by name; JaxsegError where other data was used."""
    for name, checksum in checksums.items():
        path = workdir / "data" / f"{name}.json"
        if not path.exists():
            storage.write_with_digest(path, {"checksum": checksum})
        elif read_with_digest(path).get("checksum") != checksum:
            raise JaxsegError(
                f"{workdir}: was begun with other images or masks than data.name and "
                f"data.manual_dir give now ({name} differs); put the old files back or give "
                "another --workdir"
            )


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
        cell: known.get(cell) or _read(workdir / "status" / f"{cell}.json")
        for cell in storage.names(workdir / "status", ".json")
    }
    return {
        cell: row
        for cell, row in rows.items()
        if _is_plain(row)
        and (row.get("status") == "diverged" or (row.get("status") == "done" and cell in scored))
    }


def read_metrics(workdir: Path, cell: str) -> list[Row]:
    """Rows of a cell by epoch; none before its first."""
    rows = _read(_metrics_path(workdir, cell)).get("rows")
    good = isinstance(rows, list) and all(
        isinstance(row, dict) and row.get("cell") == cell and is_number(row.get("epoch"))
        for row in rows
    )
    return rows if good else []  # pyright: ignore[reportReturnType]


def _metrics_path(workdir: Path, cell: str) -> Path:
    return workdir / "metrics" / f"{cell}.json"


def forget_epochs(workdir: Path, cells: Iterable[str], start_epoch: int) -> None:
    """Drops the metrics of `cells` from `start_epoch` on: they are about to be written again."""
    for cell in cells:
        old = read_metrics(workdir, cell)
        kept = [row for row in old if row["epoch"] < start_epoch]
        if len(kept) < len(old):
            storage.write_json(_metrics_path(workdir, cell), {"rows": kept})


def append_metrics(workdir: Path, rows: Iterable[Row]) -> None:
    """Adds one row to the metrics of each cell named in `rows`; whole, as objects cannot grow."""
    for row in rows:
        grown = [*read_metrics(workdir, row["cell"]), row]
        storage.write_json(_metrics_path(workdir, row["cell"]), {"rows": grown})


def progress_path(workdir: Path, share: str) -> Path:
    """Where the seconds and memory of a process are kept; `share` is such as 0-of-2."""
    return workdir / "progress" / f"{share}.json"


def read_progress(path: Path) -> dict[str, float]:
    """Seconds and memory of one process by name; none where there is no such file."""
    return {name: value for name, value in _read(path).items() if is_number(value, least=0)}


def _read(path: Path) -> Row:
    """What a process wrote; nothing where the file lacks or is damaged: it is written again."""
    try:
        return read_json(path, AGAIN) if path.exists() else {}
    except DamagedError:
        return {}


def _is_plain(row: Row) -> bool:
    """Whether a row holds texts, numbers and nothing, or lists of them."""
    values = [v for value in row.values() for v in (value if isinstance(value, list) else [value])]
    return all(value is None or isinstance(value, str | int | float) for value in values)
