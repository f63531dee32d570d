"""A finished cell, out of its checkpoint, as something that predicts."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxseg.errors import JaxsegError, check_permission
from jaxseg.grid.cells import DEFAULTS, Settings, check_cell, make_net
from jaxseg.grid.checkpoint_door import check_variables
from jaxseg.grid.checkpoints import restore_found
from jaxseg.grid.integrity import damage_named
from jaxseg.grid.numerics import pinned
from jaxseg.grid.storage import as_folder
from jaxseg.grid.train import class_indices, normalise
from jaxseg.nets.dtunet import DTUNet
from jaxseg.nets.unet import UNet


@pinned()
def load_variables(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[UNet | DTUNet, dict[str, Any], Settings]:
    """A finished cell as (network, variables as numpy arrays, settings).

    `net.apply(variables, normalise(images))` gives its logits. Raises UsageError for an unknown
    cell and JaxsegError for one whose training has not finished or has diverged.
    """
    check_permission(as_folder(workdir))
    variables, (folder, place, meta) = restore_found(workdir, cell)
    if meta["kind"] != "variables":
        raise JaxsegError(
            f"cell {cell}: stopped after {meta['epoch']} epochs; run the same command to finish"
        )
    if meta["diverged_at"][place] >= 0:
        raise JaxsegError(
            f"cell {cell}: diverged at step {meta['diverged_at'][place]}; its last finite weights "
            "can be inspected (launch/inspect_checkpoint.py) but not used"
        )
    settings = DEFAULTS | meta["settings"][place]
    with damage_named(folder / "meta"):
        check_cell(settings)
        net = make_net(settings, classes=len(meta["classes"]))
    check_variables(cell, net, variables, settings["data.size"])
    return net, variables, settings


def load_cell(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[Callable[[Any], np.ndarray], Settings]:
    """A finished cell as (predict, settings).

    `predict` maps uint8 images [B, H, W, 3] to class indices uint8 [B, H, W]. Raises what
    `load_variables` raises.
    """
    net, variables, settings = load_variables(workdir, cell)
    return predictor(net, variables), settings


def predictor(net: UNet | DTUNet, variables: Any) -> Callable[[Any], np.ndarray]:
    """The network as a function from uint8 images [B, H, W, 3] to class indices uint8 [B, H, W]."""

    @jax.jit
    def forward(images):
        return class_indices(net.apply(variables, normalise(images)))

    @pinned()
    def predict(images: Any) -> np.ndarray:
        return np.asarray(forward(np.asarray(images, np.uint8)))

    return predict
