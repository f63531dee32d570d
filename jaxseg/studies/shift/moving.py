"""The moving-window test: the same part of an object, seen at different places of the frame.

A network that finds the object by its looks predicts the same for a pixel wherever the window puts
it. Fig. 7 of Lin, Weng et al. 2024 shows one image; here every window is scored on every image.

Two plans. The reference's (`analysis/moving_patch.py` of their repository): 150-pixel windows of
the frame at 256 × 256, moved along its diagonal by 12 pixels from 0 to 96, each resized to the
network's frame. And one that resizes nothing: windows of the network's own size in a frame of twice
that size, moved along the diagonal about its centre.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics.bands import border_depth
from jaxseg.metrics.bootstrap import Estimate, mean_estimate
from jaxseg.metrics.dice import dice
from jaxseg.studies.models import Model, masks_of, relative_error

REFERENCE_FRAME, REFERENCE_WINDOW, REFERENCE_STEP = 256, 150, 12
_MOST_EACH_WAY = 6  # windows on each side of the centre
_COMMON = 3  # at least 1 / _COMMON of a window's side is common to all windows
Image = NDArray[np.uint8]
Frame = tuple[str, Image, Image]
PARTS = ("all", "near", "beyond")
NO_IMAGE = "shift: no image could be used; see what was left out"


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
    origins = tuple(size // 2 + step * k for k in range(-each_way, each_way + 1))
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


class Strip(NamedTuple):
    """One image's windows: images uint8 [windows, w, w, 3], truth and predictions [windows, w, w].

    `share` is the object's share of the part common to all windows.
    """

    id: str
    images: Image
    truth: Image
    predictions: Image
    share: float


class Moved(NamedTuple):
    """What moving windows did to one model.

    Attributes:
        plan: the windows.
        aligned: bool [windows], offsets that meet the pooling grid as the central window does;
            none where windows are resized.
        ids: the images.
        dice: float [images, windows], mean over classes on the part common to all windows.
        errors: {part: float [images, windows]}, relative difference between the responses of a
            window and of the central one on the pixels both show: `all`; `near` pixels lie within
            the border's reach in either window, `beyond` ones in neither. NaN where there are none.
        logits: whether the errors are of logits (relative L2) or of masks (1 - Dice).
        strip: the image whose object fills most nearly half of the common part.
    """

    plan: Plan
    aligned: NDArray[np.bool_]
    ids: list[str]
    dice: NDArray[np.float64]
    errors: dict[str, NDArray[np.float64]]
    logits: bool
    strip: Strip


def move_windows(
    model: Model, plan: Plan, frames: Iterable[Frame], reach: int | None = None
) -> Moved:
    """Moves windows over every frame and scores the model's predictions.

    Where a plan resizes, the sampling grid moves against the pixels, so that masks are compared in
    pixels of the frame and not logits.

    Args:
        model: what predicts.
        plan: its size must be the model's.
        frames: (id, image uint8 [H, W, 3], truth uint8 [H, W] class indices), of any size; they
            are squashed to the plan's frame. One is held at a time.
        reach: pixels of the network's frame within which its border acts (see `border`).

    Raises:
        JaxsegError: no frames at all.
    """
    ids, scores, strip = [], [], None
    depth = border_depth((plan.window, plan.window))
    near = None if reach is None else depth < reach * (plan.window / plan.size)
    logits = model.logits and plan.size == plan.window
    for name, image, truth in frames:
        image, truth = square_frame(image, truth, plan.frame)
        images, truths = cut_windows(plan, image), cut_windows(plan, truth)
        responses = model.respond(np.stack([resized(window, plan.size) for window in images]))
        masks = back_to_window(plan, masks_of(responses))
        classes = np.arange(1, responses.shape[-1] + 1)
        seen = responses if logits else (masks[..., None] == classes).astype(np.float32)
        row = []
        for k in range(len(plan.origins)):
            part = common_part(plan, k)
            here, there = overlap(plan, k)
            a, b = seen[k][here], seen[plan.centre][there]
            errors = [relative_error(a, b, logits), np.nan, np.nan]
            if near is not None:
                either = near[here] | near[there]
                errors[1:] = (relative_error(a[px], b[px], logits) for px in (either, ~either))
            row.append([_mean_dice(masks[k][part], truths[k][part], classes), *errors])
        ids.append(name)
        scores.append(row)
        share = float((truth[plan.common, plan.common] > 0).mean())
        if strip is None or abs(share - 0.5) < abs(strip.share - 0.5):
            strip = Strip(name, np.stack(images), np.stack(truths), masks, share)
    if strip is None:
        raise JaxsegError(NO_IMAGE)
    columns = np.moveaxis(np.asarray(scores, np.float64), -1, 0)
    return Moved(
        plan=plan,
        aligned=(plan.offsets % model.factor == 0) & (plan.size == plan.window),
        ids=ids,
        dice=columns[0],
        errors=dict(zip(PARTS, columns[1:])),
        logits=logits,
        strip=strip,
    )


def _mean_dice(mask: Image, truth: Image, classes: NDArray[np.int64]) -> float:
    """Mean of Dice over the classes that are there or predicted; NaN where none is."""
    pred, true = (m[..., None] == classes for m in (mask, truth))
    sums = [(pred & true).sum((0, 1)), (pred & ~true).sum((0, 1)), (~pred & true).sum((0, 1))]
    by_class = dice(np.stack(sums, axis=-1))
    defined = by_class[~np.isnan(by_class)]
    return float(defined.mean()) if len(defined) else float("nan")


def dice_by_offset(moved: Moved) -> list[Estimate]:
    """Dice of every window, a mean over images."""
    return [mean_estimate(column) for column in moved.dice.T]


def error_by_offset(moved: Moved, part: str) -> list[Estimate]:
    """The relative difference to the central window for one of `PARTS`."""
    return [mean_estimate(column) for column in moved.errors[part].T]


def dice_lost(moved: Moved) -> Estimate:
    """Dice of the central window minus the mean of the two outermost ones, paired by image."""
    outermost = moved.dice[:, [0, -1]].mean(axis=1)
    return mean_estimate(moved.dice[:, moved.plan.centre] - outermost)
