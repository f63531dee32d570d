"""Reads the small files of a workdir, one function a file, into plain Python values."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.grid.storage import open_arrays


class Cell(NamedTuple):
    """One row of cells.csv; `settings` holds the value of every axis as text."""

    name: str
    arm: str
    seed: int
    status: str
    epochs: str
    wall_s: str
    message: str
    settings: dict[str, str]


class Examples(NamedTuple):
    """The shown items: image uint8 [k,H,W,3], truth uint8 [k,H,W], and why each was chosen.

    `clean_image` uint8 [k,H,W,3] is the same frame without annotations, where it was stored.
    """

    image: np.ndarray
    truth: np.ndarray
    label: list[str]
    rule: str
    clean_image: np.ndarray | None = None


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise JaxsegError(f"{path}: not found; a report needs the workdir of a finished grid")


def read_json(path: Path, default: Any = None) -> Any:
    """The file's value; a `default` stands for no file. JaxsegError names a file that is bad."""
    if default is not None and not path.is_file():
        return default
    _check_exists(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise JaxsegError(f"{path}: not valid JSON ({error}); restore it or run again") from error


def read_cells(path: Path, axes: list[str]) -> list[Cell]:
    """The rows of cells.csv. Raises JaxsegError for no file and for one that lacks a column."""
    _check_exists(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    needed = ("cell", "status", "arm", "seed", *axes)
    lacking = [name for name in needed if rows and rows[0].get(name) is None]
    if lacking:
        raise JaxsegError(f"{path}: column {lacking[0]!r} is missing; run the same command again")
    return [
        Cell(
            name=row["cell"],
            arm=row["arm"],
            seed=int(row["seed"]),
            status=row["status"],
            epochs=row.get("epochs", ""),
            wall_s=row.get("wall_s", ""),
            message=row.get("message") or "",
            settings={axis: row[axis] for axis in axes},
        )
        for row in rows
    ]


def read_curves(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of every cell by step; a step written twice (a resumed run) keeps its last row."""
    curves: dict[str, dict[int, dict[str, Any]]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            # A run that was killed may leave its last line half written.
            if number == len(lines):
                break
            raise JaxsegError(f"{path}:{number}: not valid JSON ({error})") from error
        curves.setdefault(row["cell"], {})[row["step"]] = row
    return {cell: [rows[step] for step in sorted(rows)] for cell, rows in curves.items()}


def read_examples(path: Path) -> Examples | None:
    """The items of examples.npz; None for no file, JaxsegError for a damaged one."""
    if not path.is_file():
        return None
    with open_arrays(path, "delete it; the report then shows no examples") as stored:
        labels = [str(label) for label in stored["label"]]
        clean = stored["clean_image"] if "clean_image" in stored.files else None
        return Examples(stored["image"], stored["truth"], labels, str(stored["rule"]), clean)


def text(value: Any) -> str:
    """The text that csv.writer gives an axis value, so that both files name it alike."""
    return "" if value is None else str(value)
