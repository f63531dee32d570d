"""The position-only baseline: how well one fixed mask does that never looks at the image.

Masks are compared on a grid of cells over the frame, so that frames may differ in size. A cover is
uint8 [g, g]: the share of each cell that the mask covers, 255 for all of it. A fixed mask is made
of whole cells, so its overlap with a cover is its overlap with the mask itself, to the rounding of
a share to 1/255.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.errors import JaxsegError, UsageError

GRID = 64
LEVELS = 100
FULL = 255

Covers = Callable[[], Iterable[np.ndarray]]


class FixedMask(NamedTuple):
    """`mask` bool [g, g]; `dice` is its mean Dice on the masks it was fitted to, so it flatters."""

    mask: np.ndarray
    dice: float


def cover(mask: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Share of each cell that a mask [H, W] (foreground: not 0) covers: uint8 [grid, grid].

    The mean over the cell's area (OpenCV's INTER_AREA); frames that are not square are stretched.
    Raises UsageError for a mask that is not [H, W] or a grid below 1.
    """
    if mask.ndim != 2 or 0 in mask.shape:
        raise UsageError(f"mask: shape {mask.shape} must be [H, W], at least one pixel")
    if grid < 1:
        raise UsageError(f"grid={grid}: must be at least 1 cell")
    return cells((mask != 0).astype(np.uint8) * FULL, grid)


def cells(values: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Mean of values [H, W] over each of grid × grid cells, in their dtype (uint8 or float32)."""
    # Enlarging, INTER_AREA would interpolate: whole copies of small frames' pixels come first.
    rows, columns = (-(-grid // side) for side in values.shape)
    values = values.repeat(rows, axis=0).repeat(columns, axis=1)
    return cv2.resize(values, (grid, grid), interpolation=cv2.INTER_AREA)


def halves() -> Iterator[int]:
    """The half, 0 or 1, of each mask in its order, without end: of every two, one each by lot.

    Always the same lots. By lot, because files often alternate (left and right, four quarters of
    a frame) or are sorted by what matters (on ISIC 2017 the later half has smaller lesions), and
    the halves must not differ in that.
    """
    rng = np.random.default_rng(0)
    while True:
        first = int(rng.integers(2))
        yield from (first, 1 - first)


def occupancy(covers: Iterable[np.ndarray]) -> tuple[np.ndarray, int]:
    """(share of the masks that cover each cell: float64 [g, g] in [0, 1], number of masks).

    Empty masks are left out. Raises JaxsegError when there is no other.
    """
    total, n_masks = np.zeros(()), 0
    for one in covers:
        total, n_masks = total + one, n_masks + bool(one.any())
    if n_masks == 0:
        raise JaxsegError("centre prior: every mask is empty; there is no position to learn")
    return total / (FULL * n_masks), n_masks


def fit_fixed_mask(covers: Covers) -> FixedMask:
    """The occupancy map cut where the mean Dice of its masks is highest.

    Tried are thresholds at 0, 1, …, 100 % of the map's highest value; at 0 the mask is the whole
    frame. Memory does not grow with the number of masks; they are passed over twice.

    Args:
      covers: gives the covers uint8 [g, g] afresh at every call; empty ones are left out.
    Raises:
      JaxsegError: every mask is empty.
    """
    shares, n_masks = occupancy(covers())
    # A cell is in the mask of every threshold up to its own level.
    levels = np.floor(shares / shares.max() * LEVELS + 1e-9).astype(int)
    by_level = np.zeros(LEVELS + 1)
    for one in covers():
        if one.any():
            by_level += _dice_by_level(one, levels) / n_masks
    best = int(np.argmax(by_level))
    return FixedMask(levels >= best, float(by_level[best]))


def split_half_masks(covers: Covers) -> tuple[FixedMask, FixedMask]:
    """The fixed masks for `halves` 0 and 1, each fitted on the other half.

    So that no mask is scored on what it was fitted to. Raises JaxsegError when one half has
    nothing but empty masks.
    """

    def fitted_on(half: int) -> FixedMask:
        return fit_fixed_mask(lambda: (one for one, of in zip(covers(), halves()) if of == half))

    return fitted_on(1), fitted_on(0)


def _dice_by_level(one: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Dice of every threshold's mask with a cover: float64 [LEVELS + 1], index = level."""
    held = np.bincount(levels.ravel(), one.ravel() / FULL, minlength=LEVELS + 1)
    counts = np.bincount(levels.ravel(), minlength=LEVELS + 1)
    hit, size = (np.cumsum(sums[::-1])[::-1] for sums in (held, counts))
    return 2 * hit / (held.sum() + size)
