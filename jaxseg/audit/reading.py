"""Masks and images of any supported format, read one by one; see `formats` and `files`.

What cannot be used is one line that names the file and the rule it breaks; `readable` collects such
lines and goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxseg.audit import nifti
from jaxseg.audit.files import Found, Matched, find_files, match_files, scan
from jaxseg.audit.formats import LIMIT_PX, check_limit, decode, suffix_of
from jaxseg.audit.outlines import fill_outlines, is_line
from jaxseg.data.masks import class_indices, grey_values
from jaxseg.errors import JaxsegError

__all__ = ["LIMIT_PX", "Found", "Matched", "check_limit", "check_same_size", "find_files"]
__all__ += ["match_files", "read_image", "read_mask", "read_same_size", "readable", "scan"]

Item = TypeVar("Item")
Value = TypeVar("Value")


def read_mask(path: Path, limit_px: int = LIMIT_PX, *, fill: bool = False) -> NDArray[np.uint8]:
    """Class indices uint8 [H, W] of a mask file; {0, 255} becomes {0, 1}.

    With `fill` the result is {0, 1}: what is drawn and what it encloses. Raises JaxsegError, one
    line naming the file: damaged, colour, values that are neither {0, 255} nor class indices up to
    254 (which JPEG cannot keep), more than `limit_px` pixels declared, or, with `fill`, an open
    outline.
    """
    mask, is_binary = class_indices(grey_values(decode(path, limit_px, "mask"), path), path)
    if suffix_of(path) in (".jpg", ".jpeg") and not is_binary and mask.any():
        raise JaxsegError(f"{path}: JPEG spoils class indices; save masks as png")
    if not fill:
        return mask
    filled = fill_outlines(mask)
    if is_line(filled):
        raise JaxsegError(f"{path}: an open outline encloses nothing; close it to have it filled")
    return filled


def read_image(path: Path, limit_px: int = LIMIT_PX) -> NDArray[np.uint8]:
    """Image uint8 [H, W, 3], red first; grey is repeated, alpha left out.

    uint16 is divided by 257 and floats in [0, 1] multiplied by 255, as OpenCV and scikit-image do;
    NIfTI slices are scaled from their own minimum and maximum. Raises JaxsegError naming the file.
    """
    pixels = decode(path, limit_px, "image")
    pixels = _stretched(pixels) if suffix_of(path) in nifti.SUFFIXES else _bytes(pixels, path)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    # Two channels are grey with alpha.
    return pixels[..., [2, 1, 0] if pixels.shape[-1] > 2 else [0, 0, 0]]


def read_same_size(paths: Sequence[Path], limit_px: int = LIMIT_PX) -> tuple[NDArray, ...]:
    """`read_mask` of files that belong together; JaxsegError unless their sizes agree."""
    masks = tuple(read_mask(path, limit_px) for path in paths)
    for path, mask in zip(paths, masks):
        check_same_size(paths[0], masks[0], path, mask)
    return masks


def check_same_size(path_a: Path, a: NDArray, path_b: Path, b: NDArray) -> None:
    """Raises JaxsegError naming the second file unless both have one height and width."""
    sizes = [f"{array.shape[0]}×{array.shape[1]}" for array in (a, b)]
    if sizes[0] != sizes[1]:
        raise JaxsegError(
            f"{path_b}: {sizes[1]} pixels but {path_a} has {sizes[0]}; the sizes must agree"
        )


def readable(
    items: Iterable[tuple[str, Item]], read: Callable[[Item], Value], left_out: list[str]
) -> Iterator[tuple[str, Value]]:
    """(id, what `read` makes of the item), one by one; its JaxsegErrors go to `left_out`."""
    for name, item in items:
        try:
            value = read(item)
        except JaxsegError as error:
            left_out.append(str(error))
            continue
        yield name, value


def _bytes(pixels: NDArray, path: Path) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype == np.uint16:
        return (pixels / 257 + 0.5).astype(np.uint8)
    if pixels.dtype.kind in "bf" and 0 <= low <= high <= 1:
        return (pixels * 255.0 + 0.5).astype(np.uint8)
    if pixels.dtype.kind in "ui" and 0 <= low <= high <= 255:
        return pixels.astype(np.uint8)
    raise JaxsegError(
        f"{path}: {pixels.dtype} values {low:g}..{high:g}; an image holds uint8, uint16 or floats "
        "in [0, 1]"
    )


def _stretched(pixels: NDArray) -> NDArray[np.uint8]:
    # Volumes hold units of their own (HU, arbitrary MR): there is no fixed grey scale to keep.
    values = np.nan_to_num(pixels.astype(np.float64))
    low, high = values.min(), values.max()
    return ((values - low) / max(high - low, 1e-12) * 255 + 0.5).astype(np.uint8)
