"""Checkpoints: one Orbax CheckpointManager per chunk, restored onto whatever devices are there.

    checkpoints/<first cell>/<number>/state      training in progress: the whole TrainState
    checkpoints/<first cell>/<number>/variables  finished: what the cells are judged by
    checkpoints/<first cell>/<number>/meta       JSON: cells, settings, classes and a Position

Arrays have a leading cell axis in the order of meta's cells. Numbers count the saves: a new one
never takes the place of the last, which is removed when the new one is whole. Meta carries a digest
of the arrays and one of itself, which every reader checks.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils.epath import Path

from jaxseg.errors import DamagedError, JaxsegError, check_choice, disk_errors
from jaxseg.grid.cells import Cell
from jaxseg.grid.checkpoint_door import check_arrays, check_meta
from jaxseg.grid.integrity import (
    check_tree,
    damage_named,
    failing_quietly,
    mend,
    tree_digest,
)
from jaxseg.grid.storage import as_folder
from jaxseg.grid.train import TrainState
from jaxseg.seals import seal, unseal

FOLDER = "checkpoints"
Kind = Literal["state", "variables"]
_READ_ONLY = ocp.CheckpointManagerOptions(read_only=True, save_interval_steps=0, create=False)


class Position(NamedTuple):
    """How far a chunk has come: `epoch` whole epochs, `step` steps of the next one.

    `losses` are those steps' [step][slots]; `means` [slots] those of the last whole epoch that each
    cell trained, NaN before its first. `diverged_at` and `stopped_at` [slots] are as in TrainState,
    -1 for cells that do not; `wall_s` counts all runs so far.
    """

    epoch: int
    step: int
    losses: list[list[float]]
    means: list[float]
    diverged_at: list[int]
    stopped_at: list[int]
    wall_s: float


class Restored(NamedTuple):
    """A checkpoint on the devices: `tree` is a TrainState or, of a finished chunk, variables."""

    kind: Kind
    position: Position
    tree: Any


def open_manager(workdir: Path, chunk: Sequence[Cell]) -> ocp.CheckpointManager:
    """The manager of a chunk's checkpoints; it keeps the newest and writes atomically."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    folder = workdir / FOLDER / chunk[0].id
    with disk_errors(folder):
        return ocp.CheckpointManager(folder, options=options)


def save(
    manager: ocp.CheckpointManager,
    kind: Kind,
    tree: Any,
    position: Position,
    chunk: Sequence[Cell],
    classes: Sequence[str],
) -> None:
    """Saves a tree and how far it has come; JaxsegError naming the folder for a full disk."""
    meta = {
        "cells": [cell.id for cell in chunk],
        "settings": [cell.settings for cell in chunk],
        "classes": list(classes),
        "kind": kind,
        "arrays": tree_digest(tree),
        **position._asdict(),
    }
    items = {kind: ocp.args.StandardSave(tree), "meta": ocp.args.JsonSave(seal(meta))}
    latest = manager.latest_step()
    number = 0 if latest is None else latest + 1
    with disk_errors(Path(manager.directory)), failing_quietly():
        manager.save(number, args=ocp.args.Composite(**items), force=True)
        manager.wait_until_finished()


def restore(
    manager: ocp.CheckpointManager, abstract: TrainState, chunk: Sequence[Cell]
) -> Restored | None:
    """The newest checkpoint of a chunk, or None when it must start from the beginning.

    `abstract` gives shapes and shardings; None too where another chunk of cells lies in the folder.
    A damaged checkpoint is named on stderr and taken for none; the next one replaces it.
    """
    number = manager.latest_step()
    if number is None:
        return None
    try:
        return _restore(manager, number, abstract, chunk)
    except DamagedError as error:
        print(f"{error.path}: damaged: {error.reason}; training {chunk[0].id} and those beside it "
              "from the beginning", file=sys.stderr, flush=True)  # fmt: skip
        return None


def _restore(
    manager: ocp.CheckpointManager, number: int, abstract: TrainState, chunk: Sequence[Cell]
) -> Restored | None:
    folder = Path(manager.directory) / str(number)
    meta = _meta(manager, folder)
    if meta["cells"] != [cell.id for cell in chunk]:
        return None
    kind = meta["kind"]
    like = abstract if kind == "state" else abstract.variables
    items = {kind: ocp.args.StandardRestore(like)}
    with damage_named(folder):
        tree = manager.restore(number, args=ocp.args.Composite(**items))[kind]
    check_tree(tree, meta["arrays"], folder)
    return Restored(kind, Position(**{name: meta[name] for name in Position._fields}), tree)


def _meta(manager: ocp.CheckpointManager, folder: Path) -> dict[str, Any]:
    """The meta of the checkpoint in `folder`; DamagedError where it is not what was saved."""
    item = ocp.args.Composite(meta=ocp.args.JsonRestore())
    with damage_named(folder):
        sealed = manager.restore(int(folder.name), args=item)["meta"]
        return check_meta(folder, unseal(sealed, folder / "meta", mend(folder)))


def find_cells(workdir: str | os.PathLike[str]) -> dict[str, tuple[Path, int, dict[str, Any]]]:
    """Every cell that has a checkpoint: {cell id: (folder, position in it, meta)}.

    Raises JaxsegError when the workdir holds no checkpoints, DamagedError when one is damaged.
    """
    found, damaged = _scan(workdir)
    if damaged:
        raise damaged[0]
    return found


def _scan(workdir: str | os.PathLike[str]) -> tuple[dict[str, Any], list[DamagedError]]:
    """(what `find_cells` gives, the errors of checkpoints whose cells cannot be known)."""
    root = as_folder(workdir) / FOLDER
    found: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    damaged: list[DamagedError] = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        with (
            damage_named(folder / "0"),
            ocp.CheckpointManager(folder, options=_READ_ONLY) as manager,
        ):
            number = manager.latest_step()
            if number is None:
                continue
            try:
                meta = _meta(manager, folder / str(number))
            except DamagedError as error:
                damaged.append(error)
                continue
        for position, cell in enumerate(meta["cells"]):
            # Another number of processes makes other chunks: what they left unfinished stays.
            if cell not in found or meta["kind"] == "variables":
                found[cell] = (folder, position, meta)
    if not found and not damaged:
        raise JaxsegError(f"{root}: holds no checkpoints; give the workdir of a grid that has run")
    return found, damaged


def restore_cell(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tree of numpy arrays without a cell axis, meta) of a cell's newest checkpoint.

    The tree is {"params", "batch_stats"} of a finished cell and a whole training state of an
    unfinished one, whose meta["kind"] says so. Raises UsageError for an unknown cell and
    DamagedError for a checkpoint that is not what was saved.
    """
    cells, damaged = _scan(workdir)
    if cell not in cells and damaged:
        raise damaged[0]  # it may have held the cell
    folder, position, meta = cells[check_choice("cell", cell, cells)]
    tree = restore_chunk(folder, meta)
    return jax.tree.map(lambda leaf: leaf[position], tree), meta


def restore_chunk(folder: Path, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a folder's newest checkpoint: numpy arrays, cells along the leading axis.

    Raises DamagedError where it is not what was saved with `meta`.
    """
    with ocp.CheckpointManager(folder, options=_READ_ONLY) as manager:
        number = folder / str(manager.latest_step())
    with damage_named(number):
        tree = _read_tree(number / meta["kind"], len(meta["cells"]))
    check_tree(tree, meta["arrays"], number)
    return tree


def _read_tree(item: Path, cells: int) -> dict[str, Any]:
    with ocp.StandardCheckpointer() as checkpointer:
        described = checkpointer.metadata(item).item_metadata
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
            described.tree if hasattr(described, "tree") else described,
        )
        check_arrays(item.parent, abstract, cells)
        tree = checkpointer.restore(item, abstract)
    return jax.tree.map(np.asarray, tree)
