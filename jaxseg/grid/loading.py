"""A finished cell as something that predicts, out of its checkpoint or of an exported file.

An export is one npz file that describes itself and is read anywhere without its workdir:

    description            JSON with a digest: see `_describe`
    params/inc/conv1/kernel, batch_stats/...   float32, the network's variables by their path

NumPy alone can read such a file; `load_export` returns what `load_cell` returns.
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
from jaxseg.errors import DamagedError, JaxsegError, UsageError, check_permission, one_line
from jaxseg.grid.checkpoints import named_leaves, restore_cell, tree_digest
from jaxseg.grid.config import Config, check_config, make_config, make_net
from jaxseg.grid.devices import pinned
from jaxseg.grid.storage import as_folder, write_arrays
from jaxseg.grid.train import SCALING, class_indices, normalise
from jaxseg.homes import expand
from jaxseg.nets.registry import Network
from jaxseg.texts import check_digest, parse_json, with_digest

FORMAT = "jaxseg export 1"
DESCRIPTION = "description"
SUFFIX = ".npz"
_MEND = "export it again with `jaxseg inspect --export`"


@pinned()
def load_variables(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[Network, dict[str, Any], Config]:
    """A finished cell as (network, variables as numpy arrays, config).

    `net.logits(variables, normalise(images))` gives its logits. A network of a user's own is
    imported, so open only workdirs that you trust. Raises UsageError for an unknown cell and
    JaxsegError for one whose training has not finished or has diverged.
    """
    net, variables, config, _ = _load(workdir, cell)
    return net, variables, config


def _load(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[Network, dict[str, Any], Config, dict[str, Any]]:
    """What `load_variables` gives, and the checkpoint's meta."""
    check_permission(as_folder(workdir))
    variables, meta = restore_cell(workdir, cell)
    place = meta["cells"].index(cell)
    if meta["kind"] != "variables":
        raise JaxsegError(
            f"cell {cell}: stopped after {meta['epoch']} epochs; run the same command to finish"
        )
    if meta["diverged_at"][place] >= 0:
        raise JaxsegError(
            f"cell {cell}: diverged at step {meta['diverged_at'][place]}; its last finite weights "
            "can be inspected (jaxseg inspect), but they do not predict"
        )
    try:
        config, net, expected = _network(meta["settings"][place], len(meta["classes"]))
    except Exception as error:  # whoever computes the digest can write anything there
        raise JaxsegError(f"cell {cell}: its settings are unusable ({one_line(error)})") from error
    there = {name: leaf.shape for name, leaf in named_leaves(variables).items()}
    for name in sorted(expected.keys() | there.keys()):
        shape = expected[name].shape if name in expected else None
        if shape != there.get(name):
            raise JaxsegError(
                f"cell {cell}: {name} has shape {there.get(name)}, must be {shape} by its settings"
            )
    return net, variables, config, meta


def _network(settings: Mapping[str, Any], classes: int) -> tuple[Config, Network, dict[str, Any]]:
    """The config of stored settings, its network, and shapes and types of that one's variables."""
    config = make_config(settings)
    check_config(config)
    net, side = make_net(config.net, classes), config.data.size
    frame = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return config, net, named_leaves(jax.eval_shape(net.init, jax.random.key(0), frame))


def load_cell(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[Callable[[Any], np.ndarray], Config]:
    """A finished cell as (predict, config).

    `predict` maps uint8 images [B, H, W, 3] to class indices uint8 [B, H, W]. Raises what
    `load_variables` raises.
    """
    net, variables, config = load_variables(workdir, cell)
    return predictor(net, variables), config


def predictor(net: Network, variables: Any) -> Callable[[Any], np.ndarray]:
    """The network as a function from uint8 images [B, H, W, 3] to class indices uint8 [B, H, W]."""

    @jax.jit
    def forward(images):
        return class_indices(net.logits(variables, normalise(images)))

    @pinned()
    def predict(images: Any) -> np.ndarray:
        return np.asarray(forward(np.asarray(images, np.uint8)))

    return predict


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
    with pinned():
        _, variables, config, meta = _load(workdir, cell)
    about = _describe(cell, config, meta, tree_digest(variables))
    written = named_leaves(variables) | {
        DESCRIPTION: np.asarray(json.dumps(with_digest(about), indent=1))
    }
    write_arrays(path, written)
    return about


def load_export(
    path: str | os.PathLike[str],
) -> tuple[Callable[[Any], np.ndarray], Config]:
    """A cell written by `export_cell` as (predict, config), as `load_cell` gives them.

    `predict` maps uint8 images [B, H, W, 3], red first, to class indices uint8 [B, H, W], bit for
    bit those of `load_cell`. Nothing is unpickled.

    Raises:
        UsageError: no such file.
        JaxsegError: a file that `export_cell` has not written or that is damaged, one line.
    """
    path = expand(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; write one with `jaxseg inspect --export`")
    about = read_description(path)
    try:
        config, net, expected = _network(about["settings"], len(about["classes"]))
    except Exception as error:  # whoever computes the digest can write anything there
        raise DamagedError(path, f"its settings are unusable ({one_line(error)})", _MEND) from error
    variables = _read_variables(path, expected)
    if tree_digest(variables) != about["arrays"]:
        raise DamagedError(path, "its arrays do not agree with their digest", _MEND)
    return predictor(net, variables), config


def read_description(path: Path) -> dict[str, Any]:
    """The description in an export; JaxsegError where there is none or it is damaged."""
    if DESCRIPTION not in npz.array_names(path):
        raise JaxsegError(
            f"{path}: holds no {DESCRIPTION!r}, so it is not an export of jaxseg; {_MEND}"
        )
    text = npz.read_member(path, DESCRIPTION)
    if text.dtype.kind != "U" or text.shape != ():
        raise DamagedError(path, f"{DESCRIPTION!r} is not text", _MEND)
    about = check_digest(parse_json(str(text), path, _MEND), path, _MEND)
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
    """Raises UsageError naming `argument` for a path to which an export cannot be written."""
    path = expand(path)
    if path.suffix != SUFFIX:
        raise UsageError(f"{argument} {path}: must end in {SUFFIX}")
    if path.is_dir():
        raise UsageError(f"{argument} {path}: is a folder; give a file in it")
    home = next(parent for parent in path.absolute().parents if parent.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise UsageError(f"{argument} {path}: {home} cannot be written to; give another folder")


def _describe(cell: str, config: Config, meta: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """What a reader without jaxseg must know about the arrays, and what `load_export` reads."""
    import jaxseg

    size = config.data.size
    return {
        "format": FORMAT,
        "jaxseg": jaxseg.__version__,
        "cell": cell,
        "seed": config.seed,
        "classes": meta["classes"],
        "training": f"finished after {meta['epoch']} epochs",
        "input": {
            "layout": "[batch, height, width, channel], channels red, green, blue",
            "dtype": "uint8",
            "size": [size, size],
            "scaling": SCALING,
            "padding": config.net.padding,
        },
        "output": {
            "logits": "[batch, height, width, class], one a foreground class in the order of "
            "`classes`",
            "mask": "uint8 [batch, height, width]: 0, the background, where no logit is positive, "
            "else 1 + the index of the largest logit",
        },
        "kernels": "[height, width, input channel, output channel], cross-correlated",
        "settings": config.flat(),
        "arrays": digest,
    }


def _read_variables(path: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The network's variables; JaxsegError unless names, shapes and types are as `expected`."""
    found = set(npz.array_names(path)) - {DESCRIPTION}
    if odd := sorted(found ^ expected.keys()):
        kind = "lacks" if odd[0] in expected else "has no place for"
        raise JaxsegError(f"{path}: by its settings it {kind} the array {odd[0]!r:.60}")

    def check(file: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        if shape != expected[name].shape or dtype != expected[name].dtype:
            raise JaxsegError(
                f"{path}: {name} is {dtype} {shape}, must be {expected[name].dtype} "
                f"{expected[name].shape} by its settings"
            )

    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name in expected:
        *parents, leaf = name.split("/")
        place = variables
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = npz.read_member(path, name, check)
    return variables
