"""What a shift audit says in words: the verdict with its rule, and cautions."""

from collections.abc import Iterator

import numpy as np

from jaxseg.report.text import interval, number, plural
from jaxseg.studies.intervals import Estimate
from jaxseg.studies.shift.moving import Moved, dice_lost
from jaxseg.studies.shift.reach import NOTICEABLE, noticeable_reach
from jaxseg.studies.shift.rolls import OBLIVIOUS_PADDING, OBLIVIOUS_UPSAMPLING, Rolled
from jaxseg.studies.shift.shift import Reach, Shift

RULE = (
    "Rule: a model that finds the object by its looks loses nothing when the window moves; a loss "
    "is called shown where its 95 % interval over images excludes 0."
)


def verdict(shift: Shift) -> list[str]:
    """Sentences that lead the section, the rule last."""
    lines = [_moved_sentence(moved) for moved in shift.moved]
    lines.append(_rolled_sentence(shift) if shift.net else _rolled_masks(shift))
    if shift.reach is not None and shift.reach.theoretical is not None:
        lines.append(_reach_sentence(shift.reach, shift.model.size))
    return [*lines, RULE]


def _moved_sentence(moved: Moved) -> str:
    plan, lost = moved.plan, dice_lost(moved)
    outermost = moved.dice[:, [0, -1]].mean(axis=1)
    central = moved.dice[:, plan.centre]
    before = float(central[~np.isnan(central - outermost)].mean()) if lost.n_images else np.nan
    furthest = int(np.abs(plan.offsets).max())
    return (
        f"{plan.name.capitalize()} test: moved by up to {furthest} px of {plan.frame}, the same "
        f"part of the object goes from Dice {number(before)} in the central window to "
        f"{number(before - lost.value)} in the outermost two: {lost_text(lost)} over "
        f"{plural(lost.n_images, 'image')}."
    )


def lost_text(lost: Estimate) -> str:
    """`a loss of 0.412 [0.381, 0.442]`, `a gain of …` or `no loss shown, …` by the rule."""
    if lost.high < 0:
        gain = Estimate(-lost.value, -lost.high, -lost.low, lost.n_images)
        return f"a gain of {with_interval(gain)}"
    return f"{'a loss of' if lost.low > 0 else 'no loss shown,'} {with_interval(lost)}"


def with_interval(value: Estimate) -> str:
    """`0.412 [0.381, 0.442]`."""
    return f"{number(value.value)} {interval(value.low, value.high)}".strip()


def _rolled_sentence(shift: Shift) -> str:
    table = {(r.padding, r.upsampling): r for r in shift.rolled}
    own = next(r for r in shift.rolled if r.own)
    parts = [
        f"Whole frames rolled by multiples of {shift.model.factor} px: the logits differ by "
        f"{with_interval(own.aligned_error)} (relative L2) with the cell's own {own.padding} "
        f"padding and {own.upsampling} up-sampling"
    ]
    for padding, upsampling in (
        (OBLIVIOUS_PADDING, own.upsampling),
        (own.padding, OBLIVIOUS_UPSAMPLING),
        (OBLIVIOUS_PADDING, OBLIVIOUS_UPSAMPLING),
    ):
        other = table.get((padding, upsampling))
        if other is not None and not other.own:
            parts.append(f"{error_text(other)} with {padding} and {upsampling}")
    return ", ".join(dict.fromkeys(parts)) + ", the weights being the same."


def _rolled_masks(shift: Shift) -> str:
    value = shift.rolled[0].aligned_error
    return (
        f"Whole frames rolled by multiples of {shift.model.factor} px: the predictions differ by "
        f"{with_interval(value)} (1 − Dice)."
    )


def error_text(rolled: Rolled) -> str:
    """The error of aligned shifts, `0 to rounding` below 1e-5."""
    value = rolled.aligned_error
    return "0 to rounding" if value.value < 1e-5 else with_interval(value)


def _reach_sentence(reach: Reach, size: int) -> str:
    measured = noticeable_reach(reach.surroundings)
    text = (
        f"By its architecture the border reaches {reach.theoretical} px into the logits"
        f"{_covers(reach.theoretical or 0, size)}; measured, {100 * NOTICEABLE:g} % of the logits' "
        f"standard deviation is passed up to {px_text(measured, reach)}"
    )
    if reach.padding is not None:
        alone = noticeable_reach(reach.padding)
        text += f" ({px_text(alone, reach)} for {reach.other} against the own padding alone)"
    return f"{text}, on frames of {reach.side} px."


def _covers(reach: int, size: int) -> str:
    return f", all of its {size} px frame" if 2 * reach >= size else ""


def px_text(px: int, reach: Reach) -> str:
    """`21 px`, or `the middle of the frame` where the difference never falls."""
    return "the middle of the frame" if 2 * px >= reach.side else f"{px} px"


def notes(shift: Shift) -> Iterator[str]:
    """Cautions for a reader of the numbers."""
    yield (
        "Windows show the scene larger than whole frames do: the reference's 1.7 times, those of "
        "one scale 2 times. Compare windows with each other, not with scores of whole frames."
    )
    if shift.reach is not None and 2 * (shift.reach.theoretical or 0) >= shift.model.size:
        yield (
            "No pixel of the network's frame lies beyond the border's theoretical reach, so that "
            "the difference between windows cannot be split by it."
        )
    if shift.net is None:
        yield (
            "A function gives masks and not logits: differences are 1 − Dice of two predictions. "
            f"Shifts by multiples of {shift.model.factor} px are called aligned, as for a network "
            "with as many poolings as that takes."
        )
        return
    yield (
        "Paddings and up-samplings are exchanged under the weights as they were trained: that "
        "shows what each of them carries in this network, not what training with it would give. "
        "Literature disagrees on whether another padding is a cure."
    )
    if shift.net.upsampling == "align_corners":
        yield (
            "Up-sampling with aligned corners depends on the frame's size at every pixel: against "
            "real surroundings the difference need not fall with distance, whatever the padding."
        )
    if shift.net.dtype == "bfloat16":
        yield "Products in bfloat16 round at 0.4 %: neither a full reach nor an error of 0 is told."
    if shift.net.norm == "group":
        yield "Group normalisation takes its moments over the frame: every pixel sees the border."
