"""Reads picture files, arrays and volumes: pixels as a viewer shows them.

All commands read the same files, with the same pixels. Pictures are known by their content,
not by their suffix; Pillow reads their headers first, so that a small file that declares a huge
frame is refused before memory is allocated, and OpenCV decodes them (JPEG exactly, by the
accurate inverse transform). Orientation tags are applied, MinIsWhite is turned, of several pictures
in one JPEG (MPO) the first is taken. `read_image` makes an image of any of them, `masks` a mask.
"""

import contextlib
import errno
import io
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray
from PIL import GifImagePlugin, MpoImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin

from jaxseg.data import volumes
from jaxseg.data.arrays import Check, Shape, array_names, read_array, read_member
from jaxseg.errors import JaxsegError, UsageError, one_line

# Raise it when the pixels read from some file change: prepared images are then made again.
EDITION = "r2"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".ppm")
PICTURE_SUFFIXES += (".pgm", ".pbm")
SUFFIXES = (*PICTURE_SUFFIXES, ".npy", ".npz", *volumes.SUFFIXES)
MAX_LIMIT_PX = 178_000_000  # Pillow itself refuses larger pictures
LIMIT_PX = 100_000_000  # 10,000 × 10,000: beyond a scanner's frame, below a whole slide
DAMAGED = "cannot be read as an image (truncated or damaged); replace the file"
DARKEST = 2**14  # a 16-bit image that stays below it holds only 10, 12 or 14 bits

# No other parser of Pillow reads a file.
_READERS = (GifImagePlugin, MpoImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin)
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM")  # MPO is read as JPEG
_LOSSY = ("JPEG", "MPO")
_ORIENTATION, _PHOTOMETRIC = 274, 262  # tags of EXIF and TIFF
# What Pillow raises for wrong headers, besides its own errors.
_BAD_HEADER = (OSError, EOFError, ValueError, RuntimeError, SyntaxError, KeyError, TypeError)
_BAD_HEADER += (tokenize.TokenError, OverflowError, IndexError, AttributeError, MemoryError)
# How the content of other files begins, and what the error calls it.
_OTHER_CONTENT = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself (git lfs pull)"),
    (b"<!DOCTYPE", "a web page; download the file itself"),
    (b"<html", "a web page; download the file itself"),
    (b"%PDF", "a PDF; export its pictures as PNG"),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"\x93NUMPY", "a numpy array; name it .npy"),
    (b"\x89HDF", "an HDF5 file; save its arrays as npy"),
    (b"<svg", "an SVG drawing; export it as PNG"),
    (b"\x00\x00\x00\x0cjP", "JPEG 2000; save it as PNG"),
)


class Picture(NamedTuple):
    """A decoded picture: `pixels` [H, W] or [H, W, channels], colour as blue, green, red (, alpha).

    `palette` uint8 [256, 3] (red first) where pixels are indices of one; `lossy` where the format
    does not keep values as they were saved.
    """

    pixels: NDArray
    palette: NDArray[np.uint8] | None = None
    lossy: bool = False


class _Header(NamedTuple):
    format: str
    mode: str
    shape: tuple[int, int]  # as stored
    orientation: int
    min_is_white: bool


def suffix_of(path: Path) -> str:
    """Lower-case suffix of a file or slice; `.nii.gz` is one."""
    name = volumes.split_name(path.name)[0].lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem_of(path: Path) -> str:
    """The file's name without its suffix; a slice keeps its number: `volume#012`."""
    name, index = volumes.split_name(path.name)
    stem = name[: len(name) - len(suffix_of(path))]
    return stem if index is None else f"{stem}#{index:03d}"


def check_limit(limit_px: int) -> None:
    """Raises UsageError for a pixel limit that cannot be kept."""
    if not 1 <= limit_px <= MAX_LIMIT_PX:
        raise UsageError(f"--limit_px {limit_px}: must be from 1 to {MAX_LIMIT_PX} pixels")


def read_file(path: Path, limit_px: int = LIMIT_PX, array: str = "image") -> Picture:
    """What a picture, array or slice of a volume holds, without any scaling of its values.

    `array` is the name taken from an npz file that holds several. Raises JaxsegError, one line that
    names the file, for what cannot be read, has another shape or declares more than `limit_px`
    pixels.
    """
    suffix = suffix_of(path)
    if suffix in volumes.SUFFIXES:
        check_pixels(path, volumes.frame_shape(path), limit_px)
        return Picture(volumes.read_slice(path))
    if suffix == ".npy":
        with _readable(path), path.open("rb") as file:
            return Picture(_frame(read_array(file, path, _check_within(limit_px))))
    if suffix == ".npz":
        with _readable(path), path.open("rb"):
            pass  # a file that may not be read is not a damaged one
        names = array_names(path)
        chosen = names[0] if len(names) == 1 else array
        if chosen not in names:
            held = ", ".join(names[:6]) or "nothing"
            raise JaxsegError(f"{path}: holds {held}; must hold one array or one named {array}")
        return Picture(_frame(read_member(path, chosen, _check_within(limit_px))))
    if suffix not in PICTURE_SUFFIXES:
        raise JaxsegError(f"{path}: format {suffix!r}; must be one of {', '.join(SUFFIXES)}")
    with _readable(path):
        return read_picture(path.read_bytes(), path, limit_px)


def read_picture(content: bytes, path: Path, limit_px: int = MAX_LIMIT_PX) -> Picture:
    """The picture that a file's bytes hold; `path` is what errors call it."""
    header = _check_header(content, path, limit_px)
    is_tiff = header.format == "TIFF"
    if header.mode in ("P", "PA"):
        indices, colours = _by_pillow(content, path)
        indices = indices[..., 0] if indices.ndim == 3 else indices  # of PA the second is alpha
        palette = np.zeros(256 * 3, np.uint8)
        palette[: len(colours)] = colours[: len(palette)]
        if not is_tiff:  # Pillow has applied it there
            indices = oriented(indices, header.orientation)
        return Picture(np.ascontiguousarray(indices), palette.reshape(256, 3))
    # OpenCV multiplies colours by alpha in a TIFF of 8 bits, and drops that of grey. Pillow would
    # cut a TIFF of 16 bits to 8.
    alpha = header.mode == "LA" or (is_tiff and header.mode == "RGBA")
    wide = alpha and is_tiff and _by_opencv(content, path).dtype != np.uint8
    if header.format in ("GIF", "PPM") or (alpha and not wide):
        pixels, _ = _by_pillow(content, path)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        elif pixels.ndim == 3 and pixels.shape[-1] >= 3:
            pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]]
    else:
        pixels = _by_opencv(content, path)
    if header.min_is_white and pixels.dtype == np.uint16:
        pixels = 65535 - pixels  # of 8 bits OpenCV turns them itself
    if not is_tiff:  # OpenCV has applied it there
        pixels = oriented(pixels, header.orientation)
    return Picture(np.ascontiguousarray(pixels), lossy=header.format in _LOSSY)


def is_turned(path: Path) -> bool:
    """Whether a picture file carries an orientation tag that turns or mirrors it.

    False for arrays, volumes and files that cannot be read: `read_image` reports why.
    """
    if suffix_of(path) not in PICTURE_SUFFIXES:
        return False
    try:
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            tags = picture.info.get("exif") if picture.format == "PNG" else True
            return bool(tags) and picture.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except (*_BAD_HEADER, PIL.Image.DecompressionBombError):
        return False


def oriented(pixels: NDArray, orientation: int) -> NDArray:
    """Pixels [H, W, ...] turned and mirrored by the EXIF orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def read_image(path: Path, limit_px: int = LIMIT_PX) -> NDArray[np.uint8]:
    """Image uint8 [H, W, 3], red first; grey is repeated, alpha left out.

    uint16 is divided by 257 and floats in [0, 1] are multiplied by 255, both rounded; slices of
    volumes are scaled from their own minimum and maximum. Raises JaxsegError naming the
    file: one that cannot be read, values of another range, and 16 bits that stay below 2**14, which
    would be nearly black as 8 bits.
    """
    picture = read_file(path, limit_px)
    if picture.palette is not None:
        return picture.palette[picture.pixels]
    if suffix_of(path) in volumes.SUFFIXES:
        # Volumes have different units (HU, arbitrary MR), and so no fixed grey scale to keep.
        values = np.nan_to_num(picture.pixels.astype(np.float64))
        low, high = values.min(), values.max()
        pixels = ((values - low) / max(high - low, 1e-12) * 255 + 0.5).astype(np.uint8)
    else:
        pixels = _bytes(picture.pixels, path)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    # Two channels are grey with alpha.
    return np.ascontiguousarray(pixels[..., [2, 1, 0] if pixels.shape[-1] > 2 else [0, 0, 0]])


def check_pixels(path: Path, shape: tuple[int, ...], limit_px: int) -> None:
    """Raises JaxsegError unless (height, width) is a frame of at most `limit_px` pixels."""
    height, width = shape
    if height < 1 or width < 1 or height * width > limit_px:
        raise JaxsegError(
            f"{path}: declares {height}×{width} pixels; must be from 1 to {limit_px} in all "
            "(audits: --limit_px)"
        )


def check_same_size(path_a: Path, a: NDArray, path_b: Path, b: NDArray) -> None:
    """Raises JaxsegError naming the second file unless both have one height and width, one place.

    Slices of two volumes must also lie in the same place by their affines, and a picture cannot be
    compared with a slice that its affine has turned.
    """
    sizes = [f"{array.shape[0]}×{array.shape[1]}" for array in (a, b)]
    if sizes[0] != sizes[1]:
        raise JaxsegError(
            f"{path_b}: {sizes[1]} pixels but {path_a} has {sizes[0]} (as shown, orientation tags "
            "applied); the sizes must agree"
        )
    stored = [path for path in (path_a, path_b) if suffix_of(path) in volumes.SUFFIXES]
    if len(stored) == 2:
        volumes.check_same_place(path_a, path_b)
    elif stored and volumes.is_turned(stored[0]):
        raise JaxsegError(
            f"{path_b}: belongs to {path_a}; the volume is turned by its affine, which a picture "
            "does not have: save both as volumes, or both as pictures"
        )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raises JaxsegError for a file that may not be read or is missing."""
    try:
        yield
    except OSError as error:
        raise cannot_open(path, error) from error


def cannot_open(path: Path, error: OSError) -> JaxsegError:
    """The error for a file that the system cannot open: the reason and the remedy."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return JaxsegError(f"{path}: permission denied; make it readable (chmod u+r)")
    if error.errno == errno.ENOENT:
        return JaxsegError(f"{path}: no such file (a broken link?)")
    return JaxsegError(f"{path}: {error.strerror or one_line(error)}")


def _check_header(content: bytes, path: Path, limit_px: int) -> _Header:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                # In a PNG EXIF may follow the pixels: it is read only where there is some.
                tags: Any = {}
                if picture.format != "PNG":
                    tags = picture.getexif()
                elif b"eXIf" in content:
                    with PIL.Image.open(io.BytesIO(content), formats=("PNG",)) as again:
                        tags = again.getexif()
                white = picture.format == "TIFF" and tags.get(_PHOTOMETRIC) == 0
                turn = tags.get(_ORIENTATION, 1)
                turn = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
                shape = (picture.size[1], picture.size[0])
                header = _Header(str(picture.format), picture.mode, shape, turn, white)
                pages = 1 if header.format == "MPO" else getattr(picture, "n_frames", 1)
                # OpenCV allocates as much memory for the chunks of a PNG as they declare.
                picture.verify()
    except PIL.Image.DecompressionBombError as error:
        raise JaxsegError(
            f"{path}: declares over {MAX_LIMIT_PX} pixels; must be from 1 to {limit_px} in all "
            "(audits: --limit_px)"
        ) from error
    except _BAD_HEADER as error:
        raise JaxsegError(f"{path}: {_what_else(content)}") from error
    check_pixels(path, header.shape, limit_px)
    if pages > 1:
        raise JaxsegError(f"{path}: holds {pages} pages; save one image a file")
    return header


def _what_else(content: bytes) -> str:
    """What is wrong with a file that is not a picture, by its content."""
    if not content:
        return "is empty (0 bytes); replace the file"
    if content[128:132] == b"DICM":
        return "holds DICOM; export its frames as PNG"
    for start, name in _OTHER_CONTENT:
        if content.lstrip()[: len(start)].lower() == start.lower():
            return f"holds {name}"
    return DAMAGED


def _by_pillow(content: bytes, path: Path) -> tuple[NDArray, NDArray[np.uint8]]:
    """Pixels, and the colours of their palette, empty where there is none."""
    try:
        with PIL.Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            picture.load()
            return np.asarray(picture), np.asarray(picture.getpalette("RGB") or [], np.uint8)
    except _BAD_HEADER as error:
        raise JaxsegError(f"{path}: {DAMAGED}") from error


def _by_opencv(content: bytes, path: Path) -> NDArray:
    import cv2  # prepared views are read without it

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        # Not by its name: OpenCV ends the process for one that is not UTF-8 text.
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise JaxsegError(f"{path}: {DAMAGED}")
    return pixels


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
        check_pixels(path, frame, limit_px)

    return check


def _bytes(pixels: NDArray, path: Path) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype == np.uint16:
        if 0 < high < DARKEST:
            raise JaxsegError(
                f"{path}: 16-bit image with values up to {high:g}, nearly black as 8 bits; scale "
                "it to 0..65535 or save it with 8 bits"
            )
        return (pixels / 257 + 0.5).astype(np.uint8)
    if pixels.dtype.kind in "bf" and 0 <= low <= high <= 1:
        return (pixels * 255.0 + 0.5).astype(np.uint8)
    if pixels.dtype.kind in "ui" and 0 <= low <= high <= 255:
        return pixels.astype(np.uint8)
    raise JaxsegError(
        f"{path}: {pixels.dtype} values {low:g}..{high:g}; an image holds uint8, uint16 or floats "
        "in [0, 1]"
    )


def as_rgb(frame: ArrayLike) -> NDArray[np.uint8]:
    """A frame as uint8 [H, W, 3] RGB; an RGB frame of 8 bits is returned as it is.

    Takes uint8 or uint16 arrays [H, W], [H, W, 1] (grey), [H, W, 3] (RGB) or [H, W, 4] (RGBA).
    16 bits are divided by 257 and rounded, so that equal values stay equal over all frames of a
    data set (a frame's own range would change contrast from frame to frame). RGBA is laid over
    black. Raises UsageError for other types and shapes, and for a 16-bit frame that holds 8-bit
    values: it would turn black.
    """
    frame = np.asarray(frame)
    if frame.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"frame of type {frame.dtype}: must be uint8 or uint16; convert it first")
    channels = frame.shape[2] if frame.ndim == 3 else 1
    if frame.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in frame.shape:
        raise UsageError(
            f"frame of shape {frame.shape}: must be [H, W] or [H, W, C] with C of 1 (grey), "
            "3 (RGB) or 4 (RGBA), and not empty"
        )
    if frame.dtype == np.uint16:
        if 0 < frame.max() < 257:
            raise UsageError(
                f"frame of type uint16 with values up to {frame.max()}: it holds 8-bit values and "
                "would turn black; convert it to uint8"
            )
        frame = ((frame.astype(np.uint32) + 128) // 257).astype(np.uint8)
    frame = frame.reshape(*frame.shape[:2], channels)
    if channels == 4:
        weighted = frame[..., :3].astype(np.uint16) * frame[..., 3:]
        frame = ((weighted + 127) // 255).astype(np.uint8)
    return np.repeat(frame, 3, -1) if channels == 1 else frame


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file that holds uint8 values [H, W, 3] (RGB) or [H, W] as they are."""
    import cv2  # prepared views are read without it

    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()
