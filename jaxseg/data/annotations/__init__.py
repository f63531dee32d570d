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
    images, annotated = _draw(image, mask, seed, image_id, placement, colour, plane, 2)
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
    return _draw(image, mask, seed, image_id, placement, colour, plane, stages)


def _draw(
    image: ArrayLike,
    mask: ArrayLike,
    seed: int,
    image_id: str,
    placement: str,
    colour: str,
    plane: str,
    stages: int,
) -> tuple[Array, Array]:
    check_choice("placement", placement, PLACEMENTS)
    check_choice("colour", colour, COLOURS)
    clean, mask = as_rgb(image), np.asarray(mask)
    _check(clean, mask, seed, image_id)
    for_style, for_place = _streams(seed, image_id)
    style = sample_style(for_style, colour)
    measured = _measure(for_place, mask, placement, style.count)
    return _paint(clean, layout(measured, style, plane, mask.shape), style.shade, stages)


def _check(image: Array, mask: Array, seed: int, image_id: str) -> None:
    if seed < 0:
        raise UsageError(f"seed={seed}: must not be negative")
    if min(image.shape[:2]) < SMALLEST:
        raise UsageError(
            f"{image_id}: frame of {image.shape[0]}×{image.shape[1]} pixels; annotations require "
            f"at least {SMALLEST}×{SMALLEST}"
        )
    if mask.shape != image.shape[:2] or mask.dtype != np.uint8:
        raise UsageError(
            f"{image_id}: mask {mask.dtype} {mask.shape}; must be uint8 class indices of the "
            f"image's size {image.shape[:2]}"
        )


def _streams(seed: int, image_id: str) -> tuple[np.random.Generator, np.random.Generator]:
    """Two generators, so that the draws of places do not change any other draw."""
    root = np.random.SeedSequence([seed, zlib.crc32(image_id.encode())])
    style, place = root.spawn(2)
    return np.random.default_rng(style), np.random.default_rng(place)


def _measure(rng: np.random.Generator, mask: Array, placement: str, count: int) -> list[Array]:
    """What is measured, a structure int [n, 2, 2] of axes each."""
    if placement == "independent":
        return marks.independent(rng, count, mask.shape)
    measured = marks.tied(mask, count)
    if placement == "tied":
        return measured
    return marks.jittered(rng, measured, mask.shape)


def _paint(clean: Array, drawn: list[marks.Mark], shade: Array, stages: int) -> tuple[Array, Array]:
    """The frame with growing parts of the marks: uint8 [stages, H, W, 3]; where it has changed."""
    images = np.repeat(clean[None], stages, axis=0)
    canvas, line, done = np.zeros(clean.shape[:2], np.uint8), marks.sizes_of(len(clean)).line, 0
    for stage in range(1, stages):
        upto = -(-stage * len(drawn) // (stages - 1))
        marks.render(canvas, drawn[done:upto], line)
        _blend(images[stage], marks.opacity(canvas), shade)
        done = upto
    return images, (images != clean).any(-1)


def _blend(image: Array, opacity: Array, shade: Array) -> None:
    """Lays the shade over the image, in place. Every channel moves towards the shade's with
    growing opacity and never back: what has changed stays changed."""
    place = opacity > 0
    weight = opacity[place][:, None]
    image[place] = np.rint(image[place] * (1 - weight) + shade * weight).astype(np.uint8)


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
    return furniture + list(_measuring(measured, style.glyphs, iter(written), sizes))


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
