"""A model as an audit sees it: a trained network with its logits, or any function to masks.

A function of any framework is named `module:function` or `file.py:function`. It maps one image,
uint8 [H, W, 3], to a mask [H, W]; with `batched` it maps [B, H, W, 3] to [B, H, W]. Masks are bool,
{0, 255} or class indices, of any number type; with a threshold they are probabilities of one class.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid.train import class_indices, normalise, one_hot
from jaxseg.imports import blame, import_named
from jaxseg.nets.registry import Network

Predict = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
USUAL_FACTOR = 16  # four poolings, as most UNets have
# What frameworks say of an input of the wrong size, and where they name the size that they want.
_OF_SHAPES = re.compile(r"shape|siz|dim|expect|mismatch|broadcast|incompatib|match", re.IGNORECASE)
_SQUARE = re.compile(r"(?<![\d.])(\d+)[, x×]{1,3}\1(?![\d.])")
_WANTED = re.compile(
    r"(?:expect(?:s|ed)?|equal to|must be|requires?|takes|only)\D{0,40}?(\d+)", re.IGNORECASE
)
_RULE = "a mask is bool, {0, 255} or class indices"


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
    respond: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
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


def callable_model(name: str, predict: Predict, *, size: int, classes: int = 1) -> Model:
    """A function from images to class indices (see `load_callable`); responses are masks."""

    def respond(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(one_hot(jnp.asarray(predict(images)), classes), np.float32)

    return Model(name, size, USUAL_FACTOR, respond)


def load_callable(
    spec: str,
    *,
    classes: int = 1,
    batched: bool = False,
    side: int | None = None,
    threshold: float | None = None,
) -> Predict:
    """The function called `module:function` as predict: uint8 [B, H, W, 3] -> uint8 [B, H, W].

    The module is looked for where Python looks and in the working folder. Masks that predict
    returns hold class indices 0 … `classes`. `side` is that of the frames that --size has chosen:
    a function that fails at it, and says something of shapes, may take another one. With
    `threshold` the function returns probabilities, foreground from it on.

    Raises:
        UsageError: no such module or function, a spec of another form, a threshold for several
            classes.
        JaxsegError: the module cannot be imported; later, from predict, an image for which the
            function raises or returns a wrong shape, dtype or value.
    """
    if threshold is not None and classes > 1:
        raise UsageError(f"--threshold {threshold}: is for one class, but the truth has {classes}")
    found = import_named(spec, f"model {spec!r}", "module:function, such as mymodel:predict")
    if not callable(found):
        raise UsageError(f"model {spec!r}: is not a function")

    def called(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            # A copy: a function that writes into its argument must not change the audit's image.
            masks = np.asarray(found(images.copy()))
        except (Exception, SystemExit) as error:
            hint = _size_hint(error, side) if images.shape[-3:-1] == (side, side) else ""
            raise blame(
                f"model {spec}", f"raised for uint8 {list(images.shape)}", error, hint
            ) from error
        shape = images.shape[:-1]
        if masks.shape != shape:
            more = "return one of [B, H, W] for a batch"
            if not batched:
                more = "return one mask [H, W]; for a function of batches give --batched"
            if shape[-2:] == (side, side) and masks.ndim == len(shape) and masks.shape[-1] > 1:
                more = f"return the mask at the image's size, or give --size {masks.shape[-1]}"
            raise JaxsegError(
                f"model {spec}: returned shape {list(masks.shape)} for images of {list(shape)}; "
                f"{more}"
            )
        return _class_indices(f"model {spec}: returned", masks, classes, threshold)

    return called if batched else lambda images: np.stack([called(image) for image in images])


def _size_hint(error: BaseException, side: int | None) -> str:
    """What to say of --size where a function fails over the shape of a frame; else nothing."""
    text = str(error)
    if not (_OF_SHAPES.search(text) or isinstance(error, AssertionError)):
        return ""
    named = [int(n) for find in (_SQUARE, _WANTED) for n in find.findall(text) if len(n) < 5]
    wanted = next((n for n in named if n >= 8 and n != side), None)
    such = f"--size {wanted}" if wanted else "--size N"
    return f"; if it takes frames of one size only, give that one: {such}"


def _class_indices(
    returned: str, masks: NDArray[Any], classes: int, threshold: float | None
) -> NDArray[np.uint8]:
    """Class indices uint8 of what a function returned; `returned` begins what is said of faults."""
    if masks.dtype.kind not in "buif":
        raise JaxsegError(f"{returned} {masks.dtype}; {_RULE}")
    if masks.dtype.kind == "f":
        low, high = float(masks.min()), float(masks.max())
        if not np.isfinite([low, high]).all():
            raise JaxsegError(f"{returned} NaN or infinite values; {_RULE}")
        if threshold is not None:
            if low < 0 or high > 1:
                raise JaxsegError(
                    f"{returned} values {low:g}..{high:g} for --threshold {threshold:g}; "
                    "probabilities lie from 0 to 1 (apply the sigmoid)"
                )
            return (masks >= threshold).astype(np.uint8)
        whole = np.rint(masks)
        if (np.abs(masks - whole) > 1e-3).any():
            raise JaxsegError(
                f"{returned} {masks.dtype} values {low:g}..{high:g}; {_RULE}: threshold it first, "
                "or give --threshold 0.5 where these are probabilities"
            )
        masks = whole.astype(np.int64)
    low, high = int(masks.min()), int(masks.max())
    if high == 255 and classes == 1:
        if not ((masks == 0) | (masks == 255)).all():
            raise JaxsegError(f"{returned} 255 beside other values; {_RULE}")
        return (masks == 255).astype(np.uint8)
    if low < 0 or high > classes:
        raise JaxsegError(
            f"{returned} values {low}..{high} where the truth has classes 0..{classes}; {_RULE}"
        )
    return masks.astype(np.uint8)


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
