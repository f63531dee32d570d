"""The door for checkpoints that somebody else may have written: what Orbax reads is checked."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from etils.epath import Path

from jaxseg.errors import DamagedError, JaxsegError
from jaxseg.grid.integrity import mend
from jaxseg.texts import is_number

LIMIT_BYTES = 2**32  # of one cell: fifteen of the paper's networks with Adam's moments and the best
_BY_ENTRY = ("diverged_at", "stopped_at", "means")


def check_meta(folder: Path, meta: Any) -> dict[str, Any]:
    """Returns a checkpoint's meta; DamagedError where it does not say what `checkpoints` saves.

    `entries` is added: the length of the arrays' leading axis. Older checkpoints have one entry for
    each slot of the devices, of which the first are those of the cells; lists are cut to these.
    """
    if not isinstance(meta, dict):
        raise _damaged(folder, f"meta holds {type(meta).__name__}")
    for name in ("cells", "settings", "losses", *_BY_ENTRY):
        if not isinstance(meta.get(name), list):
            raise _damaged(folder, f"meta has no list `{name}`")
    cells, entries = len(meta["cells"]), len(meta["means"])
    rules = {
        "cells": all(isinstance(cell, str) and cell.isprintable() for cell in meta["cells"]),
        "settings": len(meta["settings"]) == cells
        and all(isinstance(settings, dict) for settings in meta["settings"]),
        "kind": meta.get("kind") in ("state", "variables"),
        "epoch": type(meta.get("epoch")) is int and meta["epoch"] >= 0,
        "step": type(meta.get("step")) is int and meta["step"] == len(meta["losses"]),
        "wall_s": is_number(meta.get("wall_s"), least=0),
        "losses": all(_are(float, losses, entries) for losses in meta["losses"]),
        "means": _are(float, meta["means"], entries) and entries >= cells,
        "diverged_at": _are(int, meta["diverged_at"], entries),
        "stopped_at": _are(int, meta["stopped_at"], entries),
        "classes": _is_names(meta.get("classes")),
        "arrays": isinstance(meta.get("arrays"), str),
    }
    for name, holds in rules.items():
        if not holds:
            raise _damaged(folder, f"meta says {name}={meta.get(name)!r:.60}")
    cut = {name: meta[name][:cells] for name in _BY_ENTRY}
    losses = [of_step[:cells] for of_step in meta["losses"]]
    return {**meta, **cut, "losses": losses, "entries": entries}


def _are(kind: type, values: Any, count: int) -> bool:
    """Whether `values` is a list of `count` numbers of a type."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) is kind for value in values)
    )


def check_arrays(folder: Path, described: Any, entries: int) -> None:
    """Raises DamagedError unless all arrays have `entries` entries.

    JaxsegError where they take more than LIMIT_BYTES an entry.
    """
    leaves = jax.tree.leaves(described)
    if not leaves or any(leaf.shape[:1] != (entries,) for leaf in leaves):
        raise _damaged(folder, f"its arrays do not have {entries} entries, one for a cell")
    size = sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in leaves)
    if size > LIMIT_BYTES * entries:
        raise JaxsegError(
            f"{folder}: its arrays take {size // entries} bytes a cell, must be at most "
            f"{LIMIT_BYTES}"
        )


def check_variables(cell: str, net: Any, variables: Any, size: int) -> None:
    """Raises JaxsegError unless `variables` are those of `net`, array by array."""
    frame = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    expected = jax.eval_shape(net.init, jax.random.key(0), frame)
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in flat}
        for flat in (jax.tree_util.tree_leaves_with_path(tree) for tree in (expected, variables))
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        if shapes[0].get(name) != shapes[1].get(name):
            raise JaxsegError(
                f"cell {cell}: {name} has shape {shapes[1].get(name)}, must be "
                f"{shapes[0].get(name)} by its settings"
            )


def _is_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names) and bool(names)


def _damaged(folder: Path, what: str) -> DamagedError:
    return DamagedError(folder, what, mend(folder))
