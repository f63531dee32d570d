"""The marks that a scanner draws on a frame, and where calipers lie.

Calipers lie on the ends of a structure's diameters, near them, or anywhere. An axis is int
[2, 2]: the two points between which is measured. What is measured together, one or two diameters of
one structure, is int [n, 2, 2].

A mark is geometry; `render` paints marks as opacity. Sizes follow the frame's height (those of a
screen of 540 lines, with floors that keep them legible at 64 lines); what does not fit is cut by
the frame. Points are (x, y) in pixels, (0, 0) the centre of the first pixel.
"""

from collections.abc import Iterable, Sequence
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
SHORTEST = 4  # pixels: what is shorter is not measured
THIN = 3.0  # length over width from which on a structure is measured by its length alone
JITTER = 0.1  # standard deviation of a jittered end along x and y, in lengths of its axis


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
    """Marks that appear together: soft lines float [n, 2], crisp dots int [n, 2], words."""

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
        corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
        box = np.array([left, top]) + (size - 1) * np.array(corners, float)
        marks[0] = marks[0]._replace(lines=(box,))
    return marks


def body_mark(corner: tuple[int, int], frame: tuple[int, ...], sizes: Sizes, turn: float) -> Mark:
    """The icon that shows how the probe is held: an oval body and the probe's line across it."""
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
    """Left top (x, y) of a box of `size` (width, height) in a corner of the frame."""
    inset = np.array([2 * sizes.margin + 2, sizes.margin])
    room = np.array([frame[1], frame[0]]) - np.ceil(size).astype(int) - 2 * inset
    return inset + np.maximum(room, 0) * np.array(corner)


def tied(mask: Array, count: int) -> list[Array]:
    """Axes of the `count` largest classes of a mask, uint8 [H, W] of class indices.

    A class is measured on its largest connected part. A thin part has one axis, the length of its
    smallest enclosing rectangle (femur length); any other has the two diameters of the ellipse
    fitted to its outline, the short one first (biparietal, then occipitofrontal diameter). Outline
    that lies on the frame's edge is where the frame ends, not the structure, and takes no part in
    the fit; a fit over twice as long as the part gives way to the middle lines of its rectangle.
    An end that falls outside the frame is moved along its axis to the frame's edge, so that no
    caliper is longer than the frame; an axis wholly outside is left out. An empty mask, and one
    whose parts are shorter than 4 pixels, has no axes.
    """
    measured: list[Array] = []
    pixels = np.bincount(mask.ravel(), minlength=2)
    order = np.argsort(-pixels[1:], kind="stable") + 1
    for label in order[pixels[order] > 0]:
        if len(measured) == count:
            break
        region = (mask == label).astype(np.uint8)
        contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = max(contours, key=lambda c: (cv2.contourArea(c), len(c)))[:, 0]
        axes = clip_axes(_diameters(outline, mask.shape), mask.shape)
        measured += [axes] if len(axes) else []
    return measured


def jittered(
    rng: np.random.Generator, measured: list[Array], shape: tuple[int, ...]
) -> list[Array]:
    """The same axes with every end displaced by a Gaussian of a tenth of the axis' length."""
    last = np.array([shape[1] - 1, shape[0] - 1])
    moved = []
    for axes in measured:
        lengths = np.linalg.norm(axes[:, 1] - axes[:, 0], axis=-1)[:, None, None]
        ends = axes + JITTER * lengths * rng.standard_normal(axes.shape)
        moved.append(np.clip(np.rint(ends), 0, last).astype(int))
    return moved


def independent(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> list[Array]:
    """`count` measurements that do not depend on any mask: drawn from the frame's size alone.

    The long diameter is log-uniform in 0.15 … 0.8 of the frame's shorter side, its direction and
    place are uniform as far as all ends lie inside; two in three have a second diameter.
    """
    height, width = shape[:2]
    last = np.array([width - 1, height - 1])
    measured = []
    for _ in range(count):
        long = min(height, width) * np.exp(rng.uniform(np.log(0.15), np.log(0.8)))
        sides, angle = (long * rng.uniform(0.55, 0.95), long), rng.uniform(0, 180)
        spans = _spans((0, 0), sides, angle)[0 if rng.random() < 2 / 3 else 1 :]
        room = last - 2 * np.abs(spans).max((0, 1))
        centre = last / 2 + room * rng.uniform(-0.5, 0.5, 2)
        measured.append(clip_axes(spans + centre, shape))
    return measured


def lengths(axes: Array) -> Array:
    """Length in pixels of every axis of int [n, 2, 2]: float [n]."""
    return np.linalg.norm(np.diff(axes, axis=1)[:, 0], axis=-1)


def _diameters(outline: Array, shape: tuple[int, ...]) -> Array:
    """Axes float [n, 2, 2] of an outline, not yet held inside the frame."""
    centre, sides, angle = cv2.minAreaRect(outline)
    if max(sides) < SHORTEST - 1:  # from pixel centre to pixel centre
        return np.zeros((0, 2, 2))
    last = np.array([shape[1] - 1, shape[0] - 1])
    free = outline[((outline > 0) & (outline < last)).all(-1)]
    if max(sides) >= THIN * min(sides) or len(free) < 5:
        return _spans(centre, sides, angle)[-1:]
    fitted = cv2.fitEllipse(free)
    plausible = max(fitted[1]) <= 2 * max(sides)  # false for NaN, too
    return _spans(*(fitted if plausible else (centre, sides, angle)))


def _spans(centre: Sequence[float], sides: Sequence[float], angle: float) -> Array:
    """The two middle lines of a rotated rectangle as OpenCV gives it, short first."""
    turn = np.deg2rad(angle)
    along = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    half = along * np.array(sides)[:, None] / 2
    spans = np.stack([np.array(centre) - half, np.array(centre) + half], axis=1)
    return spans[np.argsort(sides, kind="stable")]


def clip_axes(axes: Array, shape: tuple[int, ...]) -> Array:
    """Axes float [n, 2, 2] rounded and cut at the frame's edge: int [m, 2, 2], m <= n."""
    frame = (0, 0, shape[1], shape[0])
    cut = (cv2.clipLine(frame, *ends) for ends in np.rint(axes).astype(int).tolist())
    kept = [(first, second) for inside, first, second in cut if inside]
    return np.array(kept, int).reshape(-1, 2, 2)
