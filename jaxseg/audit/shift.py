"""What moving the frame does to a model: windows, rolls and the border's reach, put together.

`audit_cell` asks all of a trained network; `audit_model` asks of a function from images to masks
what masks can tell.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.audit.models import Model, network_model
from jaxseg.audit.moving import Frame, Moved, move_windows
from jaxseg.audit.reach import (
    Profile,
    measuring_side,
    padding_profile,
    surroundings_profile,
    theoretical_reach,
)
from jaxseg.audit.rolls import Rolled, Variant, other_padding, roll_frames, variants
from jaxseg.audit.windows import reference_plan, resized, same_scale_plan
from jaxseg.errors import JaxsegError
from jaxseg.grid.devices import pinned
from jaxseg.nets.unet import UNet

FramesAt = Callable[[int], Iterable[Frame]]
REACH_IMAGES = 8


class Reach(NamedTuple):
    """How far the border reaches.

    Attributes:
        theoretical: pixels, None for a function.
        side: side in pixels of the frames that it is measured on.
        surroundings: real surroundings against the border, see `surroundings_profile`.
        padding: the cell's own padding against `other`, see `padding_profile`; None for a function
            and for `valid` networks, whose maps are larger than the frame and pooled elsewhere.
        other: that other padding.
    """

    theoretical: int | None
    side: int
    surroundings: Profile
    padding: Profile | None
    other: str


class Shift(NamedTuple):
    """All that was asked of one model.

    `net` is None for a function; `moved` holds the reference's windows and those of one scale;
    `reach` is None where it could not be measured, and `left_out` says why.
    """

    model: Model
    net: UNet | None
    moved: list[Moved]
    rolled: list[Rolled]
    reach: Reach | None
    left_out: list[str]


@pinned()
def audit_cell(
    name: str,
    net: UNet,
    variables: Any,
    size: int,
    frames_at: FramesAt,
    *,
    step: int | None = None,
) -> Shift:
    """Audits a network.

    Args:
        name: of the cell.
        net, variables: the network.
        size: side of the frames it was trained on.
        frames_at: frames (id, image uint8 [H, W, 3], truth uint8 [H, W]) for a side in pixels; they
            may have any size and are squashed to that side. Called more than once.
        step: pixels by which windows of one scale move; see `same_scale_plan`.

    Raises:
        UsageError: a step out of its range.
        JaxsegError: no frames.
    """
    model = network_model(name, net, variables, size)
    reach = theoretical_reach(net)
    moved = _moved(model, frames_at, step, reach)
    side = measuring_side(model, reach)
    margin = -(-reach // model.factor) * model.factor
    other = other_padding(net.padding)
    swapped = network_model(name, net.clone(padding=other), variables, size)
    images = list(itertools.islice(_images(frames_at, 2 * size), REACH_IMAGES))
    around = surroundings_profile(model, images, margin, side)
    alone = None if net.padding == "valid" else padding_profile(model, swapped, images, side)
    rolled = roll_frames(variants(name, net, variables, size), _images(frames_at, size))
    return Shift(model, net, moved, rolled, Reach(reach, side, around, alone, other), [])


def audit_model(model: Model, frames_at: FramesAt, *, step: int | None = None) -> Shift:
    """Audits a function from images to masks; arguments and errors as for `audit_cell`.

    Its border is looked at from half a frame further out, which takes a function that accepts
    frames of more than one size.
    """
    moved = _moved(model, frames_at, step, None)
    only = [Variant("", "", True, model)]
    rolled = roll_frames(only, _images(frames_at, model.size))
    margin = max(1, model.size // 2 // model.factor) * model.factor
    images = itertools.islice(_images(frames_at, 2 * model.size), REACH_IMAGES)
    try:
        profile = surroundings_profile(model, images, margin)
    except JaxsegError as error:
        return Shift(model, None, moved, rolled, None, [f"reach of the border: {error}"])
    return Shift(model, None, moved, rolled, Reach(None, model.size, profile, None, ""), [])


def _moved(model: Model, frames_at: FramesAt, step: int | None, reach: int | None) -> list[Moved]:
    plans = same_scale_plan(model.size, model.factor, step), reference_plan(model.size)
    return [move_windows(model, plan, frames_at(plan.frame), reach) for plan in reversed(plans)]


def _images(frames_at: FramesAt, side: int) -> Iterator[NDArray[np.uint8]]:
    return (resized(image, side) for _, image, _ in frames_at(side))
