"""What a scanner writes over a frame: calipers, dotted lines, boxes of text, ruler, body mark.

A mark is geometry; `render` paints marks as opacity. Sizes follow the frame's height (those of a
screen of 540 lines, with floors that keep them legible at 64 lines); what does not fit is cut by
the frame. Points are (x, y) in pixels.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray

# The bolder font keeps small text opaque.
FONT, SMALL_FONT, SMALL = cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, 9
SHIFT = 4  # OpenCV's fixed-point bits: lines are placed to 1/16 pixel
# OpenCV paints a one-pixel line at 230 with 60 beside it; cut off, it is crisp as on a screen.
FAINTEST, FULL = 64, 176


class Sizes(NamedTuple):
    """Pixels: line width, arm of a caliper, distance of dots, height of capitals, margin."""

    line: int
    arm: int
    gap: int
    text: int
    margin: int


class Words(NamedTuple):
    """A line of text; `at` is the left end of its base line."""

    text: str
    at: tuple[int, int]
    height: int


class Mark(NamedTuple):
    """What appears on the screen at once: soft lines float [n, 2], crisp dots int [n, 2], words."""

    lines: tuple[Array, ...] = ()
    dots: Array = np.zeros((0, 2), int)
    words: tuple[Words, ...] = ()


def together(*several: Mark) -> Mark:
    """One mark of several: they appear at once."""
    lines, dots, words = zip(*several)
    return Mark(sum(lines, ()), np.concatenate(dots), sum(words, ()))


def sizes_of(height: int) -> Sizes:
    """The sizes that marks have on a frame of so many lines."""
    return Sizes(
        line=max(1, round(height / 400)),
        arm=max(2, round(height / 60)),
        gap=max(3, round(height / 70)),
        text=max(6, round(height / 38)),
        margin=max(2, round(height / 60)),
    )


def render(canvas: Array, marks: Iterable[Mark], line: int) -> Array:
    """Paints marks onto raw opacity, uint8 [H, W], in place; it only ever grows. See `opacity`."""
    for mark in marks:
        for points in mark.lines:
            fixed = np.rint(points * (1 << SHIFT)).astype(np.int32)
            cv2.polylines(canvas, [fixed], False, 255, line, cv2.LINE_AA, SHIFT)
        for x, y in mark.dots.tolist():
            cv2.rectangle(canvas, (x, y), (x + line - 1, y + line - 1), 255, -1)
        for words in mark.words:
            font, scale = _font(words.height, line)
            cv2.putText(canvas, words.text, words.at, font, scale, 255, line, cv2.LINE_AA)
    return canvas


def _font(height: int, line: int) -> tuple[int, float]:
    font = SMALL_FONT if height < SMALL else FONT
    return font, cv2.getFontScaleFromHeight(font, height, line)


def opacity(canvas: Array) -> Array:
    """Raw opacity as painted, uint8 [H, W], to that of the overlay, float32 [H, W] in [0, 1]."""
    return np.clip((canvas.astype(np.float32) - FAINTEST) / (FULL - FAINTEST), 0, 1)


def caliper(at: Array, glyph: str, sizes: Sizes, number: str = "") -> Mark:
    """A '+' or '×' at int [2], its number beside it where the frame is large enough to read it."""
    turned = np.array([[1, 1], [1, -1]]) * 0.75 if glyph == "×" else np.eye(2)
    arms = tuple(np.stack([at - sizes.arm * d, at + sizes.arm * d]) for d in turned)
    beside = (int(at[0]) + sizes.arm + sizes.line, int(at[1]) - sizes.line)
    legible = number and sizes.text >= SMALL
    return Mark(arms, words=(Words(number, beside, round(0.7 * sizes.text)),) if legible else ())


def dotted_line(axis: Array, sizes: Sizes) -> Mark:
    """Dots along an axis int [2, 2], between the arms of the calipers at its ends."""
    span = np.linalg.norm(axis[1] - axis[0])
    places = np.arange(sizes.arm + sizes.gap, span - sizes.arm - 1, sizes.gap) / max(span, 1)
    dots = axis[0] + places[:, None] * (axis[1] - axis[0])
    return Mark(dots=np.rint(dots).astype(int))


def text_block(
    lines: list[str], corner: tuple[int, int], frame: tuple[int, ...], sizes: Sizes, framed: bool
) -> list[Mark]:
    """Lines of text in a corner (right 0 or 1, bottom 0 or 1) of a frame [H, W]: a mark a line.

    A box round all of them appears with the first. As many lines are kept as fit into a third of
    the frame's height, at least one.
    """
    step = round(1.4 * sizes.text) + sizes.line
    lines = lines[: max(1, frame[0] // 3 // step)]
    font, scale = _font(sizes.text, sizes.line)
    widths = [cv2.getTextSize(line, font, scale, sizes.line)[0][0] for line in lines]
    pad = 1 + sizes.line
    size = np.array([max(widths) + 2 * pad + 1, step * len(lines) + pad])
    left, top = _corner_place(size, corner, frame, sizes).tolist()
    places = [(left + pad, top + pad + sizes.text + step * i) for i in range(len(lines))]
    marks = [Mark(words=(Words(*each, sizes.text),)) for each in zip(lines, places)]
    if framed:
        marks[0] = marks[0]._replace(lines=(_rectangle(left, top, *size.tolist()),))
    return marks


def body_mark(corner: tuple[int, int], frame: tuple[int, ...], sizes: Sizes, turn: float) -> Mark:
    """The icon that tells how the probe is held: an oval body and the probe's line across it."""
    radii = np.array([1.7, 2.3]) * sizes.text / 2
    centre = _corner_place(2 * radii, corner, frame, sizes) + radii
    around = np.linspace(0, 2 * np.pi, 25)
    oval = centre + radii * np.stack([np.cos(around), np.sin(around)], -1)
    reach = 0.7 * radii[0] * np.array([np.cos(turn), np.sin(turn)])
    return Mark((oval, np.stack([centre - reach, centre + reach])))


def ruler(side: int, frame: tuple[int, ...], sizes: Sizes, pixels_per_cm: float) -> Mark:
    """Depth ticks along the left (0) or right (1) edge: one a centimetre, every fifth longer."""
    dots = []
    for number in range(1, int(frame[0] / pixels_per_cm) + 1):
        reach = np.arange(2 * sizes.margin if number % 5 == 0 else sizes.margin)
        x = reach if side == 0 else frame[1] - sizes.line - reach
        dots.append(np.stack([x, np.full_like(x, round(number * pixels_per_cm) - 1)], -1))
    return Mark(dots=np.concatenate(dots))


def _corner_place(
    size: Array, corner: tuple[int, int], frame: tuple[int, ...], sizes: Sizes
) -> Array:
    """Left top (x, y) of what is `size` (width, height) large and stands in a corner."""
    inset = np.array([2 * sizes.margin + 2, sizes.margin])
    room = np.array([frame[1], frame[0]]) - np.ceil(size).astype(int) - 2 * inset
    return inset + np.maximum(room, 0) * np.array(corner)


def _rectangle(left: int, top: int, width: int, height: int) -> Array:
    corners = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1), (0, 0)]
    return np.array([left, top]) + np.array(corners, float)
