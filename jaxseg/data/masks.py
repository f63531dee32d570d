"""Masks on disk -> class indices, with the rules that keep a wrong file from becoming a label."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.pictures import read_picture
from jaxseg.errors import JaxsegError

RULE = "a mask holds {0, 255}, or class indices 0..K with K <= 254"


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Raw values of a mask file: uint8 [H, W]; JaxsegError naming the file when it is not grey."""
    return grey_values(read_picture(path), path)


def grey_values(pixels: NDArray, path: Path) -> NDArray[np.uint8]:
    """Values [H, W] or [H, W, channels] read from `path` as uint8 [H, W]; JaxsegError if not grey.

    Colour channels must be equal (an alpha channel is left out) and values whole, 0 to 255.
    """
    if pixels.ndim == 3:
        colours = pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]
        if (colours != colours[..., :1]).any():
            raise JaxsegError(f"{path}: a colour or palette mask; save it as one grey channel")
        pixels = colours[..., 0]
    if pixels.min() < 0 or pixels.max() > 255 or (pixels % 1).any():
        raise JaxsegError(f"{path}: values {pixels.min()}..{pixels.max()}; {RULE}")
    return pixels.astype(np.uint8)


def class_mask(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """Class indices uint8 [H, W] of a mask file and whether it was written as {0, 255}.

    Raises JaxsegError naming the file, its values and the rule for anything else.
    """
    return class_indices(read_mask(path), path)


def class_indices(mask: NDArray[np.uint8], path: Path) -> tuple[NDArray[np.uint8], bool]:
    """`class_mask` of values uint8 [H, W] that were read from `path`."""
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    if values[-1] != 255:
        return mask, False
    if not set(values.tolist()) <= {0, 255}:
        shown = ", ".join(map(str, values[:6])) + (", …" if len(values) > 6 else "")
        raise JaxsegError(f"{path}: values {{{shown}}} up to 255; {RULE}")
    return (mask > 0).astype(np.uint8), True


def class_names(n_classes: int) -> tuple[str, ...]:
    """Names of the foreground classes 1..n of masks that carry none."""
    return ("foreground",) if n_classes == 1 else tuple(f"class {i + 1}" for i in range(n_classes))
