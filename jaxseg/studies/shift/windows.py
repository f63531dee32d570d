"""Windows that move over a frame: where they lie, what they share, how they reach the network.

Two plans. The reference's, of Lin, Weng et al. 2024 (`analysis/moving_patch.py` of their
repository): 150-pixel windows of the frame at 256 × 256, moved along its diagonal by 12 pixels from
0 to 96, each resized to the network's frame. And one that resizes nothing: windows of the network's
own size in a frame of twice that size, moved along the diagonal about its centre.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import UsageError

REFERENCE_FRAME, REFERENCE_WINDOW, REFERENCE_STEP = 256, 150, 12
_MOST_EACH_WAY = 6  # windows on each side of the centre
_COMMON = 3  # at least 1 / _COMMON of a window's side is common to all windows
Image = NDArray[np.uint8]


class Plan(NamedTuple):
    """Windows of one frame, all on its diagonal.

    Attributes:
        name: "reference" or "same scale".
        frame: side of the square frame in pixels.
        window: side of a window in pixels of the frame.
        origins: row and column of each window's first pixel, ascending.
        size: side of the network's frame, to which a window is resized where it differs.
    """

    name: str
    frame: int
    window: int
    origins: tuple[int, ...]
    size: int

    @property
    def centre(self) -> int:
        """Index of the window nearest to the centre of the frame; others are compared with it."""
        middle = (self.frame - self.window) / 2
        return int(np.argmin([abs(origin - middle) for origin in self.origins]))

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Pixels of the frame, along both axes, from the central window to each: int [windows]."""
        return np.asarray(self.origins) - self.origins[self.centre]

    @property
    def common(self) -> slice:
        """Rows (and columns) of the frame that lie in every window."""
        return slice(max(self.origins), min(self.origins) + self.window)


def reference_plan(size: int) -> Plan:
    """The reference's nine windows for a network's frame of `size`."""
    last = REFERENCE_FRAME - REFERENCE_WINDOW
    origins = tuple(range(0, last, REFERENCE_STEP))
    return Plan("reference", REFERENCE_FRAME, REFERENCE_WINDOW, origins, size)


def same_scale_plan(size: int, factor: int, step: int | None = None) -> Plan:
    """Windows of `size` moved by `step` about the centre of a frame of 2 · `size`.

    All share the middle third of the central window, as the reference's do. By default the step is
    an odd multiple of factor / 2, so that every other window meets the pooling grid (`factor` =
    2**depth) as the central one does, with at most six windows each way.

    Raises UsageError for a step that leaves no second window.
    """
    furthest = (size - size // _COMMON) // 2
    if step is None:
        half = max(1, min(factor // 2, furthest))
        times = -(-furthest // (half * _MOST_EACH_WAY))
        times += 1 - times % 2
        step = half * times if half * times <= furthest else half
    if not 1 <= step <= furthest:
        raise UsageError(
            f"step={step}: must be 1 to {furthest} pixels, a third of the network's {size}"
        )
    each_way = furthest // step
    middle = size // 2
    origins = tuple(middle + step * k for k in range(-each_way, each_way + 1))
    return Plan("same scale", 2 * size, size, origins, size)


def square_frame(image: Image, truth: Image, side: int) -> tuple[Image, Image]:
    """Image and mask squashed to side × side, as the paper resizes whole frames.

    uint8 [H, W, 3] and [H, W] -> [side, side, 3] and [side, side]; masks keep their values.
    """
    exact = cv2.resize(truth, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized(image, side), np.asarray(exact, np.uint8)


def resized(image: Image, side: int) -> Image:
    """uint8 [H, W, 3] -> [side, side, 3]: averaged where it shrinks, bicubic where it grows."""
    if image.shape[:2] == (side, side):
        return image
    method = cv2.INTER_AREA if min(image.shape[:2]) >= side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)


def cut_windows(plan: Plan, pixels: Image) -> list[Image]:
    """The windows of a frame, uint8 [frame, frame, …], in its own pixels."""
    return [pixels[o : o + plan.window, o : o + plan.window] for o in plan.origins]


def network_windows(plan: Plan, image: Image) -> Image:
    """The windows as the network gets them: uint8 [windows, size, size, 3]."""
    return np.stack([resized(window, plan.size) for window in cut_windows(plan, image)])


def back_to_window(plan: Plan, masks: Image) -> Image:
    """Masks [windows, size, size] in pixels of the frame: [windows, window, window]."""
    if plan.size == plan.window:
        return masks
    to, how = (plan.window, plan.window), cv2.INTER_NEAREST_EXACT
    return np.stack([np.asarray(cv2.resize(m, to, interpolation=how), np.uint8) for m in masks])


def common_part(plan: Plan, index: int) -> tuple[slice, slice]:
    """The part common to all windows, in pixels of window `index`."""
    start = plan.common.start - plan.origins[index]
    part = slice(start, start + plan.common.stop - plan.common.start)
    return part, part


def overlap(plan: Plan, index: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What window `index` shares with the central one, in pixels of the first and the second."""
    offset = int(plan.offsets[index])
    shared = plan.window - abs(offset)
    here, there = max(0, -offset), max(0, offset)
    first, second = slice(here, here + shared), slice(there, there + shared)
    return (first, first), (second, second)
