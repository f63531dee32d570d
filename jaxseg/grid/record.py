"""What a run writes about itself and its cells, and the tables merged from all processes.

cells.csv, metrics.jsonl and progress.json are merged from the files of each process. Every process
merges them when it has finished something. If two merge at the same time, the one that writes last
reads the files again, so that the result includes what both have finished.
"""

import contextlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils.epath import Path

from jaxseg.command_line import this_command
from jaxseg.data.masks import not_judged_as_background
from jaxseg.errors import DamagedError, JaxsegError
from jaxseg.grid import devices, storage
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.chunk import Trained
from jaxseg.grid.config import FEEDS, make_config
from jaxseg.grid.evaluate import (
    Examples,
    choose_examples,
    choose_frames,
    predict_items,
    score_items,
    stability,
)
from jaxseg.grid.group import Group
from jaxseg.grid.processes import Share
from jaxseg.grid.sweeps import resolve_overlays
from jaxseg.texts import csv_text, utf8

# Where a run's time went, as in progress.json; steps and waiting for data are parts of training.
SECONDS: tuple[str, ...] = (
    "prepare_s",
    "compile_s",
    "train_s",
    "evaluate_s",
    "steps_s",
    "data_wait_s",
)
KEEP_S = 60.0  # seconds between two writes of the times of a run

Rows = Mapping[str, files.Row]  # by cell
# Test sets of which predictions are stored besides the counts.
_PREDICTIONS_OF = ("clean", "sequence")


def write_config(
    workdir: Path,
    config: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Any],
    group: Group,
    processes: int,
) -> None:
    """Writes config.json: settings, axes, data, versions and devices.

    A file that differs in the environment alone is left as it is, unless numbers may differ under
    this process's `devices.conditions`: that is reported on stderr, and all conditions are kept.
    Raises UsageError when another process has meanwhile begun a grid of other settings here.
    """
    data = {
        "name": group.config.data.name,
        "n_train": group.data.n_train,
        "n_test": int(next(iter(group.data.test.values())).image.max()) + 1,
        "classes": list(group.data.classes),
        "planes": group.data.planes,
        "feed": group.feed,
        "masks": group.data.taken,
        "cautions": group.data.cautions,
    }
    overlays = resolve_overlays(grid, make_config(config).flat())
    about = {"config": dict(config), "grid": overlays, "axes": axes, "data": data}
    path, now = workdir / "config.json", devices.conditions()
    before: list[dict[str, str]] = []
    if path.exists():
        files.check_same_settings(workdir, config, grid)
        old = files.read_config(workdir)
        before = _conditions(old)
        # Groups may be trained on different splits: the cautions of all of them are kept.
        data["cautions"] = list(
            dict.fromkeys([*old["data"].get("cautions", []), *data["cautions"]])
        )
        same = json.loads(json.dumps(about)) == {key: old.get(key) for key in about}
        if same and (now in before or not before):
            return
    if before and now != before[-1]:
        print(
            f"{workdir}: was begun under other settings of the process: "
            f"{', '.join(devices.differences(before[-1], now))}; cells trained from here on may "
            "differ in their last digits",
            file=sys.stderr,
            flush=True,
        )
    about["environment"] = _environment(jax.local_devices(), processes)
    about["environment"]["conditions"] = [*(c for c in before if c != now), now]
    storage.write_with_digest(path, about)


def _environment(used: Sequence[Any], processes: int) -> files.Row:
    """The command, versions and devices of each of the processes."""
    import jaxseg

    several = f"{processes} processes with each " if processes > 1 else ""
    return {
        "command": this_command(),
        "jaxseg": jaxseg.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{several}{len(used)} × {used[0].device_kind} ({used[0].platform})",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
    }


def _conditions(old: files.Row) -> list[dict[str, str]]:
    """The conditions of all runs that config.json names; none where it was written without."""
    environment = old.get("environment")
    found = environment.get("conditions") if isinstance(environment, dict) else None
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def read_feed(workdir: Path) -> str | None:
    """The feed that a workdir was begun with; None in a new one, DamagedError for a damaged one."""
    path = workdir / "config.json"
    if not path.exists():
        return None
    feed = files.read_config(workdir)["data"].get("feed")
    if feed not in FEEDS:
        raise DamagedError(path, f"`data.feed` must be one of {', '.join(FEEDS)}", files.OTHER)
    return feed


def write_examples(workdir: Path, group: Group) -> Examples:
    """Writes examples.npz: the test items that will be shown, and returns them."""
    sets = group.data.test
    if "annotated" in sets:
        chosen = choose_frames("annotated", sets["annotated"], group.data.planes)
    else:
        name = "quarter" if "quarter" in sets else next(iter(sets))
        chosen = choose_examples(name, sets[name], group.config.eval.border_px)
    shown = sets[chosen.test_set]
    arrays = {
        "image": shown.images[chosen.item],
        "truth": not_judged_as_background(shown.masks[chosen.item])[0],
        "item": chosen.item,
        "label": np.asarray(chosen.label),
        "rule": np.asarray(chosen.rule),
    }
    if "clean" in sets:
        arrays["clean_image"] = sets["clean"].images[chosen.item]
    storage.write_arrays(workdir / "examples.npz", arrays)
    return chosen


def store_counts(
    workdir: Path, group: Group, chunk: Sequence[Cell], trained: Trained, examples: Examples
) -> None:
    """Scores a trained chunk on every test set and stores counts and example predictions.

    A cell that diverged has none: its variables are those of a training that was cut off.
    """
    kept: dict[str, np.ndarray] = {}  # [cells, ...]
    for name, test in group.data.test.items():
        batches = predict_items(group.predict, trained.variables, trained.hyper, test.images)
        counts = score_items(group.score, batches, test.masks)
        kept |= {f"{name}.{layout}": values for layout, values in counts.items()}
        if name not in (examples.test_set, *_PREDICTIONS_OF):
            continue
        predictions = np.concatenate(jax.device_get(batches), axis=1)[:, : len(test.masks)]
        if name == "sequence":
            kept["sequence.stability"] = stability(predictions, test.image, len(group.data.classes))
        elif name == examples.test_set:
            kept["examples.prediction"] = predictions[:, examples.item]
        else:
            kept["examples.clean_prediction"] = predictions[:, examples.item]
    frames = {f"{name}.image": test.image for name, test in group.data.test.items()}
    for i, cell in enumerate(chunk):
        if trained.position.diverged_at[i] < 0:
            arrays = frames | {name: values[i] for name, values in kept.items()}
            storage.write_arrays(files.counts_path(workdir, cell.id), arrays)


def cell_row(cell: Cell, place: int, trained: Trained, steps_per_epoch: int) -> files.Row:
    """The row of cells.csv of a cell, at `place` in its chunk, whose training has ended."""
    at = trained.position
    stopped, step = at.stopped_at[place], at.diverged_at[place]
    epochs = cell.config.optim.epochs if stopped < 0 else stopped // steps_per_epoch
    row = {"epochs": epochs, "wall_s": f"{at.wall_s:.2f}"}
    if step < 0:
        return row | {"status": "done", "train_loss": f"{at.means[place]:.5f}"}
    return row | {
        "status": "diverged",
        "epochs": step // steps_per_epoch,
        "message": f"loss or weights not finite at step {step}; stopped there, not scored",
    }


class Seconds(dict[str, float]):
    """Where the time of a run has gone since it was last written to its process's file."""

    def __init__(self, workdir: Path, share: Share) -> None:
        super().__init__(dict.fromkeys(SECONDS, 0.0))
        self.since = time.monotonic()
        self._path = files.progress_path(workdir, f"{share.index}-of-{share.count}")

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Counts what happens within as `name`, also when it is interrupted."""
        clock = time.monotonic()
        try:
            yield
        finally:
            self[name] += time.monotonic() - clock

    def write(self) -> None:
        """Adds the seconds, with the wall time and the peak memory, to the file; begins anew."""
        now, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        old = files.read_progress(self._path)
        spent = {**self, "wall_s": now - self.since}
        total = {name: round(old.get(name, 0.0) + value, 4) for name, value in spent.items()}
        total["peak_memory_mb"] = max(old.get("peak_memory_mb", 0), round(peak))
        storage.write_json(self._path, total)
        self.update(dict.fromkeys(SECONDS, 0.0))
        self.since = now

    def write_now_and_then(self) -> None:
        """Writes them every KEEP_S seconds, so that a killed run loses little of its times."""
        if time.monotonic() - self.since >= KEEP_S:
            self.write()

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Writes them at the end, also when the run is interrupted or fails.

        Then an error of the file itself is not reported, but the error of the run.
        """
        try:
            yield
        except BaseException:
            with contextlib.suppress(JaxsegError, OSError):
                self.write()
            raise
        self.write()


def merge_cells(
    workdir: Path,
    groups: Sequence[Sequence[Cell]],
    axes: Sequence[str],
    done: Rows,
) -> dict[str, files.Row]:
    """Writes cells.csv and returns the rows of all that have ended, `done` among them."""
    found = files.read_finished(workdir, done)
    while True:
        storage.write_bytes(workdir / "cells.csv", utf8(_cells_csv(groups, axes, found)))
        again = files.read_finished(workdir, found)
        if again.keys() == found.keys():
            return found
        found = again


def merge_all(
    workdir: Path,
    groups: Sequence[Sequence[Cell]],
    axes: Sequence[str],
    done: Rows,
) -> dict[str, files.Row]:
    """Writes all three files and returns the rows of the cells that have ended."""
    while True:
        done = merge_cells(workdir, groups, axes, done)
        parts = _progress_parts(workdir)
        _merge_metrics(workdir, groups)
        storage.write_json(workdir / "progress.json", total_progress(parts))
        again = files.read_finished(workdir, done)
        if again.keys() == done.keys() and _progress_parts(workdir) == parts:
            return again
        done = again


def _cells_csv(groups: Sequence[Sequence[Cell]], axes: Sequence[str], done: Rows) -> str:
    """Every cell of the grid with its status and, when it has ended, its row."""
    columns = ["cell", "status", "arm", "group", *axes, "seed"]
    columns += ["epochs", "wall_s", "train_loss", "message"]
    rows = []
    for index, group in enumerate(groups):
        for cell in group:
            fields = cell.config.flat()
            row = {axis: fields[axis] for axis in axes}
            row |= {"cell": cell.id, "status": "pending", "arm": cell.arm, "group": index}
            row |= {"seed": cell.seed} | dict(done.get(cell.id, {}))
            rows.append([row.get(column, "") for column in columns])
    return csv_text(columns, rows)


def _merge_metrics(workdir: Path, groups: Sequence[Sequence[Cell]]) -> None:
    rows = [row for g in groups for cell in g for row in files.read_metrics(workdir, cell.id)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    storage.write_bytes(workdir / "metrics.jsonl", text.encode())


def _progress_parts(workdir: Path) -> dict[str, files.Row]:
    """{share, such as "0-of-2": its seconds and memory}."""
    names = storage.names(workdir / "progress", ".json")
    parts = {name: files.read_progress(files.progress_path(workdir, name)) for name in names}
    return {
        name: part for name, part in parts.items() if {"wall_s", "peak_memory_mb"} <= part.keys()
    }


def total_progress(parts: Rows) -> files.Row:
    """Seconds of all processes together; wall time is that of the slowest of those side by side,
    memory the largest of one process. `data_wait_share` is the part of the steps' time in which
    devices waited for data."""
    total: files.Row = {}
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
