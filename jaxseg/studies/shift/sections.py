"""A shift audit as one section: verdict with its rule, tables, Fig. 7 of the paper and more."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxseg.metrics.bootstrap import Estimate
from jaxseg.metrics.verdict import HIGHER, LOWER, UNITS, judge
from jaxseg.report.section import Figure, Section, Table
from jaxseg.report.text import number, plural, with_interval
from jaxseg.studies.models import Model
from jaxseg.studies.shift.figures import (
    contributions_figure,
    curves_by_offset,
    film_strip,
    reach_figure,
)
from jaxseg.studies.shift.moving import (
    PARTS,
    STRIP_RULE,
    Moved,
    dice_by_offset,
    dice_lost,
    error_by_offset,
)
from jaxseg.studies.shift.reach import (
    NOTICEABLE,
    ROUNDING,
    Reach,
    full_reach,
    noticeable_reach,
    relative_profile,
)
from jaxseg.studies.shift.rolls import OBLIVIOUS_PADDING, OBLIVIOUS_UPSAMPLING, Rolled

SCOPE = UNITS["images"]
RULE = (
    "Rule: a model that finds the object by its looks loses nothing when the window moves; a loss "
    f"is called shown where its 95 % interval {SCOPE} excludes 0."
)
WINDOW_COLUMNS = (
    "test",
    "offset_px",
    "aligned",
    "dice",
    "dice_low",
    "dice_high",
    "n_images",
    *(f"error_{part}{end}" for part in PARTS for end in ("", "_low", "_high")),
)
ROLL_COLUMNS = (
    "padding",
    "upsampling",
    "own",
    "error_aligned",
    "aligned_low",
    "aligned_high",
    "error_between",
    "between_low",
    "between_high",
    "n_images",
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


def shift_section(shift: Shift) -> Section:
    """The section of a shift audit."""
    return Section(
        name="shift",
        title=f"Shift: {shift.model.name}",
        verdict=[
            *(_moved_sentence(moved) for moved in shift.moved),
            _rolled_sentence(shift),
            *_reach_sentences(shift),
            RULE,
        ],
        tables=list(_tables(shift)),
        figures=list(_figures(shift)),
        notes=list(_notes(shift)),
        left_out=shift.left_out,
    )


def _estimate(value: Estimate) -> str:
    return with_interval(value.value, value.low, value.high)


def _moved_sentence(moved: Moved) -> str:
    plan, lost = moved.plan, dice_lost(moved)
    outermost = moved.dice[:, [0, -1]].mean(axis=1)
    central = moved.dice[:, plan.centre]
    before = float(central[~np.isnan(central - outermost)].mean()) if lost.n_images else np.nan
    found = judge(lost.low, lost.high, None, unit="images")
    change = f"no loss shown, {_estimate(lost)}"
    if found.word == HIGHER:
        change = f"a loss of {_estimate(lost)}"
    if found.word == LOWER:
        change = f"a gain of {with_interval(-lost.value, -lost.high, -lost.low)}"
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
        return f"{start}: the predictions differ by {_estimate(own.aligned_error)} (1 − Dice)."
    text = f"{start}: the logits differ by {_estimate(own.aligned_error)} (relative L2)"
    settings = ((own.padding, "padding"), (own.upsampling, "up-sampling"))
    if named := [f"{name} {kind}" for name, kind in settings if name]:
        text += f" with the network's own {' and '.join(named)}"
    parts = []
    for r in shift.rolled:
        oblivious = r.padding == OBLIVIOUS_PADDING, r.upsampling == OBLIVIOUS_UPSAMPLING
        same = r.padding == own.padding, r.upsampling == own.upsampling
        if not r.own and all(a or b for a, b in zip(oblivious, same)):
            value = r.aligned_error
            error = "0 to rounding" if value.value < ROUNDING else _estimate(value)
            parts.append(f"{error} with {' and '.join(filter(None, (r.padding, r.upsampling)))}")
    return f"{', '.join([text, *parts])}, the weights being the same." if parts else f"{text}."


def _reach_sentences(shift: Shift) -> Iterator[str]:
    reach = shift.reach
    if reach is None or not shift.model.logits:
        return
    measured = (
        f"measured, {100 * NOTICEABLE:g} % of the logits' standard deviation is passed up to "
        f"{_px(noticeable_reach(reach.surroundings), reach)}"
    )
    if reach.theoretical is None:
        text = measured.capitalize()
    else:
        whole = 2 * reach.theoretical >= shift.model.size
        covers = f", all of its {shift.model.size} px frame" if whole else ""
        text = (
            f"By its architecture the border reaches {reach.theoretical} px into the logits{covers}"
            f"; {measured}"
        )
    if reach.padding is not None:
        alone = _px(noticeable_reach(reach.padding), reach)
        text += f" ({alone} for {reach.other} against the own padding alone)"
    yield f"{text}, on frames of {reach.side} px."


def _px(px: int, reach: Reach) -> str:
    """`21 px`, or `the middle of the frame` where the difference never falls."""
    return "the middle of the frame" if 2 * px >= reach.side else f"{px} px"


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
    yield Table(
        "shift_windows",
        "The part common to all windows, by offset of the window: Dice and, on all that a window "
        "shares with the central one, the difference between their responses (95 % intervals over "
        "images)",
        WINDOW_COLUMNS,
        [row for moved in shift.moved for row in _window_rows(moved)],
    )
    rows = []
    for r in shift.rolled:
        aligned, between = r.aligned_error, r.between_error
        numbers = (aligned.value, aligned.low, aligned.high, *between)
        rows.append((r.padding, r.upsampling, r.own, *numbers))
    yield Table(
        "shift_rolls",
        "Whole frames rolled: relative difference of the responses after shifts by multiples of "
        f"{shift.model.factor} px and by others, by padding and up-sampling under the same weights",
        ROLL_COLUMNS,
        rows,
    )
    if shift.reach is not None:
        yield from _reach_tables(shift.reach)


def _window_rows(moved: Moved) -> Iterator[tuple]:
    errors = [error_by_offset(moved, part) for part in PARTS]
    for k, score in enumerate(dice_by_offset(moved)):
        numbers = [end for error in errors for end in (error[k].value, error[k].low, error[k].high)]
        place = (moved.plan.name, int(moved.plan.offsets[k]), bool(moved.aligned[k]))
        yield (*place, *score, *numbers)


def _reach_tables(reach: Reach) -> Iterator[Table]:
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


def _figures(shift: Shift) -> Iterator[Figure]:
    for moved in shift.moved:
        ends, strip = np.abs(moved.plan.offsets).max(), moved.strip
        yield Figure(
            f"shift_strip_{moved.plan.name.replace(' ', '_')}",
            f"Film strip, {moved.plan.name} test ({strip.id}): {STRIP_RULE}",
            f"Windows of image {strip.id} moved from {-ends} to {ends} pixels along the diagonal,"
            " each above its prediction with missed and added pixels and the outline of the truth.",
            film_strip(moved),
        )
    losses = [
        f"{moved.plan.name}: the outermost windows lose {dice_lost(moved).value:.3f} Dice."
        for moved in shift.moved
    ]
    yield Figure(
        "shift_offsets",
        "Dice and difference to the central window by offset (bands: 95 % intervals over images; "
        "hollow: pooling meets other pixels than in the central window)",
        "Curves by offset of the window. " + " ".join(losses),
        curves_by_offset(shift.moved),
    )
    if len(shift.rolled) > 1:
        errors = [
            f"{r.padding} and {r.upsampling} {r.aligned_error.value:.3f}" for r in shift.rolled
        ]
        yield Figure(
            "shift_contributions",
            "Shift error of the same weights by padding and up-sampling (framed: the cell's own)",
            "Table of the relative L2 error: " + "; ".join(errors),
            contributions_figure(shift.rolled, shift.model.factor),
        )
    if shift.reach is not None:
        profile = relative_profile(shift.reach.surroundings)
        yield Figure(
            "shift_reach",
            "What the border changes, by distance to it",
            f"Difference by distance to the border, from {profile[0]:.3g} of the standard deviation"
            f" at the border to {profile[-1]:.3g} in the middle.",
            reach_figure(shift.reach, shift.model.size),
        )
