"""Reads the small files of a workdir, one function a file, into plain Python values.

Whatever such a file holds, it becomes these values or a JaxsegError: one line that names the file.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.escape import one_line, plain, printable
from jaxseg.report.forms import EXAMPLES, read_forms
from jaxseg.texts import is_number, parse_json, read_text
from jaxseg.texts import read_json as read_object

MEND = "restore it or run the same command again"
MAX_NAME = 200  # characters of what becomes part of a file's name
_CELL = re.compile(r"[\w.+-]+")
_SCORES = ("loss", "val_loss", "val_dice")


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


def read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object in a JSON file; a `default` stands for no file. JaxsegError names a bad file."""
    if default is not None and not path.is_file():
        return default
    _check_exists(path)
    return read_object(path, MEND)


def read_cells(path: Path, axes: Sequence[str]) -> list[Cell]:
    """The rows of cells.csv. Raises JaxsegError for no file and for one that cannot be used."""
    _check_exists(path)
    rows = read_rows(path, ("cell", "status", "arm", "seed", *axes))
    cells = [_cell(path, number, row, axes) for number, row in enumerate(rows, start=2)]
    for held in (Counter(c.name for c in cells), Counter((c.arm, c.seed) for c in cells)):
        if twice := [value for value, times in held.items() if times > 1]:
            raise JaxsegError(f"{path}: {twice[0]!r} stands in it twice; {MEND}")
    return cells


def read_rows(path: Any, needed: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that has the columns `needed`, every field on one line."""
    # Not by lines: a quoted message may hold a line break.
    reader = csv.DictReader(io.StringIO(read_text(path, MEND), newline=""), restval="")
    try:
        rows = list(reader)
    except csv.Error as error:
        raise JaxsegError(f"{path}: not valid CSV ({one_line(error)}); {MEND}") from error
    lacking = [name for name in needed if name not in (reader.fieldnames or ())]
    if rows and lacking:
        raise JaxsegError(f"{path}: column {lacking[0]!r} is missing; {MEND}")
    return [{k: printable(plain(v)) for k, v in row.items() if isinstance(v, str)} for row in rows]


def _cell(path: Path, number: int, told: dict[str, str], axes: Sequence[str]) -> Cell:
    if not _CELL.fullmatch(told["cell"]):
        # It becomes a file's name: counts/<cell>.npz.
        raise JaxsegError(f"{path}:{number}: cell {told['cell']!r}: must be of [A-Za-z0-9_.+-]")
    if not re.fullmatch(r"\d{1,18}", told["seed"], re.ASCII):
        raise JaxsegError(f"{path}:{number}: seed {told['seed'][:40]!r}: must be a whole number")
    for key in ("cell", "arm", *axes):
        check_name(f"{path}:{number}: {key}", told[key])
    return Cell(
        name=told["cell"],
        arm=told["arm"],
        seed=int(told["seed"]),
        status=told["status"],
        epochs=told.get("epochs", ""),
        wall_s=told.get("wall_s", ""),
        message=told.get("message", ""),
        settings={axis: told[axis] for axis in axes},
    )


def check_name(where: str, name: str) -> str:
    """Raises JaxsegError for a name that is too long to be one."""
    if len(name) > MAX_NAME:
        raise JaxsegError(f"{where}: {len(name)} characters, must be at most {MAX_NAME}; {MEND}")
    return name


def read_curves(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of every cell by step; a step written twice (a resumed run) keeps its last row."""
    curves: dict[str, dict[int, dict[str, Any]]] = {}
    lines = read_text(path, MEND).splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            row = parse_json(line, Path(where), MEND)
        except JaxsegError:
            # A run that was killed may leave its last line half written.
            if number == len(lines):
                break
            raise
        _check_row(where, row)
        curves.setdefault(row["cell"], {})[row["step"]] = row
    return {cell: [rows[step] for step in sorted(rows)] for cell, rows in curves.items()}


def _check_row(where: str, row: dict[str, Any]) -> None:
    """Raises JaxsegError unless the row has a cell, an epoch, a step and scores or none."""
    if not isinstance(row.get("cell"), str):
        raise JaxsegError(f"{where}: cell={row.get('cell')!r}: must be text; {MEND}")
    for key in ("epoch", "step"):
        if not is_number(row.get(key), least=0, most=2**53):
            raise JaxsegError(f"{where}: {key}={row.get(key)!r}: must be a number from 0; {MEND}")
    for key in _SCORES:
        value = row.get(key)
        if not (value is None or isinstance(value, float) or is_number(value)):
            raise JaxsegError(f"{where}: {key}={value!r}: must be a number or null; {MEND}")


def read_examples(path: Path) -> Examples | None:
    """The items of examples.npz; None for no file, JaxsegError for a damaged one."""
    if not path.is_file():
        return None
    needed = {name: form for name, form in EXAMPLES.items() if name != "clean_image"}
    found = read_forms(path, needed, EXAMPLES, "delete it; the report then shows no examples")
    labels = [check_name(f"{path}: label", printable(str(label))) for label in found["label"]]
    rule = printable(str(found["rule"]))
    return Examples(found["image"], found["truth"], labels, rule, found.get("clean_image"))


def text(value: Any) -> str:
    """The text that cells.csv gives an axis value, as `read_cells` reads it."""
    return "" if value is None else printable(str(value))
