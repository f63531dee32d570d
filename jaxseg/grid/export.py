"""A finished cell as one npz file that describes itself, read anywhere without its workdir.

    description            JSON, sealed: see `_describe`
    params/inc/conv1/kernel, batch_stats/...   float32, the network's variables by their path

What else reads such a file needs NumPy alone; `load_export` gives back what `load_cell` gives.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data import arrays as npz
from jaxseg.errors import DamagedError, JaxsegError, UsageError
from jaxseg.escape import one_line
from jaxseg.grid.cells import DEFAULTS, Settings, check_cell, make_net
from jaxseg.grid.checkpoints import restore_cell
from jaxseg.grid.integrity import tree_digest
from jaxseg.grid.loading import load_variables, predictor
from jaxseg.grid.storage import write_arrays
from jaxseg.grid.train import SCALING
from jaxseg.homes import expand
from jaxseg.seals import seal, unseal
from jaxseg.texts import parse_json

FORMAT = "jaxseg export 1"
DESCRIPTION = "description"
SUFFIX = ".npz"
_MEND = "export it again with launch/inspect_checkpoint.py --export"


def export_cell(
    workdir: str | os.PathLike[str], cell: str, path: str | os.PathLike[str]
) -> dict[str, Any]:
    """Writes a finished cell to `path`, an .npz file, whole, and returns its description.

    `load_export` then predicts uint8 [B, H, W] from uint8 images [B, H, W, 3].

    Raises:
        UsageError: an unknown cell, or a path that cannot be written or does not end in .npz.
        JaxsegError: a cell whose training has not finished or has diverged, a damaged checkpoint.
    """
    path = expand(path)
    check_target(path, "path")
    _, variables, settings = load_variables(workdir, cell)
    meta = restore_cell(workdir, cell)[1]
    about = _describe(cell, settings, meta, tree_digest(variables))
    written = flat_arrays(variables) | {DESCRIPTION: np.asarray(json.dumps(seal(about), indent=1))}
    write_arrays(path, written)
    return about


def load_export(
    path: str | os.PathLike[str],
) -> tuple[Callable[[Any], np.ndarray], Settings]:
    """A cell written by `export_cell` as (predict, settings), as `load_cell` gives them.

    `predict` maps uint8 images [B, H, W, 3], red first, to class indices uint8 [B, H, W], bit for
    bit those of `load_cell`. Nothing is unpickled.

    Raises:
        UsageError: no such file.
        JaxsegError: a file that `export_cell` has not written or that is damaged, one line.
    """
    path = expand(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; write one with --export of inspect_checkpoint.py")
    about = read_description(path)
    settings = DEFAULTS | about["settings"]
    try:
        check_cell(settings)
        net = make_net(settings, classes=len(about["classes"]))
        frame = jax.ShapeDtypeStruct((1, *[settings["data.size"]] * 2, 3), jnp.float32)
        expected = flat_arrays(jax.eval_shape(net.init, jax.random.key(0), frame))
    except Exception as error:  # who seals a description can write anything there
        raise DamagedError(path, f"its settings are unusable ({one_line(error)})", _MEND) from error
    variables = _read_variables(path, expected)
    if tree_digest(variables) != about["arrays"]:
        raise DamagedError(path, "its arrays do not agree with their digest", _MEND)
    return predictor(net, variables), settings


def read_description(path: Path) -> dict[str, Any]:
    """What an export says of itself; JaxsegError where it is none or its description is damaged."""
    if DESCRIPTION not in npz.array_names(path):
        raise JaxsegError(f"{path}: holds no {DESCRIPTION!r}, so it is no export; {_MEND}")
    text = npz.read_member(path, DESCRIPTION)
    if text.dtype.kind != "U" or text.shape != ():
        raise DamagedError(path, f"{DESCRIPTION!r} is no text", _MEND)
    about = unseal(parse_json(str(text), path, _MEND), path, _MEND)
    if about.get("format") != FORMAT:
        raise JaxsegError(
            f"{path}: has the format {about.get('format')!r:.40}, this version reads {FORMAT!r}; "
            f"{_MEND}"
        )
    classes = about.get("classes")
    if not (isinstance(classes, list) and classes and all(isinstance(c, str) for c in classes)):
        raise DamagedError(path, "`classes` must be a list of names", _MEND)
    if not isinstance(about.get("settings"), dict):
        raise DamagedError(path, "`settings` must be an object", _MEND)
    return about


def check_target(path: Path, argument: str) -> None:
    """Raises UsageError naming `argument` for a path that no export can be written to."""
    path = expand(path)
    if path.suffix != SUFFIX:
        raise UsageError(f"{argument} {path}: must end in {SUFFIX}")
    if path.is_dir():
        raise UsageError(f"{argument} {path}: is a folder; give a file in it")
    home = next(parent for parent in path.absolute().parents if parent.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"{argument} {path}: {home} cannot be written; give another place")


def flat_arrays(tree: Any) -> dict[str, np.ndarray]:
    """{path joined by "/": array} of a checkpoint's tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _describe(
    cell: str, settings: Settings, meta: Mapping[str, Any], digest: str
) -> dict[str, Any]:
    """What a reader without jaxseg has to know of the arrays, and what `load_export` reads."""
    import jaxseg

    size = settings["data.size"]
    return {
        "format": FORMAT,
        "jaxseg": jaxseg.__version__,
        "cell": cell,
        "seed": settings["seed"],
        "classes": meta["classes"],
        "training": f"finished after {meta['epoch']} epochs",
        "input": {
            "layout": "[batch, height, width, channel], channels red, green, blue",
            "dtype": "uint8",
            "size": [size, size],
            "scaling": SCALING,
            "padding": settings["net.padding"],
        },
        "output": {
            "logits": "[batch, height, width, class], one a foreground class in the order of "
            "`classes`",
            "mask": "uint8 [batch, height, width]: 0, the background, where no logit is positive, "
            "else 1 + the index of the largest logit",
        },
        "kernels": "[height, width, input channel, output channel], cross-correlated",
        "settings": settings,
        "arrays": digest,
    }


def _read_variables(path: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The network's variables; JaxsegError unless names, shapes and types are as `expected`."""
    found = set(npz.array_names(path)) - {DESCRIPTION}
    if odd := sorted(found ^ expected.keys()):
        kind = "lacks" if odd[0] in expected else "has no place for"
        raise JaxsegError(f"{path}: by its settings it {kind} the array {odd[0]!r:.60}")

    def check(file: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        if shape != expected[name].shape or dtype != np.float32:
            raise JaxsegError(
                f"{path}: {name} is {dtype} {shape}, must be float32 {expected[name].shape} by "
                "its settings"
            )

    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name in expected:
        *parents, leaf = name.split("/")
        place = variables
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = npz.read_member(path, name, check)
    return variables
