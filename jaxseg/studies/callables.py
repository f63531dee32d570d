"""Models of any framework as Python functions: `module:function` or `file.py:function`.

The function maps one image, uint8 [H, W, 3], to a mask [H, W]; with `batched` it maps
[B, H, W, 3] to [B, H, W]. Masks are bool, {0, 255} or class indices, of any number type; with a
threshold they are probabilities of one class. What it does wrong is said in one line that names it.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.imports import blame, import_named

Predict = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
# What frameworks say of an input of the wrong size, and where the size that they want stands.
_OF_SHAPES = re.compile(r"shape|siz|dim|expect|mismatch|broadcast|incompatib|match", re.IGNORECASE)
_SQUARE = re.compile(r"(?<![\d.])(\d+)[, x×]{1,3}\1(?![\d.])")
_WANTED = re.compile(
    r"(?:expect(?:s|ed)?|equal to|must be|requires?|takes|only)\D{0,40}?(\d+)", re.IGNORECASE
)
_RULE = "a mask is bool, {0, 255} or class indices"


class _Rules(NamedTuple):
    """What is asked of a function: its name, the classes of the truth, the side that --size chose,
    and the threshold from which on a probability is foreground."""

    spec: str
    classes: int
    side: int | None
    threshold: float | None


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
    rules = _Rules(spec, classes, side, threshold)
    found = import_named(spec, f"model {spec!r}", "module:function, such as mymodel:predict")
    if not callable(found):
        raise UsageError(f"model {spec!r}: is not a function")
    if batched:
        return lambda images: _masks(rules, _call(rules, found, images), images.shape[:3])

    def predict(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shape = images.shape[1:3]
        return np.stack([_masks(rules, _call(rules, found, image), shape) for image in images])

    return predict


def _call(rules: _Rules, found: Callable[[Any], Any], images: NDArray[np.uint8]) -> Any:
    spec, side = rules.spec, rules.side
    try:
        # A copy: a function that writes into its argument must not change the audit's image.
        return np.asarray(found(images.copy()))
    except (Exception, SystemExit) as error:
        hint = _size_hint(error, side) if images.shape[-3:-1] == (side, side) else ""
        raise blame(
            f"model {spec}", f"raised for uint8 {list(images.shape)}", error, hint
        ) from error


def _size_hint(error: BaseException, side: int | None) -> str:
    """What to say of --size where a function fails over the shape of a frame; else nothing."""
    text = str(error)
    if not (_OF_SHAPES.search(text) or isinstance(error, AssertionError)):
        return ""
    named = [int(n) for find in (_SQUARE, _WANTED) for n in find.findall(text) if len(n) < 5]
    wanted = next((n for n in named if n >= 8 and n != side), None)
    such = f"--size {wanted}" if wanted else "--size N"
    return f"; if it takes frames of one size only, give that one: {such}"


def _masks(rules: _Rules, masks: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Class indices uint8 [...] of what the function returned for images of `shape`."""
    spec, classes, side = rules.spec, rules.classes, rules.side
    if masks.shape != shape:
        more = "return one of [B, H, W] for a batch" if len(shape) == 3 else (
            "return one mask [H, W]; for a function of batches give --batched"
        )  # fmt: skip
        if shape[-2:] == (side, side) and masks.ndim == len(shape) and masks.shape[-1] > 1:
            more = f"return the mask at the image's size, or give --size {masks.shape[-1]}"
        raise JaxsegError(f"model {spec}: returned shape {list(masks.shape)} for images of "
                          f"{list(shape)}; {more}")  # fmt: skip
    if masks.dtype.kind not in "buif":
        raise JaxsegError(f"model {spec}: returned {masks.dtype}; {_RULE}")
    if masks.dtype.kind == "f":
        masks = _labels(rules, masks)
    low, high = int(masks.min()), int(masks.max())
    if high == 255 and classes == 1:
        if not ((masks == 0) | (masks == 255)).all():
            raise JaxsegError(f"model {spec}: returned 255 beside other values; {_RULE}")
        return (masks == 255).astype(np.uint8)
    if low < 0 or high > classes:
        raise JaxsegError(
            f"model {spec}: returned values {low}..{high} where the truth has classes 0..{classes};"
            f" {_RULE}"
        )
    return masks.astype(np.uint8)


def _labels(rules: _Rules, values: NDArray[Any]) -> NDArray[Any]:
    """Labels of floating-point values: whole ones, or probabilities by the threshold."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise JaxsegError(f"model {rules.spec}: returned NaN or infinite values; {_RULE}")
    if rules.threshold is not None:
        if low < 0 or high > 1:
            raise JaxsegError(
                f"model {rules.spec}: returned values {low:g}..{high:g} for --threshold "
                f"{rules.threshold:g}; probabilities lie from 0 to 1 (apply the sigmoid)"
            )
        return (values >= rules.threshold).astype(np.uint8)
    nearest = np.rint(values)
    if (np.abs(values - nearest) > 1e-3).any():
        raise JaxsegError(
            f"model {rules.spec}: returned {values.dtype} values {low:g}..{high:g}; {_RULE}: "
            "threshold it first, or give --threshold 0.5 where these are probabilities"
        )
    return nearest.astype(np.int64)
