"""A model as the audit sees it: a trained cell with its logits, or any function to masks."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.grid.train import class_indices, normalise, one_hot
from jaxseg.nets.padding import STANDARD_MODES, padding_code
from jaxseg.nets.unet import UNet
from jaxseg.studies.callables import Predict

Respond = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
USUAL_FACTOR = 16  # four poolings, as most UNets have


class Model(NamedTuple):
    """What is audited.

    Attributes:
        name: as it is called in tables.
        size: side in pixels of the frames it takes.
        factor: shifts by its multiples meet the same pooling grid: 2**depth.
        respond: uint8 [B, H, W, 3] -> float32 [B, H, W, classes]: logits, or masks as 0 and 1.
        logits: whether responses are logits.
    """

    name: str
    size: int
    factor: int
    respond: Respond
    logits: bool


def network_model(name: str, net: UNet, variables: Any, size: int) -> Model:
    """A network with its variables; responses are logits."""

    shared, code = shared_program(net)

    def respond(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(_logits(shared, variables, jnp.asarray(images), code))

    return Model(name, size, 2**net.depth, respond, logits=True)


@partial(jax.jit, static_argnums=0)
def _logits(net: UNet, variables: Any, images: jax.Array, code: Any) -> Any:
    return net.apply(variables, normalise(images), padding_code=code)


def shared_program(net: UNet) -> tuple[UNet, jax.Array | None]:
    """(network, padding code) by which networks of all standard paddings are compiled once.

    The code is None for a padding that has none.
    """
    if net.padding not in STANDARD_MODES:
        return net, None
    return net.clone(padding=STANDARD_MODES[0]), jnp.int32(padding_code(net.padding))


def callable_model(
    name: str, predict: Predict, *, size: int, classes: int = 1, factor: int = USUAL_FACTOR
) -> Model:
    """A function from images to class indices (see `callables`); responses are masks."""

    def respond(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(one_hot(jnp.asarray(predict(images)), classes), np.float32)

    return Model(name, size, factor, respond, logits=False)


def masks_of(responses: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Class indices uint8 [B, H, W] of responses, whichever kind they are."""
    return np.asarray(class_indices(jnp.asarray(responses)))


def relative_error(a: NDArray[Any], b: NDArray[Any], logits: bool) -> float:
    """How far response `a` is from `b`, of one shape; NaN where both are empty.

    Logits: the L2 norm of the difference over that of `b`. Masks: 1 - Dice of the two.
    """
    difference = float(np.sum(np.square(a - b, dtype=np.float64)))
    of_b = float(np.sum(np.square(b, dtype=np.float64)))
    if logits:
        return float(np.sqrt(difference / of_b)) if of_b else float("nan")
    whole = float(np.sum(np.square(a, dtype=np.float64))) + of_b
    return difference / whole if whole else float("nan")
