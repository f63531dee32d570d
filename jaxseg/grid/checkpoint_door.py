"""The door for checkpoints that somebody else may have written: what Orbax reads is checked."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from etils.epath import Path

from jaxseg.errors import DamagedError, JaxsegError
from jaxseg.grid.integrity import mend
from jaxseg.texts import is_number

LIMIT_BYTES = 2**34  # of one chunk: eighty of the paper's networks with Adam's moments
_LISTS = ("cells", "settings", "diverged_at", "stopped_at", "means")


def check_meta(folder: Path, meta: Any) -> dict[str, Any]:
    """Returns a checkpoint's meta; JaxsegError where it does not say what `checkpoints` saves."""
    if not isinstance(meta, dict):
        raise _damaged(folder, f"meta holds {type(meta).__name__}")
    cells = meta.get("cells")
    for name in _LISTS:
        if not isinstance(meta.get(name), list) or len(meta[name]) != len(cells or ()):
            raise _damaged(folder, f"meta has no list `{name}` with an entry a cell")
    rules = {
        "cells": all(isinstance(cell, str) and cell.isprintable() for cell in meta["cells"]),
        "settings": all(isinstance(settings, dict) for settings in meta["settings"]),
        "kind": meta.get("kind") in ("state", "variables"),
        "epoch": type(meta.get("epoch")) is int and meta["epoch"] >= 0,
        "step": type(meta.get("step")) is int and meta["step"] >= 0,
        "wall_s": is_number(meta.get("wall_s"), least=0),
        "losses": isinstance(meta.get("losses"), list),
        "classes": _is_names(meta.get("classes")),
        "arrays": isinstance(meta.get("arrays"), str),
    }
    rules |= {
        name: all(type(value) is int for value in meta[name])
        for name in ("diverged_at", "stopped_at")
    }
    for name, holds in rules.items():
        if not holds:
            raise _damaged(folder, f"meta says {name}={meta.get(name)!r:.60}")
    return meta


def check_arrays(folder: Path, described: Any, cells: int) -> None:
    """Raises DamagedError unless all arrays have an entry a cell, and LIMIT_BYTES at most."""
    leaves = jax.tree.leaves(described)
    if not leaves or any(leaf.shape[:1] != (cells,) for leaf in leaves):
        raise _damaged(folder, f"its arrays are not those of {cells} cells")
    size = sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in leaves)
    if size > LIMIT_BYTES:
        raise _damaged(folder, f"its arrays take {size} bytes, at most {LIMIT_BYTES} are read")


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
