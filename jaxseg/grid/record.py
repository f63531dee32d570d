"""What a run writes about itself and its cells, beyond the plain files of `workdir`."""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils.epath import Path

from jaxseg.data.masks import not_judged_as_background
from jaxseg.errors import DamagedError, JaxsegError
from jaxseg.grid import numerics, storage
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import FEEDS, Cell, base_settings
from jaxseg.grid.chunk import Trained
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

# Where a run's time went, as in progress.json; steps and waiting for data are parts of training.
SECONDS: tuple[str, ...] = (
    "prepare_s",
    "compile_s",
    "train_s",
    "evaluate_s",
    "steps_s",
    "data_wait_s",
)
KEEP_S = 60.0  # a run's seconds are written down that often

# Test sets whose predictions are looked at beyond their counts.
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

    One that says the same of all but the environment is left as it is, unless numbers may differ
    under this process's `numerics.conditions`: that is said on stderr, and all conditions are kept.
    Raises UsageError when another process has meanwhile begun a grid of other settings here.
    """
    data = {
        "name": group.settings["data.name"],
        "n_train": len(next(iter(group.data.train.values())).ids),
        "n_test": int(next(iter(group.data.test.values())).image.max()) + 1,
        "classes": list(group.data.classes),
        "planes": group.data.planes,
        "feed": group.feed,
        "masks": group.data.taken,
        "cautions": group.data.cautions,
    }
    overlays = resolve_overlays(grid, base_settings(config))
    about = {"config": dict(config), "grid": overlays, "axes": axes, "data": data}
    path, now = workdir / "config.json", numerics.conditions()
    before: list[dict[str, str]] = []
    if path.exists():
        files.check_config(workdir, config, grid)
        old = files.read_config(workdir)
        before = _conditions(old)
        # Groups may be trained on other splits: what is to be said of any of them stays.
        data["cautions"] = list(
            dict.fromkeys([*old["data"].get("cautions", []), *data["cautions"]])
        )
        same = json.loads(json.dumps(about)) == {key: old.get(key) for key in about}
        if same and (now in before or not before):
            return
    if before and now != before[-1]:
        print(
            f"{workdir}: was begun under other settings of the process: "
            f"{', '.join(numerics.differences(before[-1], now))}; cells trained from here on may "
            "differ in their last digits",
            file=sys.stderr,
            flush=True,
        )
    about["environment"] = files.environment(jax.local_devices(), processes)
    about["environment"]["conditions"] = [*(c for c in before if c != now), now]
    storage.write_sealed(path, about)


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
        chosen = choose_examples(name, sets[name], group.settings["eval.border_px"])
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
        if trained.diverged_at[i] < 0:
            arrays = frames | {name: values[i] for name, values in kept.items()}
            storage.write_arrays(files.counts_path(workdir, cell.id), arrays)


def cell_row(cell: Cell, place: int, trained: Trained, steps_per_epoch: int) -> files.Row:
    """The row of cells.csv of a cell, at `place` in its chunk, whose training has ended."""
    stopped, step = int(trained.stopped_at[place]), int(trained.diverged_at[place])
    epochs = cell.settings["optim.epochs"] if stopped < 0 else stopped // steps_per_epoch
    row = {"epochs": epochs, "wall_s": f"{trained.wall_s:.2f}"}
    if step < 0:
        return row | {"status": "done", "train_loss": f"{trained.losses[place]:.5f}"}
    return row | {
        "status": "diverged",
        "epochs": step // steps_per_epoch,
        "message": f"loss or weights not finite at step {step}; stopped there, not scored",
    }


class Seconds(dict[str, float]):
    """Where the time of a run has gone since it was last written to its share's file."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(SECONDS, 0.0))
        self.since = time.monotonic()

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Counts what happens within as `name`, also when it is interrupted."""
        clock = time.monotonic()
        try:
            yield
        finally:
            self[name] += time.monotonic() - clock


def add_progress(workdir: Path, share: Share, seconds: Seconds) -> None:
    """Adds the seconds, with the wall time, to the share's file, and begins them anew."""
    now, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = {"wall_s": now - seconds.since, "peak_memory_mb": round(peak)}
    files.add_progress(workdir, share, {**seconds, **total})
    seconds.update(dict.fromkeys(SECONDS, 0.0))
    seconds.since = now


def keep_progress(workdir: Path, share: Share, seconds: Seconds) -> None:
    """`add_progress` once in KEEP_S: what is killed has lost little of its time."""
    if time.monotonic() - seconds.since >= KEEP_S:
        add_progress(workdir, share, seconds)


@contextlib.contextmanager
def progress_kept(workdir: Path, share: Share, seconds: Seconds) -> Iterator[None]:
    """Adds the seconds at the end, also when the run is interrupted or fails.

    Then what is wrong with the file itself is not said: the run's own error is.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(JaxsegError, OSError):
            add_progress(workdir, share, seconds)
        raise
    add_progress(workdir, share, seconds)
