"""Ellipse outlines, as HC18 publishes its ground truth, -> filled masks."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from jaxseg.errors import JaxsegError

Mask = np.ndarray
RIM = 0.03  # of a frame's height, about a skull's thickness in the second trimester
SHIFT = 6  # OpenCV's fixed-point bits: an ellipse is drawn to 1/64 pixel


def outline_mask(drawn: Mask, path: Path) -> Mask:
    """The filled mask, uint8 [H, W] in {0, 1}, of an ellipse's outline drawn in a mask [H, W].

    Raises JaxsegError naming `path`, the mask's file, for one that is empty or whose line is
    neither closed nor an ellipse that the frame's edge cuts.
    """
    line = (drawn > 0).astype(np.uint8)
    if not line.any():
        raise JaxsegError(f"{path}: holds no outline; redraw it or remove the frame")
    mask = fill_outline(line)
    if mask is None:
        raise JaxsegError(f"{path}: must hold one outline, closed or cut by the frame's edge only")
    return mask


def fill_outline(line: Mask) -> Mask | None:
    """The region that an outline {0, 1} [H, W] encloses, the line itself included.

    A closed line is filled from outside and a region that is filled already stays as it is. Where
    the frame's edge cuts the line, an ellipse is fitted to it (direct least squares, Fitzgibbon
    1999) and filled as far as the frame goes. None where neither gives one convex region.
    """
    mask = _enclosed(line)
    return mask if _is_convex(mask) else _fitted(line)


def _enclosed(line: Mask) -> Mask:
    """What cannot be reached from beyond the frame without crossing the line."""
    padded = cv2.copyMakeBorder(line, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(padded, None, (0, 0), 2)
    return (padded[1:-1, 1:-1] != 2).astype(np.uint8)


def _is_convex(mask: Mask) -> bool:
    """Whether a region fills its convex hull but for rough edges, as every ellipse does."""
    points = cv2.findNonZero(mask)
    filled = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(points), 1)
    # A straight line fills its hull too, and encloses nothing.
    wide = min(cv2.minAreaRect(points)[1]) > 0.02 * max(mask.shape)
    return wide and mask.sum() > 0.9 * filled.sum()


def _fitted(line: Mask) -> Mask | None:
    """The filled ellipse through an open line; None unless line and ellipse agree."""
    points = cv2.findNonZero(line)
    if len(points) < 5:
        return None
    centre, axes, angle = cv2.fitEllipseDirect(points)
    if not np.isfinite([*centre, *axes]).all() or max(axes) > 4 * max(line.shape):
        return None
    rim, body = (_draw(line.shape, centre, axes, angle, width) for width in (1, -1))
    slack = np.ones((2 * max(2, max(line.shape) // 100) + 1,) * 2, np.uint8)
    on_rim = line[cv2.dilate(rim, slack) > 0].sum() > 0.95 * line.sum()
    on_line = rim[cv2.dilate(line, slack) > 0].sum() > 0.9 * rim.sum()
    return body | line if on_rim and on_line else None


def _draw(
    shape: tuple[int, ...],
    centre: Sequence[float],
    axes: Sequence[float],
    angle: float,
    width: int,
) -> Mask:
    points = [round(value * 2**SHIFT) for value in centre]
    halves = [round(value * 2 ** (SHIFT - 1)) for value in axes]
    canvas = np.zeros(shape, np.uint8)
    cv2.ellipse(canvas, points, halves, angle, 0, 360, (1,), width, cv2.LINE_8, SHIFT)
    return canvas


def rim(mask: Mask) -> Mask:
    """The outermost part of a region {0, 1} [H, W], RIM of the frame's height thick."""
    reach = max(1, round(RIM * mask.shape[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Where the frame's edge cuts the region there is no rim.
    return mask - cv2.erode(mask, disc, borderType=cv2.BORDER_CONSTANT, borderValue=1)
