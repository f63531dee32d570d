"""The position-only baseline counted like a model: fixed masks in the rings of every frame."""

import functools
import zlib
from collections.abc import Sequence

import numpy as np

from jaxseg.studies.predictions.counts import N_BORDER, PairCounts
from jaxseg.studies.predictions.fixed_mask import (
    FULL,
    GRID,
    halves,
    split_half_masks,
)
from jaxseg.studies.predictions.frame_bands import N_RINGS, places


def baseline_counts(counts: PairCounts) -> np.ndarray | None:
    """Counts of the best fixed masks: int32 [images, 13 + 16 rings, C, 3], those by centre first.

    A mask a class, fitted on one half of the images and scored on the other (`fixed_mask`). The
    baseline is told which classes an image holds and predicts no other, so that it is not marked
    down for images without an object. Cells of a 64 x 64 grid belong to the ring of their centre
    and count as H * W / 64^2 px. None when no class has an object in both halves.
    """
    found = np.zeros((len(counts.ids), N_RINGS + N_BORDER, len(counts.covers), 3), np.int32)
    fitted = [_fit(of_class) for of_class in counts.covers]
    if not any(fitted):
        return None
    for c, (masks, of_class) in enumerate(zip(fitted, counts.covers)):
        for i, (half, stored) in enumerate(zip(halves(), of_class)):
            if masks and stored is not None:
                rings = _cell_rings(counts.shapes[i], counts.border_px, counts.scale_to)
                px = np.prod(counts.shapes[i]) / GRID**2
                found[i, :, c] = np.rint(px * _in_rings(_unpacked(stored), masks[half], rings))
    return found


def _fit(of_class: Sequence[bytes | None]) -> tuple[np.ndarray, np.ndarray] | None:
    """The masks bool [g, g] for both halves of the images; None if one half has no object."""
    if {half for half, stored in zip(halves(), of_class) if stored} != {0, 1}:
        return None
    first, second = split_half_masks(lambda: map(_unpacked, of_class))
    return first.mask, second.mask


def _unpacked(stored: bytes | None) -> np.ndarray:
    whole = zlib.decompress(stored) if stored else bytes(GRID**2)
    return np.frombuffer(whole, np.uint8).reshape(GRID, GRID)


def _in_rings(one: np.ndarray, mask: np.ndarray, rings: tuple[np.ndarray, np.ndarray]):
    """(tp, fp, fn) of a mask against a cover, in cells: float64 [13 + 16, 3]."""
    share = one / FULL
    kinds = [share * mask, (1 - share) * mask, share * ~mask]
    sums = [
        [np.bincount(ring, kind.ravel(), minlength=n) for kind in kinds]
        for ring, n in zip(rings, (N_RINGS, N_BORDER))
    ]
    return np.concatenate(sums, axis=1).T


@functools.lru_cache(maxsize=256)
def _cell_rings(shape: tuple[int, int], border_px: int, scale_to: int | None):
    """Rings by centre and by border of the pixels in the middle of the cells: int [g * g] each."""
    rows, columns = (((np.arange(GRID) + 0.5) * side / GRID).astype(int) for side in shape)
    place = places(shape, scale_to)[0].reshape(shape)[np.ix_(rows, columns)].ravel()
    depth, ring = np.divmod(place, N_RINGS)
    return ring, np.minimum(depth // border_px, N_BORDER - 1)
