"""Slices of NIfTI volumes as single frames, named `volume.nii.gz#12`. Needs nibabel.

A frame is a slice along the volume's last axis as it is stored, rows down its second axis; the
affine is not applied, so that masks and predictions stay pixel for pixel what was written.
"""

import functools
import importlib.util
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError
from jaxseg.escape import one_line

SUFFIXES = (".nii", ".nii.gz")
_DAMAGE = (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error)
_NAME = re.compile(r"^(.+\.nii(?:\.gz)?)#(\d+)$", re.IGNORECASE)


def split_name(name: str) -> tuple[str, int | None]:
    """File name and slice number of `volume.nii.gz#12`; any other name and None."""
    found = _NAME.match(name)
    return (found[1], int(found[2])) if found else (name, None)


def slices(path: Path) -> list[Path]:
    """One path a slice; the volume itself where it cannot be opened, so that reading says why."""
    try:
        shape = _volume(path).shape
    except JaxsegError:
        return [path]
    return [path.with_name(f"{path.name}#{k}") for k in range(shape[2])] if shape[2:] else [path]


def frame_shape(path: Path) -> tuple[int, int]:
    """(height, width) that the header declares for the frame `path` names."""
    shape = _volume(path.with_name(split_name(path.name)[0])).shape
    if len(shape) not in (2, 3):
        raise JaxsegError(f"{path}: shape {shape}; must be two- or three-dimensional")
    return shape[1], shape[0]


def read_slice(path: Path) -> NDArray:
    """Values [height, width] of the frame; JaxsegError naming the file when it is damaged."""
    name, index = split_name(path.name)
    data = _volume(path.with_name(name)).dataobj
    try:
        values = data[..., index] if index is not None and len(data.shape) == 3 else data[...]
        return np.asarray(values).reshape(data.shape[:2]).T
    except (*_DAMAGE, IndexError) as error:
        raise JaxsegError(f"{path}: damaged, cannot be read ({one_line(error)})") from error


@functools.lru_cache(maxsize=4)  # the volumes of a mask and its predictions
def _volume(path: Path) -> Any:
    if importlib.util.find_spec("nibabel") is None:
        raise JaxsegError(f"{path}: NIfTI files need nibabel; pip install nibabel")
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        # Open once: the next slice of a compressed file is found by reading on.
        return nibabel.load(path, keep_file_open=True)  # pyright: ignore[reportPrivateImportUsage]
    except (ImageFileError, HeaderDataError, WrapStructError, *_DAMAGE) as error:
        raise JaxsegError(f"{path}: not a readable NIfTI file ({one_line(error)})") from error
