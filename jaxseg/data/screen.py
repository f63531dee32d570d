"""How one frame's screen is laid out: its style and what is written and measured where."""

import colorsys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data import calipers, marks
from jaxseg.data.marks import Mark

Array = NDArray

# Ranges of hue, saturation and value in [0, 1] from which a frame's shade is drawn.
COLOURS = {
    "yellow": ((0.13, 0.16), (0.8, 1.0), (0.85, 1.0)),
    "white": ((0.0, 0.0), (0.0, 0.0), (0.88, 1.0)),
    "green": ((0.28, 0.4), (0.7, 1.0), (0.8, 1.0)),
}
# What is measured in a plane: the diameters, short then long, and the circumference.
MEASURES = {
    "head": ("BPD", "OFD", "HC"),
    "abdomen": ("APAD", "TAD", "AC"),
    "femur": ("FW", "FL", "Circ"),
    "cervix": ("CW", "CL", "Circ"),
}


class Style(NamedTuple):
    """How one frame is annotated, whatever stands in it; drawn from (seed, image id)."""

    count: int  # structures measured
    glyphs: tuple[str, ...]
    corners: tuple[tuple[int, int], ...]  # of the box, the label and the body mark
    side: int
    turn: float
    depth: float  # centimetres from the first line of the frame to the last
    shade: Array  # uint8 [3]


def sample_style(rng: np.random.Generator, colour: str) -> Style:
    """Draws a style; every number is drawn in every case, whatever the colour."""
    right, bottom = rng.integers(2, size=2).tolist()
    # The box has its row to itself: on narrow frames text of two corners would meet.
    corners = ((right, bottom), (right, 1 - bottom), (1 - right, 1 - bottom))
    corners = corners if rng.random() < 0.5 else (corners[0], corners[2], corners[1])
    ranges = COLOURS[colour]
    shade = colorsys.hsv_to_rgb(*(float(rng.uniform(*bounds)) for bounds in ranges))
    return Style(
        count=int(rng.integers(1, 3)),
        glyphs=tuple(rng.choice(["+", "×"], 4).tolist()),
        corners=corners,
        side=int(rng.integers(2)),
        turn=float(rng.uniform(0, np.pi)),
        depth=float(rng.uniform(8, 18)),
        shade=np.rint(np.array(shade) * 255).astype(np.uint8),
    )


def layout(measured: list[Array], style: Style, plane: str, frame: tuple[int, ...]) -> list[Mark]:
    """All marks of a frame [H, W] in the order in which they appear.

    `measured` holds, per structure, its axes int [n, 2, 2]. Ruler, body mark and label first, then
    the calipers, each axis' value with its second caliper, the circumference after the axes.
    """
    sizes, per_cm = marks.sizes_of(frame[0]), frame[0] / style.depth
    box, label, body = style.corners
    furniture = [
        marks.ruler(style.side, frame, sizes, per_cm),
        marks.body_mark(body, frame, sizes, style.turn),
        *marks.text_block([plane.upper() or "2D"], label, frame, sizes, framed=False),
    ]
    values = list(_values(measured, plane, per_cm))
    written = marks.text_block(values, box, frame, sizes, framed=True) if values else []
    return furniture + list(_measuring(measured, style.glyphs, iter(written), sizes))


def _values(measured: list[Array], plane: str, per_cm: float) -> Iterator[str]:
    """Lines of text, axis by axis; the plane's names stand for the first structure alone."""
    pair = 0
    for number, axes in enumerate(measured):
        spans = calipers.lengths(axes) / per_cm
        names = [f"D{pair + i + 1}" for i in range(len(axes))] + ["Circ"]
        if number == 0 and plane.lower() in MEASURES:
            names = MEASURES[plane.lower()][2 - len(axes) :]
        yield from (f"{name} {span:.2f} cm" for name, span in zip(names, spans))
        if len(axes) == 2:
            yield f"{names[-1]} {np.pi * spans.mean():.1f} cm"
        pair += len(axes)


def _measuring(
    measured: list[Array], glyphs: tuple[str, ...], written: Iterator[Mark], sizes: marks.Sizes
) -> Iterator[Mark]:
    pair = 0
    for axes in measured:
        for axis in axes:
            ends = [marks.caliper(at, glyphs[pair], sizes, str(pair + 1)) for at in axis]
            yield ends[0]
            yield marks.together(ends[1], marks.dotted_line(axis, sizes), next(written, Mark()))
            pair += 1
        if len(axes) == 2:
            yield next(written, Mark())
