"""Checkpoints: one Orbax CheckpointManager per chunk, restored onto whatever devices are there.

    checkpoints/<first cell>/<epoch>/state      training in progress: the whole TrainState
    checkpoints/<first cell>/<epoch>/variables  finished: what the cells are judged by
    checkpoints/<first cell>/<epoch>/meta       JSON: cells, their settings, classes

Arrays have a leading cell axis in the order of meta's cells.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils.epath import Path

from jaxseg.errors import JaxsegError, check_choice
from jaxseg.grid.cells import Cell, Settings, make_net
from jaxseg.grid.storage import as_folder
from jaxseg.grid.train import TrainState, class_indices, normalise

FOLDER = "checkpoints"
_READ_ONLY = ocp.CheckpointManagerOptions(read_only=True, save_interval_steps=0, create=False)


def open_manager(workdir: Path, chunk: Sequence[Cell]) -> ocp.CheckpointManager:
    """The manager of a chunk's checkpoints; it keeps the newest and writes atomically."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(workdir / FOLDER / chunk[0].id, options=options)


def save(
    manager: ocp.CheckpointManager,
    epoch: int,
    kind: str,
    tree: Any,
    chunk: Sequence[Cell],
    classes: Sequence[str],
) -> None:
    """Saves a tree under `kind` ("state" or "variables") after `epoch` epochs."""
    meta = {
        "cells": [cell.id for cell in chunk],
        "settings": [cell.settings for cell in chunk],
        "classes": list(classes),
        "epoch": epoch,
        "kind": kind,
    }
    items = {kind: ocp.args.StandardSave(tree), "meta": ocp.args.JsonSave(meta)}
    # The finished variables may carry the epoch of the last state: they take its place.
    manager.save(epoch, args=ocp.args.Composite(**items), force=True)
    manager.wait_until_finished()


def restore_state(
    manager: ocp.CheckpointManager, abstract: TrainState, chunk: Sequence[Cell]
) -> tuple[int, TrainState] | None:
    """(epochs done, state) of an interrupted chunk, or None when it must start from the beginning.

    `abstract` gives shapes and shardings; None too where another chunk of cells lies in the folder.
    """
    epoch = manager.latest_step()
    if epoch is None:
        return None
    meta = _meta(manager, epoch)
    if meta["kind"] != "state" or meta["cells"] != [cell.id for cell in chunk]:
        return None
    args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    return epoch, manager.restore(epoch, args=args)["state"]


def _meta(manager: ocp.CheckpointManager, epoch: int) -> dict[str, Any]:
    return manager.restore(epoch, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]


def find_cells(workdir: str | os.PathLike[str]) -> dict[str, tuple[Path, int, dict[str, Any]]]:
    """Every cell that has a checkpoint: {cell id: (folder, position in it, meta)}.

    Raises JaxsegError when the workdir holds no checkpoints.
    """
    root = as_folder(workdir) / FOLDER
    found: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        with ocp.CheckpointManager(folder, options=_READ_ONLY) as manager:
            epoch = manager.latest_step()
            if epoch is None:
                continue
            meta = _meta(manager, epoch)
        for position, cell in enumerate(meta["cells"]):
            # Another number of processes makes other chunks: what they left unfinished stays.
            if cell not in found or meta["kind"] == "variables":
                found[cell] = (folder, position, meta)
    if not found:
        raise JaxsegError(f"{root}: holds no checkpoints; give the workdir of a grid that has run")
    return found


def restore_cell(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tree of numpy arrays without a cell axis, meta) of a cell's newest checkpoint.

    The tree is {"params", "batch_stats"} of a finished cell and a whole training state of an
    unfinished one, whose meta["kind"] says so. Raises UsageError for an unknown cell.
    """
    cells = find_cells(workdir)
    folder, position, meta = cells[check_choice("cell", cell, cells)]
    with ocp.CheckpointManager(folder, options=_READ_ONLY) as manager:
        item = folder / str(manager.latest_step()) / meta["kind"]
    with ocp.StandardCheckpointer() as checkpointer:
        described = checkpointer.metadata(item).item_metadata
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
            described.tree if hasattr(described, "tree") else described,
        )
        tree = checkpointer.restore(item, abstract)
    return jax.tree.map(lambda leaf: np.asarray(leaf[position]), tree), meta


def load_cell(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[Callable[[Any], np.ndarray], Settings]:
    """A finished cell as (predict, settings).

    `predict` maps uint8 images [B, H, W, 3] to class indices uint8 [B, H, W]. Raises UsageError for
    an unknown cell and JaxsegError for one whose training has not finished.
    """
    variables, meta = restore_cell(workdir, cell)
    if meta["kind"] != "variables":
        raise JaxsegError(
            f"cell {cell}: stopped after {meta['epoch']} epochs; run the same command to finish"
        )
    settings = meta["settings"][meta["cells"].index(cell)]
    net = make_net(settings, classes=len(meta["classes"]))

    @jax.jit
    def forward(images):
        return class_indices(net.apply(variables, normalise(images)))

    return lambda images: np.asarray(forward(np.asarray(images, np.uint8))), settings
