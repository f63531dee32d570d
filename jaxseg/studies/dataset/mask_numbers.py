"""What one mask says about placement: all numbers of one frame, in fractions of that frame.

Masks that were drawn as outlines are filled.

Coordinates are those of pixel centres: pixel (x, y) of a frame of W × H lies at
((x + 0.5) / W, (y + 0.5) / H), x from the left, y from the top.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

RING = 0.1  # width of the outer ring, of the frame's side
LINE = 0.05  # inscribed radius over the longer side, below which a shape is a line
SPECK = 0.01  # of a mask's foreground: smaller pieces are no objects of their own


class Objects(NamedTuple):
    """Connected pieces (8 neighbours) of at least SPECK of the foreground, largest first.

    `centre` float [n, 2] as (x, y); `box` int [n, 4] as (left, top, width, height) in pixels.
    """

    centre: NDArray[np.float64]
    box: NDArray[np.int64]


class MaskNumbers(NamedTuple):
    """Centre and area of all foreground together, as shares of the frame; see `measure_mask`."""

    centre_x: float
    centre_y: float
    area: float
    ring_share: float
    touches: bool
    objects: Objects


def ring_depth(side: int) -> int:
    """Pixels of a row whose centres lie less than RING of its length from one of its ends."""
    return int(np.ceil(RING * side - 0.5))


def measure_mask(mask: NDArray[np.uint8]) -> MaskNumbers | None:
    """Numbers of a mask uint8 [H, W], all classes together; None when it is empty.

    `centre` is the mean of the foreground's pixel centres, `ring_share` the share of the foreground
    in the outer ring (pixel centres less than 10 % of the frame's width from its left or right, or
    10 % of its height from its top or bottom), `touches` whether a foreground pixel lies in an
    outermost row or column.
    """
    drawn = (mask > 0).astype(np.uint8)
    _, _, stats, centroids = cv2.connectedComponentsWithStats(drawn, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.int64)
    total = int(areas.sum())
    if not total:
        return None
    height, width = drawn.shape
    centres = (centroids[1:] + 0.5) / (width, height)
    centre = areas @ centres / total
    kept = np.argsort(-areas, kind="stable")[: int((areas >= SPECK * total).sum())]
    return MaskNumbers(
        centre_x=float(centre[0]),
        centre_y=float(centre[1]),
        area=total / (height * width),
        ring_share=1 - int(np.count_nonzero(inner(drawn))) / total,
        touches=bool(touches(stats[1:], drawn.shape).any()),
        objects=Objects(centres[kept], stats[1:][kept, :4].astype(np.int64)),
    )


def inner(mask: NDArray) -> NDArray:
    """The part of a frame [H, W] that is not in the outer ring."""
    height, width = mask.shape
    dy, dx = ring_depth(height), ring_depth(width)
    return mask[dy : height - dy, dx : width - dx]


def touches(boxes: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which boxes [n, >= 4] (left, top, width, height) reach the border of a frame (H, W)."""
    left, top, width, height = boxes[:, :4].T
    return (left == 0) | (top == 0) | (left + width == shape[1]) | (top + height == shape[0])


def fill_outlines(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 {0, 1} [H, W]: the foreground and all it encloses; filled shapes stay as they are."""
    drawn = (mask > 0).astype(np.uint8)
    outer, _ = cv2.findContours(drawn, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outer, -1, 1, cv2.FILLED)
    return drawn


def is_line(filled: NDArray[np.uint8]) -> bool:
    """Whether a filled mask {0, 1} is but a line: an open outline. An empty mask is none.

    Its largest inscribed circle is then small beside its extent: less than LINE of the longer side,
    where a closed ellipse of aspect 1:3 has 0.17.
    """
    _, _, width, height = cv2.boundingRect(filled)
    if max(width, height) < 1 / LINE:
        return False  # a dot of so few pixels has no shape
    inside = cv2.distanceTransform(np.pad(filled, 1), cv2.DIST_L2, 5).max()
    return bool(inside < LINE * max(width, height))
