"""Reads the plain files of a finished workdir; nothing here trains, evaluates or writes."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxseg.data import arrays
from jaxseg.data.views import TEST_SETS
from jaxseg.errors import JaxsegError, check_choice
from jaxseg.escape import printable
from jaxseg.grid.config import Config, make_config
from jaxseg.report.files import (
    Cell,
    Examples,
    read_cells,
    read_curves,
    read_examples,
    read_json,
)
from jaxseg.report.forms import COUNTS, check_form
from jaxseg.report.rules import axes_of, check_about, check_progress
from jaxseg.seals import AGAIN

LAYOUTS = ("centre", "border")


class Results(NamedTuple):
    """All a report needs of one workdir. `arms` and `seeds` hold only cells that are done."""

    workdir: Path
    config: dict[str, Any]
    grid: list[dict[str, Any]]
    axes: dict[str, list[str]]
    environment: dict[str, Any]
    data: dict[str, Any]
    progress: dict[str, Any]
    cells: list[Cell]
    arms: list[str]
    seeds: dict[str, tuple[int, ...]]
    settings: dict[str, dict[str, str]]
    test_sets: list[str]
    curves: dict[str, list[dict[str, Any]]]
    examples: Examples | None

    @property
    def fields(self) -> Config:
        """The config with its types; what an older or foreign workdir lacks has its default."""
        return make_config(self.config, strict=False)

    @property
    def left_out(self) -> list[Cell]:
        """Cells that diverged or are pending: no number of the report contains them."""
        return [cell for cell in self.cells if cell.status != "done"]

    @property
    def probe(self) -> str:
        """Test set on which border behaviour is judged: quarter, else random, else the first."""
        return next((t for t in ("quarter", "random") if t in self.test_sets), self.test_sets[0])


def load(workdir: str | Path) -> Results:
    """Reads config.json, cells.csv, metrics.jsonl, progress.json and examples.npz of `workdir`.

    Counts are read later, by `counts`. Raises JaxsegError when a file is missing or damaged, or
    when no cell is done.
    """
    workdir = Path(workdir)
    about = read_json(workdir / "config.json")
    about = about | {"config": _with_constants(about)}
    check_about(workdir / "config.json", about)
    axes = axes_of(workdir / "config.json", about)
    cells = read_cells(workdir / "cells.csv", list(axes))
    done = [cell for cell in cells if cell.status == "done"]
    if not done:
        states = ", ".join(f"{c.name} {c.status}" for c in cells[:4]) or "none listed"
        diverged = cells and all(cell.status == "diverged" for cell in cells)
        mend = "lower optim.learning_rate" if diverged else "run the same command again"
        raise JaxsegError(f"{workdir / 'cells.csv'}: no cell is done ({states}); {mend}")
    arms = _grid_order(done, axes)
    return Results(
        workdir=workdir,
        config=about.get("config", {}),
        grid=about.get("grid", []),
        axes=axes,
        environment=about.get("environment", {}),
        data=about.get("data", {}),
        progress=check_progress(
            workdir / "progress.json", read_json(workdir / "progress.json", {})
        ),
        cells=cells,
        arms=arms,
        seeds={arm: tuple(sorted(c.seed for c in done if c.arm == arm)) for arm in arms},
        settings={cell.arm: cell.settings for cell in done},
        test_sets=_stored_test_sets(workdir, done[0]),
        curves=read_curves(workdir / "metrics.jsonl"),
        examples=read_examples(workdir / "examples.npz"),
    )


def counts(
    results: Results, arm: str, test_set: str, layout: str, seeds: Sequence[int] | None = None
) -> np.ndarray:
    """Counts of one arm, int32 [seeds, items, bands, classes, 3], last axis (tp, fp, fn).

    `layout` is `centre` (square rings, innermost first) or `border` (rings by distance to the
    border, outermost first). `seeds` defaults to every done seed of the arm. Raises JaxsegError
    when a file is missing or the seeds were not scored on the same items.
    """
    check_choice("layout", layout, LAYOUTS)
    return _stacked(results, arm, f"{test_set}.{layout}", seeds)


def stability(results: Results, arm: str) -> np.ndarray:
    """Counts of the predictions along the sequences, int32 [seeds, items, classes, 3].

    Every prediction is scored against the same cell's prediction at the frame's last stage. Raises
    JaxsegError as `counts` does.
    """
    return _stacked(results, arm, "sequence.stability", None)


def planes(results: Results) -> list[str]:
    """The plane of every test frame by its index; empty where frames have none."""
    named = [printable(plane) for plane in results.data.get("planes") or []]
    return named if any(named) else []


def _stacked(results: Results, arm: str, key: str, seeds: Sequence[int] | None) -> np.ndarray:
    seeds = results.seeds[arm] if seeds is None else seeds
    stacks = [_stored(results, arm, seed, key) for seed in seeds]
    if len({stack.shape for stack in stacks}) != 1:
        shapes = ", ".join(str(stack.shape) for stack in stacks)
        raise JaxsegError(
            f"counts of arm {arm!r}, {key}: shapes {shapes} must be equal; "
            "the cells were not scored on the same items, run the evaluation again"
        )
    return np.stack(stacks)


def clusters(results: Results, test_set: str) -> np.ndarray:
    """Image index of every item, int32 [items]; items of one image are resampled together."""
    arm = results.arms[0]
    image = _stored(results, arm, results.seeds[arm][0], f"{test_set}.image")
    items = _stored(results, arm, results.seeds[arm][0], f"{test_set}.border")
    if len(items) != len(image):
        raise JaxsegError(
            f"{_counts_path(results, arm, results.seeds[arm][0])}: {test_set}.image names "
            f"{len(image)} items, {test_set}.border holds {len(items)}; {AGAIN}"
        )
    return image


def common_seeds(results: Results, arms: Sequence[str]) -> tuple[int, ...]:
    """Seeds that are done in every one of `arms`, ascending: what a paired comparison may use."""
    shared = set.intersection(*(set(results.seeds[arm]) for arm in arms))
    return tuple(sorted(shared))


def example_prediction(
    results: Results, arm: str, seed: int, key: str = "examples.prediction"
) -> np.ndarray | None:
    """Predicted class indices of the examples, uint8 [k, H, W]; None when not stored.

    `key` is `examples.clean_prediction` for what is predicted on `Examples.clean_image`.
    """
    path = _counts_path(results, arm, seed)
    if results.examples is None or key not in _names(path):
        return None
    found = _stored(results, arm, seed, key)
    if found.shape != results.examples.truth.shape:
        raise JaxsegError(
            f"{path}: {key!r} of shape {found.shape}, but examples.npz holds frames of "
            f"{results.examples.truth.shape}; {AGAIN}"
        )
    return found


def _counts_path(results: Results, arm: str, seed: int) -> Path:
    name = next(c.name for c in results.cells if (c.arm, c.seed, c.status) == (arm, seed, "done"))
    return results.workdir / "counts" / f"{name}.npz"


def _stored(results: Results, arm: str, seed: int, key: str) -> np.ndarray:
    path = _counts_path(results, arm, seed)
    if key not in _names(path):
        raise JaxsegError(f"{path}: holds no {key!r}; {AGAIN}")
    with arrays.naming(path):
        found = arrays.read_member(path, key)
    check_form(path, key, found, next(form for end, form in COUNTS.items() if key.endswith(end)))
    return found


def _names(path: Path) -> list[str]:
    with arrays.naming(path):
        return arrays.array_names(path)


def _with_constants(about: dict[str, Any]) -> Any:
    """The config with the fields that all overlays of the grid set to the same value.

    What is no config or no grid is left to `check_about`.
    """
    config, grid = about.get("config"), about.get("grid")
    if not (isinstance(config, dict) and isinstance(grid, list) and grid):
        return config
    if not all(isinstance(overlay, dict) for overlay in grid):
        return config
    merged = copy.deepcopy(config)
    for field, value in grid[0].items():
        if field == "seed" or any(field not in o or o[field] != value for o in grid):
            continue
        *sections, name = field.split(".")
        place: Any = merged
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[name] = value
    return merged


def _stored_test_sets(workdir: Path, cell: Cell) -> list[str]:
    path = workdir / "counts" / f"{cell.name}.npz"
    names = {key.removesuffix(".border") for key in _names(path) if key.endswith(".border")}
    if not names:
        raise JaxsegError(f"{path}: holds counts of no test set; run the evaluation again")
    if unknown := sorted(names - set(TEST_SETS)):
        raise JaxsegError(
            f"{path}: holds counts of test set {unknown[0]!r}; known are {', '.join(TEST_SETS)}"
        )
    return [t for t in TEST_SETS if t in names]


def _grid_order(done: list[Cell], axes: dict[str, list[str]]) -> list[str]:
    def place(cell: Cell) -> list[int]:
        return [
            values.index(cell.settings[axis]) if cell.settings[axis] in values else len(values)
            for axis, values in axes.items()
        ]

    return list(dict.fromkeys(cell.arm for cell in sorted(done, key=place)))
