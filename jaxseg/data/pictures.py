"""A picture file -> its pixels as stored, after its header has been asked for its size; and back.

Pictures are decoded by OpenCV; Pillow reads their headers first, so that a small file that declares
a huge frame is refused before memory is taken for it.
"""

import tokenize
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError

MAX_LIMIT_PX = 178_000_000  # Pillow itself refuses larger pictures
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")  # and no other parser is let at the file
DAMAGED = "cannot be read as an image (truncated or damaged); replace the file"
# What Pillow raises for headers that lie, beside its own errors.
_BAD_HEADER = (OSError, EOFError, ValueError, RuntimeError, SyntaxError, KeyError, TypeError)
_BAD_HEADER += (tokenize.TokenError, OverflowError, IndexError, AttributeError, MemoryError)


def read_picture(path: Path, limit_px: int = MAX_LIMIT_PX, flag: str = "") -> NDArray:
    """Values [H, W] or [H, W, channels] as stored, colour in the order blue, green, red.

    Raises JaxsegError, one line that names the file, for what cannot be read, holds several pages
    or declares more than `limit_px` pixels; `flag` says how to change the limit.
    """
    check_header(path, limit_px, flag)
    try:
        # Not by its name: OpenCV ends the process for one that is no UTF-8.
        pixels = cv2.imdecode(np.memmap(path, np.uint8, "r"), cv2.IMREAD_UNCHANGED)
    except (cv2.error, OSError, ValueError):
        pixels = None
    if pixels is None:
        raise JaxsegError(f"{path}: {DAMAGED}")
    return pixels


def check_header(path: Path, limit_px: int = MAX_LIMIT_PX, flag: str = "") -> None:
    """Raises what `read_picture` raises for what the header alone can tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(path, formats=FORMATS) as picture:
                width, height = picture.size
                pages = getattr(picture, "n_frames", 1)
                # OpenCV takes memory for a PNG's chunks as long as they say they are.
                picture.verify()
    except PIL.Image.DecompressionBombError as error:
        raise JaxsegError(
            f"{path}: declares over {MAX_LIMIT_PX} pixels; must be from 1 to {limit_px} in all"
            f"{flag}"
        ) from error
    except _BAD_HEADER as error:
        raise JaxsegError(f"{path}: {DAMAGED}") from error
    check_pixels(path, (height, width), limit_px, flag)
    if pages > 1:
        raise JaxsegError(f"{path}: holds {pages} pages; save one image a file")


def check_pixels(path: Path, shape: tuple[int, ...], limit_px: int, flag: str = "") -> None:
    """Raises JaxsegError unless (height, width) is a frame of at most `limit_px` pixels."""
    height, width = shape
    if height < 1 or width < 1 or height * width > limit_px:
        raise JaxsegError(
            f"{path}: declares {height}×{width} pixels; must be from 1 to {limit_px} in all{flag}"
        )


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file that holds uint8 values [H, W, 3] (RGB) or [H, W] as they are.

    TFDS would have TensorFlow compress them harder: a tenth to a quarter smaller, for several times
    as long.
    """
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()
