"""The moving-window test: the same part of an object, seen at different places of the frame.

A network that finds the object by its looks predicts the same for a pixel wherever the window puts
it. Fig. 7 of Lin, Weng et al. 2024 shows one image; here every window is scored on every image.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError
from jaxseg.grid.train import one_hot
from jaxseg.metrics.bands import border_depth
from jaxseg.metrics.dice import dice
from jaxseg.studies.intervals import Estimate, mean_estimate
from jaxseg.studies.models import Model, masks_of, relative_error
from jaxseg.studies.shift.windows import (
    Plan,
    back_to_window,
    common_part,
    cut_windows,
    network_windows,
    overlap,
    square_frame,
)

Frame = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]
PARTS = ("all", "near", "beyond")
STRIP_RULE = "the image whose object fills most nearly half of the part common to all windows"


class Strip(NamedTuple):
    """One image's windows: images uint8 [windows, w, w, 3], truth and predictions [windows, w, w].

    `share` is the object's share of the part common to all windows.
    """

    id: str
    images: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    predictions: NDArray[np.uint8]
    share: float


class Moved(NamedTuple):
    """What moving windows did to one model.

    Attributes:
        model: its name.
        plan: the windows.
        aligned: bool [windows], offsets that meet the pooling grid as the central window does;
            none where windows are resized.
        ids: the images.
        dice: float [images, windows], mean over classes on the part common to all windows.
        errors: {part: float [images, windows]}, relative difference between the responses of a
            window and of the central one on the pixels both show: `all`; `near` pixels lie within
            the border's reach in either window, `beyond` ones in neither. NaN where there are none.
        logits: whether the errors are of logits (relative L2) or of masks (1 - Dice).
        reach: pixels of the frame within which a border acts, None where it is not known.
        strip: the image to show.
    """

    model: str
    plan: Plan
    aligned: NDArray[np.bool_]
    ids: list[str]
    dice: NDArray[np.float64]
    errors: dict[str, NDArray[np.float64]]
    logits: bool
    reach: float | None
    strip: Strip


def move_windows(
    model: Model, plan: Plan, frames: Iterable[Frame], reach: int | None = None
) -> Moved:
    """Moves windows over every frame and scores the model's predictions.

    Where a plan resizes, the sampling grid moves against the pixels, so that masks are compared in
    pixels of the frame and not logits.

    Args:
        model: what predicts.
        plan: see `windows`; its size must be the model's.
        frames: (id, image uint8 [H, W, 3], truth uint8 [H, W] class indices), of any size; they
            are squashed to the plan's frame. One is held at a time.
        reach: pixels of the network's frame within which its border acts (see `reach`).

    Raises:
        JaxsegError: no frames at all.
    """
    ids, scores, strip = [], [], None
    scale = plan.window / plan.size
    near = _near_border(plan, None if reach is None else reach * scale)
    for name, image, truth in frames:
        image, truth = square_frame(image, truth, plan.frame)
        shown, row = _score(model, plan, near, (name, image, truth))
        ids.append(name)
        scores.append(row)
        strip = shown if strip is None or _better(shown, strip) else strip
    if strip is None:
        raise JaxsegError("shift: no image could be used; see what was left out")
    columns = np.moveaxis(np.asarray(scores, np.float64), 1, 0)
    return Moved(
        model=model.name,
        plan=plan,
        aligned=(plan.offsets % model.factor == 0) & (plan.size == plan.window),
        ids=ids,
        dice=columns[0],
        errors=dict(zip(PARTS, columns[1:])),
        logits=model.logits and plan.size == plan.window,
        reach=None if reach is None else reach * scale,
        strip=strip,
    )


def _near_border(plan: Plan, reach: float | None) -> NDArray[np.bool_] | None:
    """Pixels of a window within the border's reach; None where it is not known."""
    return None if reach is None else border_depth((plan.window, plan.window)) < reach


def _score(
    model: Model, plan: Plan, near: NDArray[np.bool_] | None, frame: Frame
) -> tuple[Strip, list[list[float]]]:
    """One frame's strip and its Dice and errors: [1 + parts][windows]."""
    name, image, truth = frame
    responses = model.respond(network_windows(plan, image))
    masks = back_to_window(plan, masks_of(responses))
    truths = np.stack(cut_windows(plan, truth))
    classes = responses.shape[-1]
    logits = model.logits and plan.size == plan.window
    seen = responses if logits else _planes(masks, classes)
    windows = range(len(plan.origins))
    dices = [_dice_of_common(plan, k, masks[k], truths[k], classes) for k in windows]
    errors = [_errors(plan, k, seen, near, logits) for k in windows]
    images = np.stack(cut_windows(plan, image))
    share = float((truth[plan.common, plan.common] > 0).mean())
    return Strip(name, images, truths, masks, share), [dices, *map(list, zip(*errors))]


def _planes(masks: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    return np.asarray(one_hot(jnp.asarray(masks), classes), np.float32)


def _dice_of_common(
    plan: Plan, index: int, mask: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int
) -> float:
    """Mean over classes of Dice on the common part; NaN where no class is there or predicted."""
    part = common_part(plan, index)
    pred, true = (_planes(m[part], classes).astype(bool) for m in (mask, truth))
    sums = [(pred & true).sum((0, 1)), (pred & ~true).sum((0, 1)), (~pred & true).sum((0, 1))]
    by_class = dice(np.stack(sums, axis=-1))
    return float(by_class[~np.isnan(by_class)].mean()) if (by_class >= 0).any() else float("nan")


def _errors(
    plan: Plan,
    index: int,
    seen: NDArray[np.float32],
    near: NDArray[np.bool_] | None,
    logits: bool,
) -> list[float]:
    """Relative difference to the central window by part of `PARTS`."""
    here, there = overlap(plan, index)
    a, b = seen[index][here], seen[plan.centre][there]
    whole = relative_error(a, b, logits)
    if near is None:
        return [whole, float("nan"), float("nan")]
    either = near[here] | near[there]
    return [whole, *(relative_error(a[part], b[part], logits) for part in (either, ~either))]


def _better(new: Strip, old: Strip) -> bool:
    return abs(new.share - 0.5) < abs(old.share - 0.5)


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
