"""Reads the files of a workdir into `Results`, the small ones by one function a file.

Whatever such a file holds, it becomes these values or a JaxsegError: one line that names the file.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxseg.data import arrays
from jaxseg.data.views import TEST_SETS
from jaxseg.errors import JaxsegError, one_line, printable
from jaxseg.grid.config import make_config
from jaxseg.metrics.dice import EMPTY
from jaxseg.studies.results import AGAIN, Cell, Examples, Results, Scoring
from jaxseg.texts import is_number, parse_json, plain, read_json, read_text

MEND = "restore it or run the same command again"
MAX_NAME = 200  # characters of what becomes part of a file's name


def load(workdir: str | Path) -> Results:
    """Reads config.json, cells.csv, metrics.jsonl, progress.json and examples.npz of `workdir`.

    Counts are read later. Raises JaxsegError when a file is missing or damaged, or when no cell is
    done.
    """
    workdir = Path(workdir)
    about = _read_about(workdir / "config.json")
    axes = _read_axes(workdir / "config.json", about)
    cells = _read_cells(workdir / "cells.csv", list(axes))
    done = [cell for cell in cells if cell.status == "done"]
    if not done:
        states = ", ".join(f"{c.name} {c.status}" for c in cells[:4]) or "none listed"
        diverged = cells and all(cell.status == "diverged" for cell in cells)
        mend = "lower optim.learning_rate" if diverged else "run the same command again"
        raise JaxsegError(f"{workdir / 'cells.csv'}: no cell is done ({states}); {mend}")

    def place(cell: Cell) -> list[int]:
        return [
            values.index(cell.settings[axis]) if cell.settings[axis] in values else len(values)
            for axis, values in axes.items()
        ]

    arms = list(dict.fromkeys(cell.arm for cell in sorted(done, key=place)))
    fields = make_config(about.get("config", {}), strict=False)
    return Results(
        arms=arms,
        seeds={arm: tuple(sorted(c.seed for c in done if c.arm == arm)) for arm in arms},
        settings={cell.arm: cell.settings for cell in done},
        axes=axes,
        test_sets=_stored_test_sets(workdir / "counts" / f"{done[0].name}.npz"),
        stored=CountsOfWorkdir(workdir, {(c.arm, c.seed): c.name for c in done}),
        scoring=Scoring(
            size=fields.data.size,
            ring_width=fields.eval.ring_width,
            border_px=fields.eval.border_px,
            resamples=fields.eval.resamples,
            empty=fields.eval.empty,
        ),
        workdir=workdir,
        config=about.get("config", {}),
        environment=about.get("environment", {}),
        data=about.get("data", {}),
        progress=_read_progress(workdir / "progress.json"),
        cells=cells,
        curves=_read_curves(workdir / "metrics.jsonl"),
        examples=_read_examples(workdir / "examples.npz"),
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise JaxsegError(f"{path}: not found; a report requires the workdir of a finished grid")
    return path


def _read_progress(path: Path) -> dict[str, float]:
    """Numbers from 0 by name; empty without the file."""
    progress = read_json(path, MEND) if path.is_file() else {}
    for name, value in progress.items():
        if not is_number(value, least=0):
            raise JaxsegError(f"{path}: {name}={value!r}: must be a number from 0; {MEND}")
    return progress


# cells.csv and metrics.jsonl.


def _read_cells(path: Path, axes: Sequence[str]) -> list[Cell]:
    cells = []
    rows = read_rows(_existing(path), ("cell", "status", "arm", "seed", *axes))
    for number, row in enumerate(rows, start=2):
        where = f"{path}:{number}"
        if not re.fullmatch(r"[\w.+-]+", row["cell"]):
            # It becomes a file's name: counts/<cell>.npz.
            raise JaxsegError(f"{where}: cell {row['cell']!r}: must be of [A-Za-z0-9_.+-]")
        if not re.fullmatch(r"\d{1,18}", row["seed"], re.ASCII):
            raise JaxsegError(f"{where}: seed {row['seed'][:40]!r}: must be a whole number")
        for key in ("cell", "arm", *axes):
            _check_name(f"{where}: {key}", row[key])
        rest = {key: row.get(key, "") for key in ("epochs", "wall_s", "message")}
        settings = {axis: row[axis] for axis in axes}
        seed = int(row["seed"])
        cells.append(Cell(row["cell"], row["arm"], seed, row["status"], **rest, settings=settings))
    for held in (Counter(c.name for c in cells), Counter((c.arm, c.seed) for c in cells)):
        value, times = max(held.items(), key=lambda item: item[1], default=("", 0))
        if times > 1:
            raise JaxsegError(f"{path}: holds {value!r} twice; {MEND}")
    return cells


def read_rows(path: Any, required: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that has the columns `required`, every field on one line."""
    # Not by lines: a quoted message may hold a line break.
    reader = csv.DictReader(io.StringIO(read_text(path, MEND), newline=""), restval="")
    try:
        rows = list(reader)
    except csv.Error as error:
        raise JaxsegError(f"{path}: not valid CSV ({one_line(error)}); {MEND}") from error
    lacking = [name for name in required if name not in (reader.fieldnames or ())]
    if rows and lacking:
        raise JaxsegError(f"{path}: column {lacking[0]!r} is missing; {MEND}")
    return [{k: printable(plain(v)) for k, v in row.items() if isinstance(v, str)} for row in rows]


def _read_curves(path: Path) -> dict[str, list[dict[str, Any]]]:
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
        if not isinstance(row.get("cell"), str):
            raise JaxsegError(f"{where}: cell={row.get('cell')!r}: must be text; {MEND}")
        for key in ("epoch", "step"):
            if not is_number(row.get(key), least=0, most=2**53):
                problem = f"{key}={row.get(key)!r}: must be a number from 0"
                raise JaxsegError(f"{where}: {problem}; {MEND}")
        for key in ("loss", "val_loss", "val_dice"):
            value = row.get(key)
            if not (value is None or isinstance(value, float) or is_number(value)):
                raise JaxsegError(f"{where}: {key}={value!r}: must be a number or null; {MEND}")
        curves.setdefault(row["cell"], {})[row["step"]] = row
    return {cell: [rows[step] for step in sorted(rows)] for cell, rows in curves.items()}


def _check_name(where: str, name: str) -> str:
    if len(name) > MAX_NAME:
        raise JaxsegError(f"{where}: {len(name)} characters, must be at most {MAX_NAME}; {MEND}")
    return name


# Arrays.


def _read_examples(path: Path) -> Examples | None:
    """The items of examples.npz; None for no file, JaxsegError for a damaged one."""
    if not path.is_file():
        return None
    found = read_forms(path, EXAMPLES, "delete it; the report then shows no examples")
    labels = [_check_name(f"{path}: label", printable(str(label))) for label in found["label"]]
    rule = printable(str(found["rule"]))
    return Examples(found["image"], found["truth"], labels, rule, found.get("clean_image"))


class Form(NamedTuple):
    """Kinds of dtype, axes by name or number, and the range of values; NaN is in every range.

    Axes of one name are equally long in all arrays of a file, and none is empty.
    """

    kinds: str
    axes: tuple[str | int, ...]
    least: float = -np.inf
    most: float = np.inf
    optional: bool = False


_ITEMS, _COUNT = ("items", "bands", "classes", 3), 2**31 - 1
COUNTS = {
    ".centre": Form("iu", _ITEMS, 0, _COUNT),
    ".border": Form("iu", _ITEMS, 0, _COUNT),
    ".stability": Form("iu", ("items", "classes", 3), 0, _COUNT),
    ".image": Form("iu", ("items",), 0, _COUNT),
    "prediction": Form("u", ("k", "h", "w")),
}
EXAMPLES = {
    "image": Form("u", ("k", "h", "w", 3), 0, 255),
    "truth": Form("u", ("k", "h", "w")),
    "label": Form("U", ("k",)),
    "rule": Form("U", ()),
    "clean_image": Form("u", ("k", "h", "w", 3), 0, 255, optional=True),
}
_MAPS = ("cells", "frames", "classes")
SALIENCY = {
    "cells": Form("U", ("cells",)),
    "layer": Form("U", ()),
    "classes": Form("U", ("classes",)),
    "test_set": Form("U", ()),
    "frame": Form("iu", ("frames",), 0, _COUNT),
    "share": Form("f", _MAPS, 0, 1),
    "area": Form("f", ("frames",), 0, 1),
    "hit": Form("iu", _MAPS, -1, 1),
    "random_share": Form("f", _MAPS, 0, 1),
    "random_hit": Form("iu", _MAPS, -1, 1),
    "example_frame": Form("iu", ("e",), 0, _COUNT),
    "example_image": Form("u", ("e", "h", "w", 3), 0, 255),
    "example_annotated": Form("b", ("e", "h", "w")),
    "example_map": Form("f", ("cells", "e", "h", "w"), 0, 1),
    "example_class": Form("iu", ("e",), 0, _COUNT, optional=True),
    "example_rule": Form("U", (), optional=True),
}


def read_forms(path: Path, forms: Mapping[str, Form], mend: str = AGAIN) -> dict[str, Any]:
    """The arrays of a file; JaxsegError for other forms, and for one that lacks an array."""
    with arrays.naming(path, mend):
        names = arrays.array_names(path)
    for name, form in forms.items():
        if name not in names and not form.optional:
            raise JaxsegError(f"{path}: holds no {name!r}; {AGAIN}")
    with arrays.naming(path, mend):
        found = {name: arrays.read_member(path, name) for name in forms if name in names}
    lengths: dict[str, int] = {}
    for name, array in found.items():
        _check_form(path, name, array, forms[name], lengths)
    return found


def _check_form(
    path: Path, name: str, array: np.ndarray, form: Form, lengths: dict[str, int]
) -> None:
    """`lengths` are those of the axes that other arrays have, and gets those of this one."""
    fits = array.dtype.kind in form.kinds and array.ndim == len(form.axes)
    for axis, length in zip(form.axes, array.shape):
        wanted = axis if isinstance(axis, int) else lengths.setdefault(axis, length)
        fits = fits and length == wanted and length > 0
    if not fits:
        shape = ", ".join(f"{a}={lengths[a]}" if a in lengths else f"{a}" for a in form.axes)
        raise JaxsegError(
            f"{path}: {name!r} is {array.dtype} of shape {array.shape}, must be of kind "
            f"{form.kinds} and shape [{shape}]; {AGAIN}"
        )
    if array.dtype.kind in "iuf" and ((array < form.least) | (array > form.most)).any():
        raise JaxsegError(
            f"{path}: {name!r} holds {np.nanmin(array)}..{np.nanmax(array)}, must lie within "
            f"{form.least:g}..{form.most:g}; {AGAIN}"
        )


class CountsOfWorkdir(NamedTuple):
    """The files `counts/<cell>.npz`; `cells` has the name of every (arm, seed)."""

    workdir: Path
    cells: Mapping[tuple[str, int], str]

    def __call__(self, arm: str, seed: int, key: str) -> np.ndarray | None:
        """The array, or None where the file has none; JaxsegError names a damaged file."""
        path = self._path(arm, seed)
        with arrays.naming(path, AGAIN):
            if key not in arrays.array_names(path):
                return None
            found = arrays.read_member(path, key)
        form = next(form for end, form in COUNTS.items() if key.endswith(end))
        _check_form(path, key, found, form, {})
        return found

    def place(self, arm: str, seed: int) -> str:
        """The path of the file."""
        return str(self._path(arm, seed))

    def _path(self, arm: str, seed: int) -> Path:
        return self.workdir / "counts" / f"{self.cells[arm, seed]}.npz"


def _stored_test_sets(path: Path) -> list[str]:
    with arrays.naming(path, AGAIN):
        stored = arrays.array_names(path)
    names = {key.removesuffix(".border") for key in stored if key.endswith(".border")}
    if not names:
        raise JaxsegError(f"{path}: holds counts of no test set; run the evaluation again")
    if unknown := sorted(names - set(TEST_SETS)):
        raise JaxsegError(
            f"{path}: holds counts of test set {unknown[0]!r}; known are {', '.join(TEST_SETS)}"
        )
    return [t for t in TEST_SETS if t in names]


# config.json.


_DOSE = "annotate.contamination"
_PARTS = {"config": dict, "grid": list, "axes": dict, "environment": dict, "data": dict}
# Kind, least and most: what a report computes with takes memory by them.
_NUMBERS = {
    "data.size": ("whole number", 1, 2**14),
    "eval.ring_width": ("number", 0, 2**14),
    "eval.border_px": ("whole number", 1, 2**14),
    "eval.resamples": ("whole number", 1, 10**5),
    _DOSE: ("number", 0, 1),
}


def _read_about(path: Path) -> dict[str, Any]:
    """The file, whose fields are of the types that a report requires.

    `config` has the fields that all overlays of the grid set to the same value.
    """
    about = read_json(_existing(path), MEND)
    for name, kind in _PARTS.items():
        if not isinstance(about.get(name, kind()), kind):
            what = "an object" if kind is dict else "a list"
            raise JaxsegError(f"{path}: {name}: must be {what}; {MEND}")
    config, grid = about.get("config"), about.get("grid") or []
    if config is not None and grid and all(isinstance(overlay, dict) for overlay in grid):
        for field, value in grid[0].items():
            section, name = _section_of(config, field)
            everywhere = all(field in overlay and overlay[field] == value for overlay in grid)
            if field != "seed" and everywhere and isinstance(section, dict):
                section[name] = value
    for field, (kind, least, most) in _NUMBERS.items():
        section, name = _section_of(config, field)
        value = section.get(name, least) if isinstance(section, dict) else least
        fits = is_number(value, least, most)
        if not fits or (kind == "whole number" and value != int(value)):
            raise JaxsegError(
                f"{path}: {field}={value!r}: must be a {kind} from {least} to {most}; {MEND}"
            )
    section, name = _section_of(config, "eval.empty")
    empty = section.get(name, EMPTY[0]) if isinstance(section, dict) else EMPTY[0]
    if empty not in EMPTY:
        raise JaxsegError(f"{path}: eval.empty={empty!r}: must be one of {', '.join(EMPTY)}")
    data = about.get("data", {})
    for name in ("classes", "planes"):
        _check_names(f"{path}: data.{name}", data.get(name) or [])
    return about


def _section_of(config: Any, field: str) -> tuple[Any, str]:
    """The object that holds a field given by dotted name, None without one, and its last name."""
    *sections, name = field.split(".")
    for section in sections:
        config = config.get(section) if isinstance(config, dict) else None
    return config, name


def text(value: Any) -> str:
    """The text that cells.csv gives an axis value, as `load` reads it."""
    return "" if value is None else printable(str(value))


def _read_axes(path: Path, about: dict[str, Any]) -> dict[str, list[str]]:
    """The axes of config.json with their values as text; JaxsegError for other things there."""
    axes = about.get("axes", {})
    for name, values in axes.items():
        _check_names(f"{path}: axes", [name])
        if not isinstance(values, list) or not values:
            raise JaxsegError(f"{path}: axes.{name}: must be a list of values; {MEND}")
    found = {printable(name): [text(value) for value in values] for name, values in axes.items()}
    for name, values in found.items():
        _check_names(f"{path}: axes.{name}", values)
        if name == _DOSE:
            check_shares(f"{path}: axes.{name}", values)
    return found


def check_shares(where: str, values: Sequence[str]) -> None:
    """Raises JaxsegError unless every text is a number from 0 to 1."""
    for value in values:
        try:
            holds = 0 <= float(value) <= 1
        except ValueError:
            holds = False
        if not holds:
            raise JaxsegError(f"{where}={value!r}: must be a number from 0 to 1; {MEND}")


def _check_names(where: str, names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise JaxsegError(f"{where}: must be a list of names; {MEND}")
    for name in names:
        _check_name(where, name)
