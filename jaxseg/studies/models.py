"""A model as an audit sees it: a trained network with its logits, or any function to masks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError
from jaxseg.grid.train import class_indices, normalise, one_hot
from jaxseg.nets.dtunet import TOPOLOGY_DEPTH, DTUNet
from jaxseg.nets.normalisation import MOMENTUM
from jaxseg.nets.padding import STANDARD_MODES, padding_code
from jaxseg.nets.unet import UNet
from jaxseg.studies.callables import Predict

Respond = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
USUAL_FACTOR = 16  # four poolings, as most UNets have


class Layer(NamedTuple):
    """A layer's output: shape [h, w, channels]; pixels of the frame a pixel, (rows, columns)."""

    shape: tuple[int, ...]
    stride: tuple[int, int]


@dataclass(frozen=True)
class Network:
    """A UNet or DTUNet, as audits use networks. Equal ones share compiled programs."""

    module: UNet | DTUNet

    @classmethod
    def of(cls, module: UNet | DTUNet) -> "Network":
        """The network of a module."""
        return cls(module)

    def __getattr__(self, name: str) -> Any:
        if name in ("padding", "upsampling", "norm", "dtype", "classes"):
            return getattr(self.module, name)
        raise AttributeError(name)

    @property
    def poolings(self) -> tuple[int, ...] | None:
        """How often each UNet in it, one after the other, halves the frame; None if not known."""
        more = (TOPOLOGY_DEPTH,) if isinstance(self.module, DTUNet) else ()
        return (self.module.depth, *more)

    @property
    def factor(self) -> int:
        """Shifts by its multiples meet the same pooling grid."""
        return 2 ** max(self.poolings or (0,))

    def with_padding(self, padding: str) -> "Network":
        """The network with another padding, for the same weights."""
        return Network(self.module.clone(padding=padding))

    def with_upsampling(self, upsampling: str) -> "Network":
        """The network with another up-sampling; the weights are the same where `shapes` are."""
        return Network(self.module.clone(upsampling=upsampling))

    def coded(self) -> tuple["Network", jax.Array | None]:
        """(network, padding code) by which networks of all standard paddings are compiled once."""
        if self.padding not in STANDARD_MODES:
            return self, None
        return self.with_padding(STANDARD_MODES[0]), jnp.int32(padding_code(self.padding))

    def init(self, key: jax.Array, images: jax.Array) -> dict[str, Any]:
        """Fresh variables for images float32 [B, H, W, 3]."""
        return dict(self.module.init(key, images))

    def with_batch_moments(self, variables: Any, images: jax.Array, *, padding_code: Any) -> Any:
        """Variables whose running moments are those of one batch of images, if it has any."""
        if "batch_stats" not in variables:
            return variables
        _, updates = self.module.apply(
            variables, images, train=True, padding_code=padding_code, mutable=["batch_stats"]
        )
        # One step of the running moments, undone: what is left are the batch's own.
        moments = jax.tree.map(
            lambda new, old: (new - MOMENTUM * old) / (1 - MOMENTUM),
            updates["batch_stats"],
            variables["batch_stats"],
        )
        return variables | {"batch_stats": moments}

    def logits(self, variables: Any, images: jax.Array, *, padding_code: Any = None) -> Any:
        """float32 [B, H, W, classes], not in training."""
        return self.module.apply(variables, images, padding_code=padding_code)

    def capture(
        self, variables: Any, images: jax.Array, layers: Iterable[str], *, padding_code: Any = None
    ) -> dict[str, jax.Array]:
        """{name: float32 [B, h, w, channels]} of named layers, not in training."""

        def named(module: nn.Module, _: str) -> bool:
            return ".".join(module.path) in layers

        _, state = self.module.apply(
            variables,
            images,
            padding_code=padding_code,
            capture_intermediates=named,
            mutable=["intermediates"],
        )
        found = {}
        for name in layers:
            place: Any = state["intermediates"]
            for part in name.split("."):
                place = place[part]
            found[name] = place["__call__"][0].astype(jnp.float32)
        return found

    def shapes(self, size: int) -> Any:
        """Its variables, as shapes and types, for frames of a size."""
        frames = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        return jax.eval_shape(self.module.init, jax.random.key(0), frames)

    def layers(self, size: int) -> dict[str, Layer]:
        """Its blocks in the order in which they are done."""
        names = []
        for part, depth in zip(("texture.", "topology."), self.poolings or ()):
            part = part if isinstance(self.module, DTUNet) else ""
            names += [(f"{part}inc", 0), *((f"{part}down{k + 1}", k + 1) for k in range(depth))]
            names += [(f"{part}up{k + 1}", depth - k - 1) for k in range(depth)]
        return {name: Layer((), (2**level, 2**level)) for name, level in names}

    def blocks(self, size: int) -> list[str]:
        """The layers between image and logits that stand for the others."""
        return list(self.layers(size))

    def check(self, size: int) -> None:
        """Raises UsageError, in one line, unless it takes frames of a size."""
        jax.eval_shape(
            self.logits, self.shapes(size), jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        )


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
