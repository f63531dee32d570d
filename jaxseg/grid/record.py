"""What a run writes about itself and its cells, beyond the plain files of `workdir`."""

import json
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.chunk import Trained
from jaxseg.grid.evaluate import Examples, choose_examples, score_test_set
from jaxseg.grid.group import Group
from jaxseg.grid.train import selected_variables

# Where a run's time went, as in progress.json; steps and waiting for data are parts of training.
SECONDS: tuple[str, ...] = (
    "prepare_s",
    "compile_s",
    "train_s",
    "evaluate_s",
    "steps_s",
    "data_wait_s",
)


def write_config(
    workdir: Path,
    config: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Any],
    group: Group,
) -> None:
    """Writes config.json: settings, axes, data, versions and devices."""
    data = {
        "name": group.settings["data.name"],
        "n_train": len(next(iter(group.data.train.values())).ids),
        "n_test": int(next(iter(group.data.test.values())).image.max()) + 1,
        "classes": list(group.data.classes),
        "feed": group.feed,
    }
    record = {
        "config": dict(config),
        "grid": list(grid),
        "axes": axes,
        "data": data,
        "environment": files.environment(jax.devices()),
    }
    files.write_json(workdir / "config.json", record)


def read_feed(workdir: Path) -> str | None:
    """The feed that a workdir was begun with; None in a new one, JaxsegError for a damaged one."""
    path = workdir / "config.json"
    try:
        return json.loads(path.read_text())["data"]["feed"] if path.exists() else None
    except (ValueError, KeyError, TypeError) as error:
        raise JaxsegError(
            f"{path}: does not say data.feed ({error}); give another --workdir or remove this one"
        ) from error


def write_examples(workdir: Path, group: Group) -> Examples:
    """Writes examples.npz: the test items that will be shown, and returns them."""
    sets = group.data.test
    name = "quarter" if "quarter" in sets else next(iter(sets))
    chosen = choose_examples(name, sets[name], group.settings["eval.border_px"])
    files.write_arrays(
        workdir / "examples.npz",
        {
            "image": sets[name].images[chosen.item],
            "truth": sets[name].masks[chosen.item],
            "item": chosen.item,
            "label": np.asarray(chosen.label),
            "rule": np.asarray(chosen.rule),
        },
    )
    return chosen


def store_counts(
    workdir: Path, group: Group, chunk: Sequence[Cell], trained: Trained, examples: Examples
) -> None:
    """Scores a trained chunk on every test set and stores counts and example predictions."""
    variables, hyper = selected_variables(trained.state), trained.hyper
    counts = {
        name: score_test_set(group.score, variables, hyper, test)
        for name, test in group.data.test.items()
    }
    shown = group.data.test[examples.test_set].images[examples.item]
    predictions = np.asarray(group.predict(variables, hyper, shown))
    for i, cell in enumerate(chunk):
        arrays = {"examples.prediction": predictions[i]}
        for name, layouts in counts.items():
            arrays |= {f"{name}.{layout}": values[i] for layout, values in layouts.items()}
            arrays[f"{name}.image"] = group.data.test[name].image
        files.write_arrays(files.counts_path(workdir, cell.id), arrays)


def cell_row(cell: Cell, loss: float, diverged_at: int, wall_s: float) -> files.Row:
    """The row of cells.csv of a cell whose training has ended."""
    stopped = diverged_at >= 0
    return {
        "status": "diverged" if stopped else "done",
        "epochs": cell.settings["optim.epochs"],
        "wall_s": f"{wall_s:.2f}",
        "train_loss": f"{loss:.5f}",
        "message": f"loss was not finite at step {diverged_at}" if stopped else "",
    }


def write_progress(workdir: Path, started: float, seconds: dict[str, float]) -> None:
    """Adds this run's seconds and peak memory to progress.json."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = {"wall_s": time.monotonic() - started, "peak_memory_mb": round(peak)}
    files.add_progress(workdir, seconds | total)
