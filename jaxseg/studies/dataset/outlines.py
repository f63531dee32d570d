"""Masks that were drawn as outlines."""

import cv2
import numpy as np
from numpy.typing import NDArray

LINE = 0.05  # inscribed radius over the longer side, below which a shape is a line


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
        return False  # a dot of so few pixels has no shape to tell
    inside = cv2.distanceTransform(np.pad(filled, 1), cv2.DIST_L2, 5).max()
    return bool(inside < LINE * max(width, height))
