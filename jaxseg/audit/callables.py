"""Models of any framework as Python functions: `module:function`, from images to masks.

The function maps one image, uint8 [H, W, 3], to a mask [H, W]; with `batched` it maps
[B, H, W, 3] to [B, H, W]. Masks are bool, {0, 255} or class indices of an integer type. What it
does wrong is told in one line that names it.
"""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError, check_choice

Predict = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
# What frameworks say of an input of the wrong size, and where the size that they want stands.
_OF_SHAPES = re.compile(r"shape|siz|dim|expect|mismatch|broadcast|incompatib|match", re.IGNORECASE)
_SQUARE = re.compile(r"(?<![\d.])(\d+)[, x×]{1,3}\1(?![\d.])")
_WANTED = re.compile(
    r"(?:expect(?:s|ed)?|equal to|must be|requires?|takes|only)\D{0,40}?(\d+)", re.IGNORECASE
)
_RULE = "a mask is bool, {0, 255} or class indices of an integer type"


def load_callable(
    spec: str, *, classes: int = 1, batched: bool = False, side: int | None = None
) -> Predict:
    """The function called `module:function` as predict: uint8 [B, H, W, 3] -> uint8 [B, H, W].

    The module is looked for where Python looks and in the working folder. Masks that predict
    returns hold class indices 0 … `classes`. `side` is that of the frames that --size has chosen:
    a function that fails at it, and says something of shapes, may take another one.

    Raises:
        UsageError: no such module or function, or a spec of another form.
        JaxsegError: the module cannot be imported; later, from predict, an image for which the
            function raises or returns a wrong shape, dtype or value.
    """
    found = _find(spec)
    if batched:
        return lambda images: _masks(
            spec, _call(spec, found, images, side), images.shape[:3], classes, side
        )

    def predict(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shape = images.shape[1:3]
        return np.stack(
            [_masks(spec, _call(spec, found, i, side), shape, classes, side) for i in images]
        )

    return predict


def _find(spec: str) -> Callable[[Any], Any]:
    module_name, colon, name = spec.partition(":")
    if not (colon and name and all(part.isidentifier() for part in module_name.split("."))):
        raise UsageError(f"model {spec!r}: must look like module:function, such as mymodel:predict")
    module = _import(module_name, spec)
    public = [key for key, value in vars(module).items() if callable(value)]
    if not callable(getattr(module, name, None)):
        check_choice(f"function in {module.__name__}", name, public)
    return getattr(module, name)


def _import(module_name: str, spec: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is there but lacks one of its own imports is not at fault for its name.
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise UsageError(
                f"model {spec!r}: no module {error.name!r} in {here} or where Python looks; run "
                "from its folder or set PYTHONPATH"
            ) from error
        raise _blame(spec, "cannot be imported", error) from error
    except (Exception, SystemExit) as error:
        raise _blame(spec, "cannot be imported", error) from error


def _call(
    spec: str, found: Callable[[Any], Any], images: NDArray[np.uint8], side: int | None
) -> Any:
    try:
        # A copy: a function that writes into its argument must not change the audit's image.
        return np.asarray(found(images.copy()))
    except (Exception, SystemExit) as error:
        hint = _size_hint(error, side) if images.shape[-3:-1] == (side, side) else ""
        raise _blame(spec, f"raised for uint8 {list(images.shape)}", error, hint) from error


def _size_hint(error: BaseException, side: int | None) -> str:
    """What to say of --size where a function fails over the shape of a frame; else nothing."""
    text = str(error)
    if not (_OF_SHAPES.search(text) or isinstance(error, AssertionError)):
        return ""
    named = [int(n) for find in (_SQUARE, _WANTED) for n in find.findall(text) if len(n) < 5]
    wanted = next((n for n in named if n >= 8 and n != side), None)
    such = f"--size {wanted}" if wanted else "--size N"
    return f"; if it takes frames of one size only, give that one: {such}"


def _blame(spec: str, what: str, error: BaseException, hint: str = "") -> JaxsegError:
    said = str(error).strip().splitlines()
    first = said[0] if said else ""
    return JaxsegError(f"model {spec}: {what}: {type(error).__name__}: {first}{hint}")


def _masks(
    spec: str, masks: NDArray[Any], shape: tuple[int, ...], classes: int, side: int | None
) -> NDArray[np.uint8]:
    """Class indices uint8 [...] of what the function returned for images of `shape`."""
    if masks.shape != shape:
        more = "return one of [B, H, W] for a batch" if len(shape) == 3 else (
            "return one mask [H, W]; for a function of batches give --batched"
        )  # fmt: skip
        if shape[-2:] == (side, side) and masks.ndim == len(shape) and masks.shape[-1] > 1:
            more = f"return the mask at the image's size, or give --size {masks.shape[-1]}"
        raise JaxsegError(f"model {spec}: returned shape {list(masks.shape)} for images of "
                          f"{list(shape)}; {more}")  # fmt: skip
    if masks.dtype != bool and not np.issubdtype(masks.dtype, np.integer):
        raise JaxsegError(f"model {spec}: returned {masks.dtype}; {_RULE}: threshold it first")
    low, high = int(masks.min()), int(masks.max())
    if high == 255 and classes < 255:
        if not ((masks == 0) | (masks == 255)).all():
            raise JaxsegError(f"model {spec}: returned 255 beside other values; {_RULE}")
        return (masks == 255).astype(np.uint8)
    if low < 0 or high > classes:
        raise JaxsegError(
            f"model {spec}: returned values {low}..{high} where the truth has classes 0..{classes};"
            f" {_RULE}"
        )
    return masks.astype(np.uint8)
