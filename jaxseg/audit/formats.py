"""One file of any supported format -> its raw array, after its declared size has been checked."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxseg.audit import nifti
from jaxseg.data.arrays import Check, Shape, array_names, read_array, read_member
from jaxseg.data.pairs import IMAGE_SUFFIXES
from jaxseg.data.pictures import MAX_LIMIT_PX, check_pixels, read_picture
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.escape import one_line

SUFFIXES = (*IMAGE_SUFFIXES, ".npy", ".npz", *nifti.SUFFIXES)

LIMIT_PX = 100_000_000  # 10,000 × 10,000: beyond a scanner's frame, below a whole slide
FLAG = " (--limit_px)"


def suffix_of(path: Path) -> str:
    """Lower-case suffix of a file or slice; `.nii.gz` is one."""
    name = nifti.split_name(path.name)[0].lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem_of(path: Path) -> str:
    """The file's name without its suffix; a slice keeps its number: `volume#012`."""
    name, index = nifti.split_name(path.name)
    stem = name[: len(name) - len(suffix_of(path))]
    return stem if index is None else f"{stem}#{index:03d}"


def check_limit(limit_px: int) -> None:
    """Raises UsageError for a pixel limit that cannot be kept."""
    if not 1 <= limit_px <= MAX_LIMIT_PX:
        raise UsageError(f"--limit_px {limit_px}: must be from 1 to {MAX_LIMIT_PX} pixels")


def decode(path: Path, limit_px: int = LIMIT_PX, array: str = "mask") -> NDArray:
    """Raw values [H, W] or [H, W, channels] as stored, colour in the order blue, green, red.

    Orientation tags are ignored, as TensorFlow's decoder does. `array` is the name taken from an
    npz file that holds several. Raises JaxsegError, one line that names the file, for what cannot
    be read, has another shape or declares more than `limit_px` pixels.
    """
    suffix = suffix_of(path)
    if suffix in IMAGE_SUFFIXES:
        return read_picture(path, limit_px, FLAG)
    if suffix in nifti.SUFFIXES:
        check_pixels(path, nifti.frame_shape(path), limit_px, FLAG)
        return nifti.read_slice(path)
    if suffix == ".npy":
        return _saved(path, limit_px)
    if suffix == ".npz":
        return _member(path, limit_px, array)
    raise JaxsegError(f"{path}: format {suffix!r}; must be one of {', '.join(SUFFIXES)}")


def _saved(path: Path, limit_px: int) -> NDArray:
    try:
        with path.open("rb") as file:
            return _frame(read_array(file, path, _check_within(limit_px)))
    except OSError as error:
        raise JaxsegError(f"{path}: {error.strerror or one_line(error)}") from error


def _member(path: Path, limit_px: int, array: str) -> NDArray:
    names = array_names(path)
    chosen = names[0] if len(names) == 1 else array
    if chosen not in names:
        held = ", ".join(names[:6]) or "nothing"
        raise JaxsegError(f"{path}: holds {held}; must hold one array or one named {array}")
    return _frame(read_member(path, chosen, _check_within(limit_px)))


def _frame(pixels: NDArray) -> NDArray:
    if pixels.ndim == 2:
        return pixels
    colour = {1: 0, 3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[-1])
    return pixels[0] if colour is None else pixels[..., colour]


def _check_within(limit_px: int) -> Check:
    """The check of an array's header: numbers, the shape of a frame, its pixels, its bytes."""

    def check(path: Any, shape: Shape, dtype: np.dtype) -> None:
        if dtype.kind not in "buif":
            raise JaxsegError(f"{path}: dtype {dtype}; must hold numbers (pickles are never read)")
        frame = shape
        if len(shape) == 3:
            frame = shape[:2] if shape[-1] in (1, 3, 4) else shape[1:] if shape[0] == 1 else shape
        if len(frame) != 2:
            raise JaxsegError(
                f"{path}: shape {shape}; must be [height, width], images also [.., 3]"
            )
        check_pixels(path, frame, limit_px, FLAG)

    return check
