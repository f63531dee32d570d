"""Where a pixel lies in a frame of any shape: its ring about the centre, its depth.

The depth of a pixel is the number of whole pixels between it and the nearest border (0 = it touches
the border), as in `jaxseg.metrics.bands`, whose maps these equal on square frames.
"""

import functools

import numpy as np

from jaxseg.errors import UsageError

FRAME = 256  # The frame in whose pixels the paper gives its rings.
RING_PX = 10
N_RINGS = 13
# Outer half-widths of the rings, innermost first, in px of a 256 frame: 8, 18, …, 128.
RING_EDGES = FRAME // 2 - RING_PX * np.arange(N_RINGS)[::-1]


def centre_rings(shape: tuple[int, int]) -> np.ndarray:
    """The paper's rings of 10 px at 256, as fractions of the frame, so that any frames compare.

    A pixel of depth d belongs to ring floor(d * 256 / (10 * side)) from outside, on the axis where
    that is least; rings of a frame that is not square are rectangles of the frame's own form. Equal
    to `square_rings(size, 10 * size / 256)` for square frames of even size from 26 px on; smaller
    frames have fewer pixels than rings and leave some empty.

    Args:
      shape: (height, width) of the frame in pixels.
    Returns:
      int32 [H, W] in 0..12; 0 is the innermost.
    """
    across = [_depth(side) * FRAME // (RING_PX * side) for side in shape]
    from_outside = np.minimum(across[0][:, None], across[1][None, :])
    return (N_RINGS - 1 - np.minimum(from_outside, N_RINGS - 1)).astype(np.int32)


def border_depth(shape: tuple[int, int], scale_to: int | None = None) -> np.ndarray:
    """Depth of every pixel: int32 [H, W], 0 touches the border.

    Args:
      shape: (height, width) of the frame in pixels.
      scale_to: None counts pixels of this frame. A number counts pixels of a frame of that height
        and width, to which this one is stretched; a pixel then has the depth of its inner side:
        ceil((d + 1) * scale_to / side) - 1.
    Raises:
      UsageError: scale_to below 2.
    """
    if scale_to is not None and scale_to < 2:
        raise UsageError(f"scale_to={scale_to}: must be the side of a frame, at least 2 px")
    rows, columns = (_scaled(_depth(side), side, scale_to) for side in shape)
    return np.minimum(rows[:, None], columns[None, :]).astype(np.int32)


# Few are kept: the map of a 12-megapixel frame takes 48 MB.
@functools.lru_cache(maxsize=4)
def places(shape: tuple[int, int], scale_to: int | None = None) -> tuple[np.ndarray, int]:
    """(depth * 13 + ring of every pixel: int32 [H * W], number of depths), remembered by shape."""
    depth = border_depth(shape, scale_to)
    return (depth * N_RINGS + centre_rings(shape)).ravel(), int(depth.max()) + 1


def _depth(side: int) -> np.ndarray:
    return np.minimum(np.arange(side), np.arange(side)[::-1])


def _scaled(depth: np.ndarray, side: int, scale_to: int | None) -> np.ndarray:
    return depth if scale_to is None else -(-(depth + 1) * scale_to // side) - 1
