"""A model as an audit sees it: a trained network with its logits, or any function to masks."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError
from jaxseg.grid.train import class_indices, normalise, one_hot
from jaxseg.nets.registry import Network
from jaxseg.studies.callables import Predict

Respond = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
USUAL_FACTOR = 16  # four poolings, as most UNets have


class Model(NamedTuple):
    """What is audited.

    Attributes:
        name: as it is called in tables.
        size: side in pixels of the frames it takes.
        factor: shifts by its multiples meet the same pooling grid.
        respond: uint8 [B, H, W, 3] -> float32 [B, H, W, classes]: logits, or masks as 0 and 1.
        net, variables: the network whose logits the responses are; None for a function to masks.
    """

    name: str
    size: int
    factor: int
    respond: Respond
    net: Network | None = None
    variables: Any = None

    @property
    def logits(self) -> bool:
        """Whether responses are logits."""
        return self.net is not None


def network_model(name: str, net: Network, variables: Any, size: int) -> Model:
    """A network with its variables; responses are logits.

    Raises JaxsegError, from `respond`, for frames that the network cannot take.
    """
    shared, code = net.coded()

    def respond(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return np.asarray(_logits(shared, variables, jnp.asarray(images), code))
        except JaxsegError:
            raise
        except (TypeError, ValueError) as error:  # what JAX and Flax raise for shapes
            said = (str(error).strip().splitlines() or [""])[0]
            raise JaxsegError(
                f"{name}: its network cannot take frames of {images.shape[1]} px: "
                f"{type(error).__name__}: {said}"
            ) from error

    return Model(name, size, net.factor, respond, net, variables)


@partial(jax.jit, static_argnums=0)
def _logits(net: Network, variables: Any, images: jax.Array, code: Any) -> Any:
    return net.logits(variables, normalise(images), padding_code=code)


def callable_model(
    name: str, predict: Predict, *, size: int, classes: int = 1, factor: int = USUAL_FACTOR
) -> Model:
    """A function from images to class indices (see `callables`); responses are masks."""

    def respond(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(one_hot(jnp.asarray(predict(images)), classes), np.float32)

    return Model(name, size, factor, respond)


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
