"""Shift: what moving the frame does to a model's predictions, and how far its border reaches.

Asked of a trained network by its logits, of any other function by its masks.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.grid.devices import pinned
from jaxseg.metrics.verdict import HIGHER, LOWER, UNITS, judge
from jaxseg.report.section import Section, Table
from jaxseg.report.text import estimate_text, number, plural, with_interval
from jaxseg.studies.models import Model
from jaxseg.studies.shift.border import (
    NOTICEABLE,
    OBLIVIOUS_PADDING,
    OBLIVIOUS_UPSAMPLING,
    ROUNDING,
    FramesAt,
    Profile,
    Reach,
    Rolled,
    full_reach,
    images_at,
    measure_reach,
    noticeable_reach,
    relative_profile,
    roll_frames,
    theoretical_reach,
    variants,
)
from jaxseg.studies.shift.figures import figures
from jaxseg.studies.shift.moving import (
    PARTS,
    Moved,
    dice_by_offset,
    dice_lost,
    error_by_offset,
    move_windows,
    reference_plan,
    same_scale_plan,
)

RULE = (
    "Rule: a model that finds the object by its looks loses nothing when the window moves; a loss "
    f"is called shown where its 95 % interval {UNITS['images']} excludes 0."
)


class Shift(NamedTuple):
    """All that was measured of one model.

    `moved` holds the reference's windows and those of one scale; `reach` is None where it could not
    be measured, and `left_out` says why.
    """

    model: Model
    moved: list[Moved]
    rolled: list[Rolled]
    reach: Reach | None
    left_out: list[str]


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


def shift_section(shift: Shift) -> Section:
    """The section of a shift audit."""
    verdict = [_moved_sentence(moved) for moved in shift.moved] + [_rolled_sentence(shift)]
    if shift.reach is not None and shift.model.logits:
        verdict.append(_reach_sentence(shift.reach, shift.model.size))
    return Section(
        name="shift",
        title=f"Shift: {shift.model.name}",
        verdict=[*verdict, RULE],
        tables=list(_tables(shift)),
        figures=list(figures(shift.model, shift.moved, shift.rolled, shift.reach)),
        notes=list(_notes(shift)),
        left_out=shift.left_out,
    )


def _moved_sentence(moved: Moved) -> str:
    plan, lost = moved.plan, dice_lost(moved)
    outermost = moved.dice[:, [0, -1]].mean(axis=1)
    central = moved.dice[:, plan.centre]
    before = float(central[~np.isnan(central - outermost)].mean()) if lost.n_images else np.nan
    found = judge(lost.low, lost.high, None, unit="images")
    change = {
        HIGHER: f"a loss of {estimate_text(lost)}",
        LOWER: f"a gain of {with_interval(-lost.value, -lost.high, -lost.low)}",
    }.get(found.word, f"no loss shown, {estimate_text(lost)}")
    return (
        f"{plan.name.capitalize()} test: moved by up to {int(np.abs(plan.offsets).max())} px of "
        f"{plan.frame}, the same part of the object goes from Dice {number(before)} in the central "
        f"window to {number(before - lost.value)} in the outermost two: {change} {found.scope} "
        f"({plural(lost.n_images, 'image')})."
    )


def _rolled_sentence(shift: Shift) -> str:
    own = next(r for r in shift.rolled if r.own)
    start = f"Whole frames rolled by multiples of {shift.model.factor} px"
    if not shift.model.logits:
        return f"{start}: the predictions differ by {estimate_text(own.aligned_error)} (1 − Dice)."
    text = f"{start}: the logits differ by {estimate_text(own.aligned_error)} (relative L2)"
    settings = ((own.padding, "padding"), (own.upsampling, "up-sampling"))
    if named := [f"{name} {kind}" for name, kind in settings if name]:
        text += f" with the network's own {' and '.join(named)}"
    parts = []
    for r in shift.rolled:
        if (
            not r.own
            and r.padding in (OBLIVIOUS_PADDING, own.padding)
            and r.upsampling in (OBLIVIOUS_UPSAMPLING, own.upsampling)
        ):
            value = r.aligned_error
            error = "0 to rounding" if value.value < ROUNDING else estimate_text(value)
            parts.append(f"{error} with {' and '.join(filter(None, (r.padding, r.upsampling)))}")
    return f"{', '.join([text, *parts])}, the weights being the same." if parts else f"{text}."


def _reach_sentence(reach: Reach, size: int) -> str:
    def measured(profile: Profile) -> str:
        px = noticeable_reach(profile)
        return "the middle of the frame" if 2 * px >= reach.side else f"{px} px"

    text = (
        f"measured, {100 * NOTICEABLE:g} % of the logits' standard deviation is passed up to "
        f"{measured(reach.surroundings)}"
    )
    if reach.theoretical is None:
        text = text.capitalize()
    else:
        covers = f", all of its {size} px frame" if 2 * reach.theoretical >= size else ""
        text = (
            f"By its architecture the border reaches {reach.theoretical} px into the logits{covers}"
            f"; {text}"
        )
    if reach.padding is not None:
        alone = measured(reach.padding)
        text += f" ({alone} for {reach.other} against the own padding alone)"
    return f"{text}, on frames of {reach.side} px."


def _notes(shift: Shift) -> Iterator[str]:
    """Cautions for a reader of the numbers."""
    net, reach = shift.model.net, shift.reach
    yield (
        "Windows show the scene larger than whole frames do: the reference's 1.7 times, those of "
        "one scale 2 times. Compare windows with each other, not with scores of whole frames."
    )
    if reach is not None and 2 * (reach.theoretical or 0) >= shift.model.size:
        yield (
            "No pixel of the network's frame lies beyond the border's theoretical reach, so that "
            "the difference between windows cannot be split by it."
        )
    if net is None:
        yield (
            "A function gives masks and not logits: differences are 1 − Dice of two predictions. "
            f"Shifts by multiples of {shift.model.factor} px are called aligned, as for a network "
            "with as many poolings as that takes."
        )
        return
    if len(shift.rolled) > 1:
        yield (
            "Paddings and up-samplings are exchanged under the weights as they were trained: that "
            "shows what each of them carries in this network, not what training with it would "
            "give. Literature disagrees on whether another padding is a cure."
        )
    else:
        yield (
            "This network has neither a padding nor an up-sampling that can be exchanged under the "
            "same weights: its shift error cannot be split by them."
        )
    if reach is not None and reach.theoretical is None:
        yield (
            "How far the border can reach by the network's architecture is not known: what is "
            "measured stands alone."
        )
    if net.upsampling == "align_corners":
        yield (
            "Up-sampling with aligned corners depends on the frame's size at every pixel: against "
            "real surroundings the difference need not fall with distance, whatever the padding."
        )
    if net.dtype == "bfloat16":
        yield (
            "Products in bfloat16 round at 0.4 %: neither a full reach nor an error of 0 can be "
            "measured."
        )
    if net.norm == "group":
        yield "Group normalisation takes its moments over the frame: every pixel sees the border."


def _tables(shift: Shift) -> Iterator[Table]:
    rows = []
    for moved in shift.moved:
        errors = [error_by_offset(moved, part) for part in PARTS]
        for k, score in enumerate(dice_by_offset(moved)):
            ends = [x for by_part in errors for x in (by_part[k].value, by_part[k].low,
                                                      by_part[k].high)]  # fmt: skip
            place = (moved.plan.name, int(moved.plan.offsets[k]), bool(moved.aligned[k]))
            rows.append((*place, *score, *ends))
    yield Table(
        "shift_windows",
        "The part common to all windows, by offset of the window: Dice and, on all that a window "
        "shares with the central one, the difference between their responses (95 % intervals over "
        "images)",
        ("test", "offset_px", "aligned", "dice", "dice_low", "dice_high", "n_images",
         *(f"error_{part}{end}" for part in PARTS for end in ("", "_low", "_high"))),
        rows,
    )  # fmt: skip
    rows = []
    for r in shift.rolled:
        aligned = r.aligned_error
        numbers = (aligned.value, aligned.low, aligned.high, *r.between_error)
        rows.append((r.padding, r.upsampling, r.own, *numbers))
    yield Table(
        "shift_rolls",
        "Whole frames rolled: relative difference of the responses after shifts by multiples of "
        f"{shift.model.factor} px and by others, by padding and up-sampling under the same weights",
        ("padding", "upsampling", "own", "error_aligned", "aligned_low", "aligned_high",
         "error_between", "between_low", "between_high", "n_images"),
        rows,
    )  # fmt: skip
    reach = shift.reach
    if reach is None:
        return
    against = [("real surroundings", reach.surroundings)]
    if reach.padding is not None:
        against.append((f"{reach.other} padding", reach.padding))
    yield Table(
        "shift_reach",
        f"Pixels from the border that differ, on frames of {reach.side} px: in theory, by more "
        "than 1 % of the standard deviation (RMS), and by more than rounding (any pixel)",
        ("own_border_against", "theoretical_px", "noticeable_px", "full_px", "n_images"),
        [
            (name, reach.theoretical, noticeable_reach(p), full_reach(p), len(p.rms))
            for name, p in against
        ],
    )
    yield Table(
        "shift_reach_profile",
        "Difference by distance to the border: RMS over the response's standard deviation",
        ("distance_px", *(name.replace(" ", "_") for name, _ in against)),
        list(zip(range(reach.side // 2), *(relative_profile(p).tolist() for _, p in against))),
    )
