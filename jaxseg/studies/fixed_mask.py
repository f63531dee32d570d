"""The position-only baseline: how well one fixed mask does that never looks at the image.

Masks are compared on a grid of cells over the frame, so that frames may differ in size. A cover is
uint8 [g, g]: the share of each cell that the mask covers, 255 for all of it. A fixed mask is made
of whole cells, so its overlap with a cover is its overlap with the mask itself, to the rounding of
a share to 1/255.

`fit_fixed_mask` passes twice over stored covers, `centre_prior` once over a stream of any length.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics.bootstrap import LEVEL, RESAMPLES

GRID = 64
LEVELS = 100
FULL = 255
KEPT = 4096  # masks of a stream in the sample that Dice is measured on; means use all of them
CHUNK = 256
THRESHOLDS = np.arange(1, 101) / 100  # of the highest occupancy

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
    sizes = _at_least(np.bincount(levels.ravel(), minlength=LEVELS + 1))
    by_level = np.zeros(LEVELS + 1)
    for one in covers():
        if one.any():
            held = np.bincount(levels.ravel(), one.ravel() / FULL, minlength=LEVELS + 1)
            by_level += 2 * _at_least(held) / (held.sum() + sizes) / n_masks
    best = int(np.argmax(by_level))
    return FixedMask(levels >= best, float(by_level[best]))


def _at_least(by_level: np.ndarray) -> np.ndarray:
    """Sums over all levels from each one on."""
    return np.cumsum(by_level[::-1])[::-1]


def split_half_masks(covers: Covers) -> tuple[FixedMask, FixedMask]:
    """The fixed masks for `halves` 0 and 1, each fitted on the other half.

    Raises JaxsegError when one half has nothing but empty masks.
    """

    def fitted_on(half: int) -> FixedMask:
        return fit_fixed_mask(lambda: (one for one, of in zip(covers(), halves()) if of == half))

    return fitted_on(1), fitted_on(0)


class CentrePrior(NamedTuple):
    """Result of `centre_prior`.

    `dice` is the mean over masks of Dice with the fixed mask that the other half of the set gave,
    `ci_low` and `ci_high` its 95 % bootstrap interval over masks, NaN where a half holds no mask;
    `occupancy` float [GRID, GRID] the share of masks that cover each cell; `fixed` bool
    [GRID, GRID] the best fixed mask of all.
    """

    dice: float
    ci_low: float
    ci_high: float
    n_scored: int
    occupancy: NDArray[np.float64]
    fixed: NDArray[np.bool_]


class Sample:
    """Running means of both `halves` of a stream of masks, and a random sample of its masks."""

    def __init__(self, *, seed: int = 0):
        self._halves = halves()
        self._rng = np.random.default_rng(seed)
        self.sums = np.zeros((2, GRID * GRID))
        self.counts = np.zeros(2, np.int64)
        self.kept = np.empty((0, GRID * GRID), np.uint8)
        self.half = np.empty(0, np.int8)

    def add(self, mask: NDArray[np.uint8]) -> None:
        """Adds a mask uint8 [H, W] that is not empty."""
        share = cells((mask > 0).astype(np.float32)).ravel()
        n = int(self.counts.sum())
        half = next(self._halves)
        self.sums[half] += share
        self.counts[half] += 1
        # Reservoir sampling (Vitter 1985): each mask is kept with the same chance.
        place = n if n < KEPT else int(self._rng.integers(n + 1))
        if place == len(self.kept):
            more = min(KEPT, 2 * place or 64) - place
            self.kept = np.pad(self.kept, ((0, more), (0, 0)))
            self.half = np.pad(self.half, (0, more))
        if place < KEPT:
            self.kept[place], self.half[place] = np.round(FULL * share), half

    def masks(self, *halves: int) -> NDArray[np.uint8]:
        """The kept masks of the halves 0, 1 or both: uint8 [n, GRID²], 255 for a full cell."""
        filled = min(int(self.counts.sum()), KEPT)
        return self.kept[:filled][np.isin(self.half[:filled], halves)]


def centre_prior(sample: Sample, *, seed: int = 0) -> CentrePrior:
    """Fits the best fixed mask on each half of the sample and scores it on the other half.

    Candidates are the occupancy map above each of THRESHOLDS times its maximum; the best has the
    highest mean Dice with the masks it is fitted on.
    """
    total = sample.sums.sum(axis=0) / max(sample.counts.sum(), 1)
    maps = total.reshape(GRID, GRID), _best(total, sample.masks(0, 1)).reshape(GRID, GRID)
    if not sample.counts.all():
        return CentrePrior(np.nan, np.nan, np.nan, 0, *maps)
    parts = [sample.masks(k) for k in (0, 1)]
    priors = [_best(sample.sums[k] / sample.counts[k], parts[k]) for k in (0, 1)]
    scores = np.concatenate([_dice(parts[1 - k], priors[k][None])[:, 0] for k in (0, 1)])
    rng = np.random.default_rng(seed)
    means = [rng.choice(scores, len(scores)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return CentrePrior(float(scores.mean()), float(low), float(high), len(scores), *maps)


def _best(occupancy: NDArray[np.floating], masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    candidates = occupancy >= THRESHOLDS[:, None] * occupancy.max()
    return candidates[int(_dice(masks, candidates).mean(axis=0).argmax())]


def _dice(masks: NDArray[np.uint8], fixed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice of masks uint8 [n, cells] with fixed masks [k, cells]: [n, k]."""
    chosen = fixed.T.astype(np.float32)
    # In pieces: as floats all masks together would take four times their memory.
    pieces = np.split(masks, range(CHUNK, len(masks), CHUNK))
    overlap = np.concatenate([piece.astype(np.float32) @ chosen for piece in pieces]) / FULL
    sizes = masks.sum(axis=1, dtype=np.int64)[:, None] / FULL + chosen.sum(axis=0)
    return 2 * overlap / sizes
