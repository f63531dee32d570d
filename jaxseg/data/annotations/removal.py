"""Removes annotations from ultrasound frames: finds them, or is given them, and fills their pixels.

| method          | fills a removed pixel with                                                    |
|-----------------|-------------------------------------------------------------------------------|
| `telea`         | fast marching from the rim inwards (Telea 2004; cv2.INPAINT_TELEA)            |
| `navier_stokes` | isophotes carried inwards as by a fluid (Bertalmio 2001; cv2.INPAINT_NS)      |
| `black_box`     | black, over the whole bounding box of every connected mark and of every word  |
| `noise`         | colours drawn at random from the pixels round the marks                       |
| `bilinear`      | straight lines between the nearest kept pixels of its row and of its column   |

Inpainting itself leaves traces. A placebo shows their effect: it removes the places of marks from
frames on which they were never drawn, `remove_annotations(clean, mask=annotated)`.

Marks are found by colour, or by brightness and shape. Coloured overlays stand out because
ultrasound is grey: the recipe published for yellow calipers (hue 0.11 … 0.17, saturation and value
above 0.5) finds the cores of strokes, and tinted pixels beside a core are its soft edge. White and
grey overlays have neither colour nor tint; they differ from bright speckle because they are thin
(white top-hat), all of one grey level (a spike in the histogram of thin bright pixels), and
written: strokes as long as glyphs and letters, small pieces beside those, dots that follow each
other evenly. Outside the field of view everything that is not black is overlay.
"""

import zlib
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from jaxseg.data.annotations import COLOURS
from jaxseg.data.annotations.marks import Sizes, sizes_of
from jaxseg.data.images import as_rgb
from jaxseg.errors import UsageError, check_choice

Array = NDArray
RADIUS = 3  # pixels round a removed one that inpainting looks at
# Hue, of a turn, between which a colour lies.
HUES = {"yellow": (0.11, 0.17), "green": (0.22, 0.45)}
VIVID = 0.5  # saturation and value of a stroke's core, at least
TINT = 4  # grey levels between the channels of a stroke's edge, at least
COLOURLESS = 30  # grey levels between the channels of a white or grey overlay, at most
THIN = 30  # grey levels by which a thin stroke is brighter than its surroundings, at least
SPECKLE = 0.85  # standard deviations of the surroundings by which a soft edge differs, at least
DIM = 40  # grey level above which what lies outside the field of view is not black
DIMMEST = 120  # grey level of an overlay, at least
SAME_LEVEL = 3  # grey levels between the pixels of one overlay's strokes, at most
SPIKE = 6  # standard deviations by which one grey level is commoner than those around it
FAINTEST_COVER = 0.05  # opacity of a soft edge, at least
SMALLEST_PART = 0.002  # share of the frame that a region of the scan takes, at least
BLACK = 12  # grey level up to which nothing is shown


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
    mask itself, or for `black_box` the boxes around it. Only `noise` uses `seed`: a
    frame's noise is a pure function of the seed, the frame and the mask. Raises UsageError for an
    unknown method or colour, a negative seed, a mask of another size or type, and a mask that
    leaves no pixel to fill from.
    """
    check_choice("method", method, METHODS)
    image = as_rgb(image)
    removed = detect_annotations(image, colour) if mask is None else np.asarray(mask)
    if removed.shape != image.shape[:2] or removed.dtype != np.bool_:
        raise UsageError(
            f"mask of type {removed.dtype} and shape {removed.shape}: must be bool of the image's "
            f"size {image.shape[:2]}"
        )
    if removed.all():
        raise UsageError(
            "mask: covers the whole frame; at least one pixel must remain to fill from"
        )
    if seed < 0:
        raise UsageError(f"seed={seed}: must not be negative")
    if method == "black_box":
        removed = _boxes(removed)
    if not removed.any():
        return image.copy(), removed
    filled = METHODS[method](image, removed, seed)
    return np.where(removed[..., None], filled, image), removed


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


def _inpaint(how: int, image: Array, mask: Array, seed: int) -> Array:
    return cv2.inpaint(image, mask.astype(np.uint8), RADIUS, how)


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
    "telea": partial(_inpaint, cv2.INPAINT_TELEA),
    "navier_stokes": partial(_inpaint, cv2.INPAINT_NS),
    "black_box": lambda image, mask, seed: np.zeros_like(image),
    "noise": _noise,
    "bilinear": _bilinear,
}


def detect_annotations(image: ArrayLike, colour: str = "yellow") -> NDArray[np.bool_]:
    """Where annotations of a colour lie: bool [H, W], soft edges of strokes included.

    `image` is anything `as_rgb` takes; `colour` is `yellow`, `green` or `white`, which finds grey
    overlays, too. Frames should be as the scanner wrote them: JPEG halves the resolution of colour
    and fades thin strokes (at quality 95, recall on lines one pixel wide falls to about 0.6).
    Raises UsageError for another colour.
    """
    check_choice("colour", colour, COLOURS)
    image = as_rgb(image)
    if colour == "white":
        return _white(image)
    low, high = HUES[colour]
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hue, saturation, value = hsv[..., 0] / 360, hsv[..., 1], hsv[..., 2]
    core = (hue > low) & (hue < high) & (saturation > VIVID) & (value > VIVID)
    # Of a faint tint the hue is known only roughly.
    tint = (np.abs(hue - (low + high) / 2) < (high - low) / 2 + 0.05) & (np.ptp(image, -1) >= TINT)
    return core | (tint & _near(core, sizes_of(len(image)), 2))


def field_of_view(image: ArrayLike) -> NDArray[np.bool_]:
    """The part of the screen where the scan is shown: bool [H, W], convex; all False on black.

    The convex hull of all regions that are not black once thin overlays are taken off, and larger
    than a letter block: shadows cut the scan into several.
    """
    image = as_rgb(image)
    shown = (image.max(-1) > BLACK).astype(np.uint8)
    sizes = sizes_of(len(shown))
    shown = cv2.morphologyEx(shown, cv2.MORPH_CLOSE, _disc(sizes.line))
    shown = cv2.morphologyEx(shown, cv2.MORPH_OPEN, _disc(sizes.text // 2))
    contours, _ = cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    view = np.zeros_like(shown)
    large = [c for c in contours if cv2.contourArea(c) >= SMALLEST_PART * view.size]
    if large:
        cv2.fillPoly(view, [cv2.convexHull(np.concatenate(large))], 1)
    return cv2.dilate(view, _disc(sizes.text // 2)) > 0  # corners that the opening rounded


def _disc(radius: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _near(core: Array, sizes: Sizes, reach: int) -> Array:
    """Beside a stroke's core, or inside a line of text: where its letters close up."""
    core = core.astype(np.uint8)
    beside = cv2.dilate(core, np.ones((2 * reach + 1,) * 2, np.uint8))
    letters = cv2.morphologyEx(core, cv2.MORPH_CLOSE, np.ones((1, sizes.text), np.uint8))
    return np.maximum(beside, letters) > 0


def _white(image: Array) -> Array:
    """Thin strokes of one grey level; outside the field of view all that is not black."""
    grey, sizes = image.max(-1), sizes_of(len(image))
    top_hat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, _disc(sizes.line + 1))
    thin = (top_hat >= THIN) & (np.ptp(image, -1) <= COLOURLESS)
    level = _spike(grey[thin])
    core = thin & (np.abs(grey.astype(int) - level) <= SAME_LEVEL)
    core = _written(core, sizes) if level else np.zeros_like(core)
    edge = _near(core, sizes, 1) & _stands_out(grey.astype(np.float32), core, level, sizes)
    outside = ~field_of_view(image) & (grey > DIM)
    return core | edge | outside


def _spike(levels: Array) -> int:
    """The grey level of a peak in the histogram of thin bright pixels; 0 where there is none."""
    counts = np.bincount(levels, minlength=256).astype(float)
    padded = np.pad(counts, 8, mode="reflect")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, 17), axis=-1)
    stands_out = np.where(np.arange(256) >= DIMMEST, (counts - usual) / np.sqrt(usual + 1), 0)
    level = int(stands_out.argmax())
    return level if stands_out[level] >= SPIKE else 0


def _written(core: Array, sizes: Sizes) -> Array:
    """Keeps strokes by their length, small pieces beside them, and dots that lie in a row."""
    _, labels, stats, places = cv2.connectedComponentsWithStats(core.astype(np.uint8))
    extent = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    kept = extent >= min(sizes.margin, sizes.text // 2)
    kept[0] = False
    lines = cv2.morphologyEx(
        kept[labels].astype(np.uint8), cv2.MORPH_DILATE, _disc(sizes.text // 2)
    )
    x, y = np.rint(places).astype(int).T
    dots = np.flatnonzero(extent < sizes.text)
    kept |= lines[y, x] > 0
    if len(dots) >= 4:
        kept[dots] |= _in_row(places[dots], sizes)
    return kept[labels] & core


def _stands_out(grey: Array, core: Array, level: int, sizes: Sizes) -> Array:
    """Brighter than the surroundings by a share of the way to the overlay's level, and than their
    speckle: the soft edge of a stroke if beside one."""
    side = 7 + 2 * sizes.line
    bare = 1 - cv2.dilate(core.astype(np.float32), np.ones((3, 3), np.uint8))
    share = np.maximum(cv2.blur(bare, (side, side)), 1e-3)
    mean = cv2.blur(grey * bare, (side, side)) / share
    spread = np.sqrt(np.maximum(cv2.blur(grey**2 * bare, (side, side)) / share - mean**2, 0))
    return grey - mean > np.maximum(FAINTEST_COVER * (level - mean), SPECKLE * spread)


def _in_row(places: Array, sizes: Sizes) -> Array:
    """Which of the dots (x, y) float [n, 2] are one of four that follow each other evenly."""
    tree = KDTree(places)
    first, second = tree.query_pairs(2.5 * sizes.gap, output_type="ndarray").reshape(-1, 2).T
    first, second = np.concatenate([first, second]), np.concatenate([second, first])
    row = [first, second]
    found = np.ones(len(first), bool)
    for _ in range(2):
        away, following = tree.query(
            2 * places[row[-1]] - places[row[-2]], distance_upper_bound=1.5
        )
        found &= np.isfinite(away)
        row.append(np.where(np.isfinite(away), following, 0))
    return np.isin(np.arange(len(places)), np.stack(row, -1)[found])


Array = NDArray
