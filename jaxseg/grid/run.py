"""Runs a grid: prepares data, trains and scores chunk after chunk, stores results, resumes.

The one module that reads the config; below it plain keyword arguments are passed.
"""

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxseg.data.pipeline import train_batches
from jaxseg.data.progress import track
from jaxseg.grid import checkpoints
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell, expand, grid_axes, group_cells, resolve_overlays
from jaxseg.grid.evaluate import Examples, choose_examples, score_test_set
from jaxseg.grid.group import Group, compile_step, make_group, stack_hyper, validation_view
from jaxseg.grid.mapping import chunks, fill, put
from jaxseg.grid.train import selected_variables


def run_grid(config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]], workdir: Path) -> Path:
    """Finishes what is missing of a grid in `workdir`, which afterwards holds all result files.

    Args:
        config: nested mapping of all fields; see configs/padding_ablation.py for their meaning.
        grid: overlays, one a cell.
        workdir: folder for results and checkpoints; the same call on it resumes.

    Raises:
        UsageError: settings that cannot run, or a workdir made by others.
        JaxsegError: data that cannot be used.
    """
    started = time.monotonic()
    cells = expand(config, grid)
    files.open_workdir(workdir, config, grid)
    groups = group_cells(cells)
    done = files.read_finished(workdir)
    seconds = {"prepare_s": 0.0, "compile_s": 0.0, "train_s": 0.0, "evaluate_s": 0.0}
    axes = grid_axes(resolve_overlays(grid, cells[0].settings))
    for members in groups:
        if all(cell.id in done for cell in members):
            continue
        clock = time.monotonic()
        group = make_group(members)
        _write_config(workdir, config, grid, axes, group)
        examples = _write_examples(workdir, group)
        files.write_cells(workdir, groups, axes, done)
        seconds["prepare_s"] += time.monotonic() - clock
        group, compile_s = compile_step(group)
        seconds["compile_s"] += compile_s
        pending = [
            c for c in chunks(members, group.layout.slots) if not all(cell.id in done for cell in c)
        ]
        steps = sum(1 for _ in pending) * group.steps_per_epoch * group.settings["optim.epochs"]
        work = _finish_chunks(workdir, group, pending, examples, groups, axes, done, seconds)
        for _ in track(work, steps, "training", unit="step"):
            pass
    _write_progress(workdir, started, seconds)
    return workdir


def _finish_chunks(
    workdir: Path,
    group: Group,
    pending: Sequence[list[Cell]],
    examples: Examples,
    groups: Sequence[list[Cell]],
    axes: Mapping[str, Any],
    done: dict[str, files.Row],
    seconds: dict[str, float],
) -> Iterator[None]:
    """Trains and scores chunk after chunk; yields after every training step."""
    for chunk in pending:
        clock = time.monotonic()
        state, hyper, losses = yield from _train_chunk(workdir, group, chunk)
        trained = time.monotonic()
        _store_counts(workdir, group, chunk, selected_variables(state), hyper, examples)
        diverged = np.asarray(state.diverged_at)
        for i, cell in enumerate(chunk):
            done[cell.id] = _cell_row(cell, losses[i], int(diverged[i]), trained - clock)
        files.write_cells(workdir, groups, axes, done)
        seconds["train_s"] += trained - clock
        seconds["evaluate_s"] += time.monotonic() - trained


def _cell_row(cell: Cell, loss: float, diverged_at: int, wall_s: float) -> files.Row:
    stopped = diverged_at >= 0
    return {
        "status": "diverged" if stopped else "done",
        "epochs": cell.settings["optim.epochs"],
        "wall_s": f"{wall_s:.2f}",
        "train_loss": f"{loss:.5f}",
        "message": f"loss was not finite at step {diverged_at}" if stopped else "",
    }


def _train_chunk(workdir: Path, group: Group, chunk: list[Cell]) -> Iterator[None]:
    """Trains a chunk from its newest checkpoint on; returns (state, hyper, last losses)."""
    s = group.settings
    slots = fill(chunk, group.layout.slots)
    hyper = put(group.layout, "cell", stack_hyper(slots))
    state = group.init(hyper)
    with checkpoints.open_manager(workdir, chunk) as manager:
        abstract = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
        )
        start, state = checkpoints.restore_state(manager, abstract, chunk) or (0, state)
        files.forget_epochs(workdir, [cell.id for cell in chunk], start)
        for _ in range(start * group.steps_per_epoch):
            yield
        batches = _chunk_batches(group, slots, start)
        loss = np.full(len(slots), np.nan)
        for epoch in range(start, s["optim.epochs"]):
            losses = []
            for _ in range(group.steps_per_epoch):
                images, masks = next(batches)
                state, value = group.step(state, hyper, images, masks)
                losses.append(value)
                yield
            loss = np.mean(jax.device_get(losses), axis=0)
            last = epoch + 1 == s["optim.epochs"]
            state, validation = _validate(group, slots, state, hyper, last)
            _log_epoch(workdir, chunk, epoch, (epoch + 1) * group.steps_per_epoch, loss, validation)
            if not last and (epoch + 1) % s["run.checkpoint_epochs"] == 0:
                checkpoints.save(manager, epoch + 1, "state", state, chunk, group.data.classes)
        checkpoints.save(
            manager,
            s["optim.epochs"],
            "variables",
            selected_variables(state),
            chunk,
            group.data.classes,
        )
    return state, hyper, loss


def _chunk_batches(
    group: Group, slots: Sequence[Cell], start: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches [slots, B, …] of a chunk on its devices; cells with the same stream share it."""
    s = group.settings
    keys = [(cell.settings["data.crop"], cell.seed) for cell in slots]
    streams = {
        key: train_batches(
            group.data.train, key[0], key[1], s["optim.batch_size"], start, s["optim.epochs"]
        )
        for key in dict.fromkeys(keys)
    }
    for parts in zip(*streams.values()):
        batch = dict(zip(streams, parts))
        stacked = [np.stack([batch[key][i] for key in keys]) for i in range(2)]
        yield tuple(put(group.layout, "batch", array) for array in stacked)


def _validate(
    group: Group, slots: Sequence[Cell], state: Any, hyper: Any, last: bool
) -> tuple[Any, np.ndarray | None]:
    """(state, [slots, 2] validation loss and Dice): each epoch under `best`, else at the end."""
    best = group.settings["optim.select"] == "best"
    if not group.data.validation or not (best or last):
        return state, None
    sets = [group.data.validation[validation_view(cell.settings["data.crop"])] for cell in slots]
    batch = group.settings["optim.batch_size"]
    total = max(len(items.image) for items in sets)
    sums = np.zeros((len(slots), 5))
    for start in range(0, total, batch):
        rows = np.arange(start, start + batch)
        picks = [np.minimum(rows, len(items.image) - 1) for items in sets]
        arrays = (
            np.stack([items.images[pick] for items, pick in zip(sets, picks)]),
            np.stack([items.masks[pick] for items, pick in zip(sets, picks)]),
            np.stack([(rows < len(items.image)).astype(np.float32) for items in sets]),
        )
        sums += np.asarray(
            group.validate(state, hyper, *(put(group.layout, "batch", a) for a in arrays))
        )
    loss, tp, fp, fn, weight = sums.T
    values = np.stack([loss / weight, 2 * tp / np.maximum(2 * tp + fp + fn, 1)], axis=1)
    if best:
        state = group.select(state, put(group.layout, "cell", values[:, 0].astype(np.float32)))
    return state, values


def _log_epoch(
    workdir: Path,
    chunk: Sequence[Cell],
    epoch: int,
    step: int,
    loss: np.ndarray,
    validation: np.ndarray | None,
) -> None:
    rows = []
    for i, cell in enumerate(chunk):
        val = (None, None) if validation is None else map(_finite, validation[i])
        row = {"cell": cell.id, "epoch": epoch, "step": step, "loss": _finite(loss[i])}
        rows.append(row | dict(zip(("val_loss", "val_dice"), val)))
    files.append_metrics(workdir, rows)


def _finite(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _store_counts(
    workdir: Path,
    group: Group,
    chunk: Sequence[Cell],
    variables: Any,
    hyper: Any,
    examples: Examples,
) -> None:
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


def _write_config(
    workdir: Path,
    config: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Any],
    group: Group,
) -> None:
    data = {
        "name": group.settings["data.name"],
        "n_train": len(next(iter(group.data.train.values())).ids),
        "n_test": int(next(iter(group.data.test.values())).image.max()) + 1,
        "classes": list(group.data.classes),
    }
    record = {
        "config": dict(config),
        "grid": list(grid),
        "axes": axes,
        "data": data,
        "environment": files.environment(jax.devices()),
    }
    files.write_json(workdir / "config.json", record)


def _write_examples(workdir: Path, group: Group) -> Examples:
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


def _write_progress(workdir: Path, started: float, seconds: dict[str, float]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = {"wall_s": time.monotonic() - started, "peak_memory_mb": round(peak)}
    files.add_progress(workdir, seconds | total)
