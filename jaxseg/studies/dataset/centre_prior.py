"""The position-only baseline: how well the one best fixed mask does that ignores every image.

Masks are averaged to GRID × GRID cells, each cell holding the share of it that is foreground, so
that overlaps with a fixed mask made of whole cells are those of the full-size masks. Memory does
not grow with the number of masks: means use all of them, Dice a random sample of KEPT.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.metrics.bootstrap import LEVEL, RESAMPLES
from jaxseg.studies.fixed_mask import GRID, cells, halves

KEPT = 4096
CHUNK = 256
THRESHOLDS = np.arange(1, 101) / 100  # of the highest occupancy


class CentrePrior(NamedTuple):
    """Result of `centre_prior`. Dice in [0, 1]; NaN where a half holds no mask.

    `dice` is the mean over masks of Dice with the fixed mask that the other half of the set gave,
    `ci_low` and `ci_high` its 95 % bootstrap interval over masks; `occupancy` float [GRID, GRID]
    the share of masks that cover each cell; `fixed` bool [GRID, GRID] the best fixed mask of all.
    """

    dice: float
    ci_low: float
    ci_high: float
    n_scored: int
    occupancy: NDArray[np.float64]
    fixed: NDArray[np.bool_]


class Sample:
    """Running means of both halves of a stream of masks, and a random sample of its masks.

    The halves are drawn by `fixed_mask.halves`, not cut in the middle: folders are often sorted by
    what matters (on ISIC 2017 the later half has smaller lesions).
    """

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
            self._grow()
        if place < KEPT:
            self.kept[place], self.half[place] = np.round(255 * share), half

    def _grow(self) -> None:
        size = min(KEPT, 2 * len(self.kept) or 64)
        kept, half = np.zeros((size, GRID * GRID), np.uint8), np.zeros(size, np.int8)
        kept[: len(self.kept)], half[: len(self.half)] = self.kept, self.half
        self.kept, self.half = kept, half

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
    fixed = _best(total, sample.masks(0, 1))
    shape = (GRID, GRID)
    scores = np.empty(0)
    if sample.counts.all():
        halves = [sample.masks(k) for k in (0, 1)]
        priors = [_best(sample.sums[k] / sample.counts[k], halves[k]) for k in (0, 1)]
        scores = np.concatenate([_dice(halves[1 - k], priors[k][None])[:, 0] for k in (0, 1)])
    mean, low, high = _interval(scores, seed)
    return CentrePrior(mean, low, high, len(scores), total.reshape(shape), fixed.reshape(shape))


def _best(occupancy: NDArray[np.floating], masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    candidates = occupancy >= THRESHOLDS[:, None] * occupancy.max()
    return candidates[int(_dice(masks, candidates).mean(axis=0).argmax())]


def _dice(masks: NDArray[np.uint8], fixed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice of masks uint8 [n, cells] with fixed masks [k, cells]: [n, k]."""
    chosen = fixed.T.astype(np.float32)
    # In pieces: as floats all masks together would take four times their memory.
    pieces = np.split(masks, range(CHUNK, len(masks), CHUNK))
    overlap = np.concatenate([piece.astype(np.float32) @ chosen for piece in pieces]) / 255
    sizes = masks.sum(axis=1, dtype=np.int64)[:, None] / 255 + chosen.sum(axis=0)
    return 2 * overlap / sizes


def _interval(scores: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    if len(scores) < 2:
        return (float(scores.mean()) if len(scores) else np.nan), np.nan, np.nan
    rng = np.random.default_rng(seed)
    means = [rng.choice(scores, len(scores)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(scores.mean()), float(low), float(high)
