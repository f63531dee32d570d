"""Takes annotations off ultrasound frames: finds them, or is told where, and fills the places.

| method          | fills a removed pixel with                                                    |
|-----------------|-------------------------------------------------------------------------------|
| `telea`         | fast marching from the rim inwards (Telea 2004; cv2.INPAINT_TELEA)            |
| `navier_stokes` | isophotes carried inwards as by a fluid (Bertalmio 2001; cv2.INPAINT_NS)      |
| `black_box`     | black, over the whole bounding box of every connected mark and of every word  |
| `noise`         | colours drawn at random from the pixels round the marks                       |
| `bilinear`      | straight lines between the nearest kept pixels of its row and of its column   |

Inpainting leaves traces of its own: a placebo removes the places of marks from frames on which
they were never drawn, `remove_annotations(clean, mask=annotated)`.
"""

import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxseg.data.marks import sizes_of
from jaxseg.data.overlays import detect_annotations
from jaxseg.data.rgb import as_rgb
from jaxseg.errors import UsageError, check_choice

Array = NDArray

RADIUS = 3  # pixels round a removed one that inpainting looks at


def remove_annotations(
    image: ArrayLike,
    *,
    method: str = "telea",
    colour: str = "yellow",
    mask: ArrayLike | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Removes annotations: returns the image, uint8 [H, W, 3], and what was replaced, bool [H, W].

    Without `mask`, annotations of `colour` are detected; with it, bool [H, W], those very pixels
    are removed and nothing is detected. No pixel outside the second result changes. It is the
    mask itself but for `black_box`, whose boxes contain it. `seed` is of use to `noise` alone: a
    frame's noise is a pure function of the seed, the frame and the mask. Raises UsageError for an
    unknown method or colour, a negative seed, a mask of another size or type, and a mask that
    leaves no pixel to fill from.
    """
    check_choice("method", method, METHODS)
    image = as_rgb(image)
    removed = detect_annotations(image, colour) if mask is None else np.asarray(mask)
    _check(image, removed, seed)
    if method == "black_box":
        removed = _boxes(removed)
    if not removed.any():
        return image.copy(), removed
    filled = METHODS[method](image, removed, seed)
    return np.where(removed[..., None], filled, image), removed


def _check(image: Array, mask: Array, seed: int) -> None:
    if mask.shape != image.shape[:2] or mask.dtype != np.bool_:
        raise UsageError(
            f"mask of type {mask.dtype} and shape {mask.shape}: must be bool of the image's size "
            f"{image.shape[:2]}"
        )
    if mask.all():
        raise UsageError(
            "mask: covers the whole frame; at least one pixel must remain to fill from"
        )
    if seed < 0:
        raise UsageError(f"seed={seed}: must not be negative")


def _boxes(mask: Array) -> Array:
    """Bounding boxes of the mask's connected parts; the letters of a word are one part.

    Wide enough for the gaps of letters, too narrow for those of a dotted line: its box would cover
    the structure that it measures.
    """
    near = np.ones((1, sizes_of(len(mask)).text // 2), np.uint8)
    joined = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, near)
    contours, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = np.zeros_like(joined)
    for x, y, width, height in map(cv2.boundingRect, contours):
        boxes[y : y + height, x : x + width] = 1
    return boxes > 0


def _telea(image: Array, mask: Array, seed: int) -> Array:
    return cv2.inpaint(image, mask.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA)


def _navier_stokes(image: Array, mask: Array, seed: int) -> Array:
    return cv2.inpaint(image, mask.astype(np.uint8), RADIUS, cv2.INPAINT_NS)


def _black(image: Array, mask: Array, seed: int) -> Array:
    return np.zeros_like(image)


def _noise(image: Array, mask: Array, seed: int) -> Array:
    """Every removed pixel is a kept one, drawn with replacement from those near the mask."""
    reach = 2 * sizes_of(len(image)).text + 1
    around = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    kept = image[around & ~mask]
    rng = np.random.default_rng([seed, zlib.crc32(image.tobytes()), zlib.crc32(mask.tobytes())])
    filled = image.copy()
    filled[mask] = kept[rng.integers(len(kept), size=int(mask.sum()))]
    return filled


def _bilinear(image: Array, mask: Array, seed: int) -> Array:
    """Means of the two straight lines, the nearer pair of kept pixels weighing more.

    A line with a kept pixel at one end only carries its colour on. What has no kept pixel in its
    row nor in its column takes the mean of the frame's kept pixels.
    """
    along, near_along = _between(image, mask)
    down, near_down = _between(image.transpose(1, 0, 2), mask.T)
    weights = np.stack([near_along, near_down.T])[..., None]
    lines = np.stack([along, down.transpose(1, 0, 2)])
    total = weights.sum(0)
    mean = image[~mask].mean(0)
    filled = np.where(total > 0, (weights * lines).sum(0) / np.where(total > 0, total, 1), mean)
    return np.rint(filled).astype(np.uint8)


def _between(image: Array, mask: Array) -> tuple[Array, Array]:
    """Linear interpolation along rows, float [H, W, 3], and its weight [H, W]: 1 over the gap."""
    width = mask.shape[1]
    places = np.broadcast_to(np.arange(width), mask.shape)
    left = np.maximum.accumulate(np.where(mask, -1, places), axis=1)
    right = np.minimum.accumulate(np.where(mask, width, places)[:, ::-1], axis=1)[:, ::-1]
    first, last = np.where(left < 0, right, left), np.where(right == width, left, right)
    known = (last >= 0) & (first < width)
    first, last = np.clip(first, 0, width - 1), np.clip(last, 0, width - 1)
    share = (places - first) / np.maximum(last - first, 1)
    rows = np.arange(len(mask))[:, None]
    values = image[rows, first] * (1 - share)[..., None] + image[rows, last] * share[..., None]
    return values, known / np.maximum(right - left, 1)


METHODS: dict[str, Callable[[Array, Array, int], Array]] = {
    "telea": _telea,
    "navier_stokes": _navier_stokes,
    "black_box": _black,
    "noise": _noise,
    "bilinear": _bilinear,
}
