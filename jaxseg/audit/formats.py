"""One file of any supported format -> its raw array, after its declared size has been checked.

Pictures are decoded by OpenCV; Pillow reads their headers first, so that a small file that declares
a huge frame is refused before memory is taken for it. npy and npz are read without pickle.
"""

import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from jaxseg.audit import nifti
from jaxseg.audit.nifti import one_line
from jaxseg.data.pairs import IMAGE_SUFFIXES
from jaxseg.errors import JaxsegError, UsageError

SUFFIXES = (*IMAGE_SUFFIXES, ".npy", ".npz", *nifti.SUFFIXES)

LIMIT_PX = 100_000_000  # 10,000 × 10,000: beyond a scanner's frame, below a whole slide
MAX_LIMIT_PX = 178_000_000  # Pillow itself refuses larger pictures

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
# The header of an npy file is parsed as Python text, whatever stands there.
_BAD_HEADER = (*_DAMAGE, SyntaxError, KeyError, TypeError, tokenize.TokenError)


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
        return _picture(path, limit_px)
    if suffix in nifti.SUFFIXES:
        _check_pixels(path, nifti.frame_shape(path), limit_px)
        return nifti.read_slice(path)
    if suffix == ".npy":
        return _saved(path, limit_px)
    if suffix == ".npz":
        return _member(path, limit_px, array)
    raise JaxsegError(f"{path}: format {suffix!r}; must be one of {', '.join(SUFFIXES)}")


def _picture(path: Path, limit_px: int) -> NDArray:
    _check_header(path, limit_px)
    try:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise JaxsegError(f"{path}: cannot be read as an image (truncated or damaged)")
    return pixels


def _check_header(path: Path, limit_px: int) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(path) as picture:
                width, height = picture.size
                pages = getattr(picture, "n_frames", 1)
    except PIL.Image.DecompressionBombError as error:
        raise JaxsegError(
            f"{path}: declares over {MAX_LIMIT_PX} pixels; must be from 1 to {limit_px} in all "
            "(--limit_px)"
        ) from error
    except _BAD_HEADER as error:
        raise JaxsegError(f"{path}: cannot be read as an image (truncated or damaged)") from error
    _check_pixels(path, (height, width), limit_px)
    if pages > 1:
        raise JaxsegError(f"{path}: holds {pages} pages; save one image a file")


def _check_pixels(path: Path, shape: tuple[int, ...], limit_px: int) -> None:
    height, width = shape
    if height < 1 or width < 1 or height * width > limit_px:
        raise JaxsegError(
            f"{path}: declares {height}×{width} pixels; must be from 1 to {limit_px} in all "
            "(--limit_px)"
        )


def _saved(path: Path, limit_px: int) -> NDArray:
    try:
        with path.open("rb") as file:
            return _array(file, path, limit_px)
    except OSError as error:
        raise JaxsegError(f"{path}: {error.strerror or one_line(error)}") from error


def _member(path: Path, limit_px: int, array: str) -> NDArray:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = names[0] if len(names) == 1 else array
            if chosen not in names:
                held = ", ".join(names[:6]) or "nothing"
                raise JaxsegError(f"{path}: holds {held}; must hold one array or one named {array}")
            with archive.open(archive.namelist()[names.index(chosen)]) as file:
                return _array(file, path, limit_px)
    except _DAMAGE as error:
        raise JaxsegError(f"{path}: not a readable npz file ({one_line(error)})") from error


def _array(file: IO[bytes], path: Path, limit_px: int) -> NDArray:
    try:
        version = np.lib.format.read_magic(file)
        shape, _, dtype = _HEADERS[version](file)
    except _BAD_HEADER as error:
        raise JaxsegError(f"{path}: not a valid npy array ({one_line(error)})") from error
    _check_array(path, shape, dtype, limit_px)
    try:
        file.seek(0)
        pixels = np.lib.format.read_array(file, allow_pickle=False)
    except _DAMAGE as error:
        raise JaxsegError(f"{path}: shorter than its header says ({one_line(error)})") from error
    if pixels.ndim == 2:
        return pixels
    colour = {1: 0, 3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[-1])
    return pixels[0] if colour is None else pixels[..., colour]


def _check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype, limit_px: int) -> None:
    if dtype.kind not in "buif":
        raise JaxsegError(f"{path}: dtype {dtype}; must hold numbers (pickles are never read)")
    if len(shape) == 3:
        shape = shape[:2] if shape[-1] in (1, 3, 4) else shape[1:] if shape[0] == 1 else shape
    if len(shape) != 2:
        raise JaxsegError(f"{path}: shape {shape}; must be [height, width], images also [.., 3]")
    _check_pixels(path, shape, limit_px)
