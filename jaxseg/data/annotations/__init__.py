"""Annotations burned into ultrasound frames, as sonographers leave them: calipers, text, ruler.

Calipers show a network where and what to segment (Lin, Weng et al., arXiv 2403.06748). Here they
are drawn on frames without any, so that the annotation, its place and its share of frames are
known.

| placement     | calipers lie                                                                  |
|---------------|-------------------------------------------------------------------------------|
| `tied`        | on the ends of the diameters of one or two structures, as when measuring them |
| `jittered`    | near those ends: displaced by a Gaussian of a tenth of the diameter           |
| `independent` | anywhere, of any length: nothing drawn depends on the mask                    |

All marks of a frame have one colour, opaque but for the soft edge of strokes: `yellow`, `white` or
`green`, its shade drawn per frame. Calipers are '+' or '×' and joined by a dotted line; measured
values are in a box in a corner, by a depth scale drawn per frame that the ruler shows, too.
With `tied` and `jittered`, a frame without structures gets its text, ruler and body mark alone.
OpenCV 4 and 5 draw text with different fonts; everything else is the same in both.
"""

import colorsys
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxseg.data.annotations import marks
from jaxseg.data.annotations.marks import Mark
from jaxseg.data.images import as_rgb
from jaxseg.errors import UsageError, check_choice

Array = NDArray

PLACEMENTS = ("tied", "jittered", "independent")
SMALLEST = 32  # pixels: no text is legible on a smaller frame
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


def draw_annotations(
    image: ArrayLike,
    mask: ArrayLike,
    *,
    seed: int,
    image_id: str,
    placement: str = "tied",
    colour: str = "yellow",
    plane: str = "",
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draws annotations over a frame: returns the image, uint8 [H, W, 3], and where it changed.

    `image` is anything that `as_rgb` accepts, at least 32 pixels high and wide; `mask` uint8 [H, W]
    holds class indices, 0 the background. The second result, bool [H, W], is True at every pixel
    whose colour changed and at no other (one that had the overlay's colour already did not change).
    A pure function of its arguments: (seed, image_id) choose the shade, glyphs, corners and scale.
    `plane` is written on the frame and names the values measured: head, abdomen, femur, cervix by
    their usual names, any other as D1, D2. Raises UsageError for an unknown placement or colour, a
    negative seed, frames that are too small, and masks of another size or type.
    """
    images, annotated = annotation_sequence(
        image,
        mask,
        seed=seed,
        image_id=image_id,
        placement=placement,
        colour=colour,
        plane=plane,
        stages=2,
    )
    return images[-1], annotated[-1]


def annotation_sequence(
    image: ArrayLike,
    mask: ArrayLike,
    *,
    seed: int,
    image_id: str,
    placement: str = "tied",
    colour: str = "yellow",
    plane: str = "",
    stages: int = 6,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A frozen frame while it is annotated: images uint8 [stages, H, W, 3], changed bool likewise.

    Stage 0 is the clean frame, the last is what `draw_annotations` gives for the same arguments.
    Ruler, body mark and label come first, then caliper by caliper with the values measured; the
    marks are spread evenly over the stages and are only ever added: what has changed at one stage
    has changed at every later one. With more stages than marks some stages are equal. Raises as
    `draw_annotations`, and UsageError for fewer than 2 stages.
    """
    if stages < 2:
        raise UsageError(f"stages={stages}: must be at least 2, the clean and the annotated frame")
    check_choice("placement", placement, PLACEMENTS)
    check_choice("colour", colour, COLOURS)
    clean, mask = as_rgb(image), np.asarray(mask)
    height, width = clean.shape[:2]
    if seed < 0:
        raise UsageError(f"seed={seed}: must not be negative")
    if min(height, width) < SMALLEST:
        raise UsageError(
            f"{image_id}: frame of {height}×{width} pixels; annotations require "
            f"at least {SMALLEST}×{SMALLEST}"
        )
    if mask.shape != (height, width) or mask.dtype != np.uint8:
        raise UsageError(
            f"{image_id}: mask {mask.dtype} {mask.shape}; must be uint8 class indices of the "
            f"image's size {(height, width)}"
        )
    # Two generators, so that the draws of places do not change any other draw.
    spawned = np.random.SeedSequence([seed, zlib.crc32(image_id.encode())]).spawn(2)
    for_style, for_place = map(np.random.default_rng, spawned)
    style = sample_style(for_style, colour)
    if placement == "independent":
        measured = marks.independent(for_place, style.count, mask.shape)
    else:
        measured = marks.tied(mask, style.count)
        if placement == "jittered":
            measured = marks.jittered(for_place, measured, mask.shape)
    drawn = layout(measured, style, plane, mask.shape)
    images = np.repeat(clean[None], stages, axis=0)
    canvas, line, done = np.zeros((height, width), np.uint8), marks.sizes_of(height).line, 0
    for stage in range(1, stages):
        upto = -(-stage * len(drawn) // (stages - 1))
        opacity = marks.opacity(marks.render(canvas, drawn[done:upto], line))
        done, place = upto, opacity > 0
        weight = opacity[place][:, None]
        # Every channel moves towards the shade's with growing opacity and never back: what has
        # changed stays changed.
        mixed = images[stage][place] * (1 - weight) + style.shade * weight
        images[stage][place] = np.rint(mixed).astype(np.uint8)
    return images, (images != clean).any(-1)


class Style(NamedTuple):
    """How one frame is annotated, independent of its content; drawn from (seed, image id)."""

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
    calipers, pair, written = [], 0, iter(written)
    for axes in measured:
        for axis in axes:
            first, second = (
                marks.caliper(at, style.glyphs[pair], sizes, str(pair + 1)) for at in axis
            )
            pair += 1
            line = marks.dotted_line(axis, sizes)
            calipers += [first, marks.together(second, line, next(written, Mark()))]
        if len(axes) == 2:
            calipers.append(next(written, Mark()))
    return furniture + calipers


def _values(measured: list[Array], plane: str, per_cm: float) -> Iterator[str]:
    """Lines of text, axis by axis; the plane's names stand for the first structure alone."""
    pair = 0
    for number, axes in enumerate(measured):
        spans = marks.lengths(axes) / per_cm
        names = [f"D{pair + i + 1}" for i in range(len(axes))] + ["Circ"]
        if number == 0 and plane.lower() in MEASURES:
            names = MEASURES[plane.lower()][2 - len(axes) :]
        yield from (f"{name} {span:.2f} cm" for name, span in zip(names, spans))
        if len(axes) == 2:
            yield f"{names[-1]} {np.pi * spans.mean():.1f} cm"
        pair += len(axes)
