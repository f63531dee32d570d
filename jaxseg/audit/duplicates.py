"""Images that occur more than once, by a perceptual hash of 64 bits."""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 8
TOLERANCE = 0.0005  # of the frame: copies of another size differ by less, 2,000 lesions by more


def difference_hash(frame: NDArray[np.uint8]) -> int:
    """dHash (Krawetz 2013) of a frame uint8 [H, W] or [H, W, 3]: 64 bits as an int.

    The frame is made grey and averaged to 8 × 9 cells; a bit says whether a cell is darker than its
    right neighbour. The same picture at another size or in another format keeps its bits; a crop, a
    turn or a mirror image does not. A frame of one grey level is 0.
    """
    grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def duplicate_groups(
    bits: NDArray[np.uint64], numbers: NDArray[np.floating], *, tolerance: float = TOLERANCE
) -> list[list[int]]:
    """Groups (ascending positions, two or more) of frames that look alike.

    Args:
      bits: uint64 [n], hashes. Frames without a gradient (0) have nothing to tell them apart by and
        are in no group.
      numbers: float [n, k], what must agree as well to within `tolerance`, because two blobs in
        the same place have the same hash; k = 0 for images, whose hash suffices.
    Returns:
      Groups by their first member. A frame belongs to the group whose first member, by the order of
      its numbers, it agrees with.
    """
    order = np.lexsort((*numbers.T[::-1], bits))
    starts = np.flatnonzero(np.diff(bits[order], prepend=bits[order][:1] + np.uint64(1)))
    buckets = (bucket for bucket in np.split(order, starts) if len(bucket) > 1)
    groups = (
        group
        for bucket in buckets
        if bits[bucket[0]]
        for group in _alike(bucket.tolist(), numbers, tolerance)
    )
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _alike(bucket: list[int], numbers: NDArray[np.floating], tolerance: float) -> list[list[int]]:
    """Splits frames of one hash, in the order of their first number, by all numbers."""
    groups: list[list[int]] = []
    near: list[list[int]] = []
    for k in bucket:
        # The first number ascends: groups that it has left behind are done.
        near = [g for g in near if (numbers[k, :1] - numbers[g[0], :1] <= tolerance).all()]
        same = (g for g in near if (abs(numbers[k] - numbers[g[0]]) <= tolerance).all())
        if (found := next(same, None)) is not None:
            found.append(k)
            continue
        groups.append([k])
        near.append(groups[-1])
    return groups
