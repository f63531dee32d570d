"""cells.csv, metrics.jsonl and progress.json: merged from what the processes wrote of their own.

Every process merges when it has finished something. Of two that merge at the same time, the one
that writes last looks again and then holds what both have finished.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence

from etils.epath import Path

from jaxseg.grid import storage
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.workdir import Row
from jaxseg.seals import read_sealed


def merge_cells(
    workdir: Path, groups: Sequence[Sequence[Cell]], axes: Iterable[str], done: Mapping[str, Row]
) -> dict[str, Row]:
    """Writes cells.csv and returns the rows of all that have ended, `done` among them."""
    axes = list(axes)
    found = files.read_finished(workdir, done)
    while True:
        storage.write_bytes(workdir / "cells.csv", _cells_csv(groups, axes, found).encode())
        again = files.read_finished(workdir, found)
        if again.keys() == found.keys():
            return found
        found = again


def merge_all(
    workdir: Path, groups: Sequence[Sequence[Cell]], axes: Iterable[str], done: Mapping[str, Row]
) -> dict[str, Row]:
    """Writes all three files and returns the rows of the cells that have ended."""
    axes = list(axes)
    while True:
        done = merge_cells(workdir, groups, axes, done)
        parts = _progress_parts(workdir)
        _merge_metrics(workdir, groups)
        storage.write_json(workdir / "progress.json", total_progress(parts))
        again = files.read_finished(workdir, done)
        if again.keys() == done.keys() and _progress_parts(workdir) == parts:
            return again
        done = again


def _cells_csv(
    groups: Sequence[Sequence[Cell]], axes: Sequence[str], done: Mapping[str, Row]
) -> str:
    """Every cell of the grid with its status and, when it has ended, its row."""
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
    return buffer.getvalue()


def _merge_metrics(workdir: Path, groups: Sequence[Sequence[Cell]]) -> None:
    rows = [row for g in groups for cell in g for row in files.read_metrics(workdir, cell.id)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    storage.write_bytes(workdir / "metrics.jsonl", text.encode())


def _progress_parts(workdir: Path) -> dict[str, Row]:
    """{share, such as "0-of-2": its seconds and memory}."""
    names = storage.names(workdir / "progress", ".json")
    return {name: read_sealed(workdir / "progress" / f"{name}.json") for name in names}


def total_progress(parts: Mapping[str, Row]) -> Row:
    """Seconds of all processes together; wall time is that of the slowest of those side by side,
    memory the largest of one process. `data_wait_share` is the part of the steps' time in which
    devices waited for data."""
    total: Row = {}
    walls: dict[str, float] = {}
    for name, part in parts.items():
        together = name.partition("-of-")[2]
        walls[together] = max(walls.get(together, 0.0), part["wall_s"])
        for key, value in part.items():
            total[key] = round(total.get(key, 0.0) + value, 2)
    if total.get("steps_s"):
        total["data_wait_share"] = round(total["data_wait_s"] / total["steps_s"], 4)
    if parts:
        total["wall_s"] = round(sum(walls.values()), 4)
        total["peak_memory_mb"] = max(part["peak_memory_mb"] for part in parts.values())
    return total
