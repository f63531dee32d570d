"""An audit of shifts as one section: verdict, tables, Fig. 7 of the paper and more."""

from collections.abc import Iterator

import numpy as np

from jaxseg.report.section import Figure, Section, Table
from jaxseg.studies.shift.figures import contributions_figure, curves_by_offset, reach_figure
from jaxseg.studies.shift.moving import (
    PARTS,
    STRIP_RULE,
    Moved,
    dice_by_offset,
    dice_lost,
    error_by_offset,
)
from jaxseg.studies.shift.reach import full_reach, noticeable_reach, relative_profile
from jaxseg.studies.shift.shift import Reach, Shift
from jaxseg.studies.shift.strip import film_strip
from jaxseg.studies.shift.wording import notes, verdict


def tell(shift: Shift) -> Section:
    """The section of a shift audit; `left_out` holds what of the model could not be measured."""
    return Section(
        name="shift",
        title=f"Shift: {shift.model.name}",
        verdict=verdict(shift),
        tables=list(_tables(shift)),
        figures=list(_pictures(shift)),
        notes=list(notes(shift)),
        left_out=shift.left_out,
    )


def _tables(shift: Shift) -> Iterator[Table]:
    yield Table(
        "shift_windows",
        "The part common to all windows, by offset of the window: Dice and, on all that a window "
        "shares with the central one, the difference between their responses (95 % intervals over "
        "images)",
        WINDOW_COLUMNS,
        [row for moved in shift.moved for row in _window_rows(moved)],
    )
    yield Table(
        "shift_rolls",
        "Whole frames rolled: relative difference of the responses after shifts by multiples of "
        f"{shift.model.factor} px and by others, by padding and up-sampling under the same weights",
        ROLL_COLUMNS,
        [
            (r.padding, r.upsampling, r.own, *r.aligned_error[:3], *r.between_error)
            for r in shift.rolled
        ],
    )
    if shift.reach is not None:
        yield from _reach_tables(shift.reach)


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


def _window_rows(moved: Moved) -> Iterator[tuple]:
    errors = [error_by_offset(moved, part) for part in PARTS]
    for k, score in enumerate(dice_by_offset(moved)):
        numbers = [number for error in errors for number in error[k][:3]]
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


def _pictures(shift: Shift) -> Iterator[Figure]:
    for moved in shift.moved:
        slug = moved.plan.name.replace(" ", "_")
        yield Figure(
            f"shift_strip_{slug}",
            f"Film strip, {moved.plan.name} test ({moved.strip.id}): {STRIP_RULE}",
            _strip_alt(moved),
            film_strip(moved),
        )
    yield Figure(
        "shift_offsets",
        "Dice and difference to the central window by offset (bands: 95 % intervals over images; "
        "hollow: pooling meets other pixels than in the central window)",
        "Curves by offset of the window. " + " ".join(map(_curve_alt, shift.moved)),
        curves_by_offset(shift.moved),
    )
    if shift.net is not None:
        yield Figure(
            "shift_contributions",
            "Shift error of the same weights by padding and up-sampling (framed: the cell's own)",
            "Table of the relative L2 error: "
            + "; ".join(
                f"{r.padding} and {r.upsampling} {r.aligned_error.value:.3f}" for r in shift.rolled
            ),
            contributions_figure(shift.rolled),
        )
    if shift.reach is not None:
        yield Figure(
            "shift_reach",
            "What the border changes, by distance to it",
            "Difference by distance to the border, from "
            f"{relative_profile(shift.reach.surroundings)[0]:.3g} of the standard deviation at the "
            f"border to {relative_profile(shift.reach.surroundings)[-1]:.3g} in the middle.",
            reach_figure(shift.reach, shift.model.size),
        )


def _strip_alt(moved: Moved) -> str:
    ends = np.abs(moved.plan.offsets).max()
    return (
        f"Windows of image {moved.strip.id} moved from {-ends} to {ends} pixels along the diagonal,"
        " each above its prediction with missed and added pixels and the outline of the truth."
    )


def _curve_alt(moved: Moved) -> str:
    lost = dice_lost(moved)
    return f"{moved.plan.name}: the outermost windows lose {lost.value:.3f} Dice."
