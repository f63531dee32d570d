"""Shift: what moving the frame does to a model's predictions, and how far its border reaches.

Asked of a trained network by its logits, of any other function by its masks.
"""

from jaxseg.errors import JaxsegError
from jaxseg.grid.devices import pinned
from jaxseg.report.section import Section
from jaxseg.studies.models import Model
from jaxseg.studies.shift.moving import move_windows, reference_plan, same_scale_plan
from jaxseg.studies.shift.reach import FramesAt, images_at, measure_reach, theoretical_reach
from jaxseg.studies.shift.rolls import roll_frames, variants
from jaxseg.studies.shift.sections import Shift, shift_section


def section(model: Model, frames_at: FramesAt, *, step: int | None = None) -> Section:
    """The section of one model's shift audit; arguments and errors as for `measure`."""
    return shift_section(measure(model, frames_at, step=step))


@pinned()
def measure(model: Model, frames_at: FramesAt, *, step: int | None = None) -> Shift:
    """Moves windows, rolls whole frames and looks at the border from further out.

    Args:
        model: see `models`.
        frames_at: frames (id, image uint8 [H, W, 3], truth uint8 [H, W]) for a side in pixels; they
            may have any size and are squashed to that side. Called more than once.
        step: pixels by which windows of one scale move; see `same_scale_plan`.

    Raises:
        UsageError: a step out of its range.
        JaxsegError: no frames.
    """
    theory = None if model.net is None else theoretical_reach(model.net)
    plans = same_scale_plan(model.size, model.factor, step), reference_plan(model.size)
    moved = [move_windows(model, plan, frames_at(plan.frame), theory) for plan in reversed(plans)]
    rolled = roll_frames(variants(model), images_at(frames_at, model.size))
    try:
        reach = measure_reach(model, frames_at, theory)
    except JaxsegError as error:
        return Shift(model, moved, rolled, None, [f"reach of the border: {error}"])
    return Shift(model, moved, rolled, reach, [])
