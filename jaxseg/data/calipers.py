"""Where calipers stand: on the ends of a structure's diameters, near them, or anywhere.

Points are (x, y) in pixels, (0, 0) the centre of the first pixel. An axis is int [2, 2]: the two
points between which is measured. What is measured together, one or two diameters of one
structure, is int [n, 2, 2].
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray

SHORTEST = 4  # pixels: what is shorter is not measured
THIN = 3.0  # length over width from which on a structure is measured by its length alone
JITTER = 0.1  # standard deviation of a jittered end along x and y, in lengths of its axis


def tied(mask: Array, count: int) -> list[Array]:
    """Axes of the `count` largest classes of a mask, uint8 [H, W] of class indices; 0 is none.

    A class is measured on its largest connected part. A thin part has one axis, the length of its
    smallest enclosing rectangle (femur length); any other has the two diameters of the ellipse
    fitted to its outline, the short one first (biparietal, then occipitofrontal diameter). Outline
    that lies on the frame's edge is where the frame ends, not the structure, and takes no part in
    the fit; a fit over twice as long as the part gives way to the middle lines of its rectangle.
    An end that falls outside the frame is moved along its axis to the frame's edge, so that no
    caliper is longer than the frame; an axis wholly outside is left out. An empty mask, and one
    whose parts are shorter than 4 pixels, has no axes.
    """
    found = (clip_axes(_diameters(c, mask.shape), mask.shape) for c in _outlines(mask))
    measured = (axes for axes in found if len(axes))
    return [axes for axes, _ in zip(measured, range(count))]


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
    """`count` measurements that know nothing of any mask: drawn from the frame's size alone.

    The long diameter is log-uniform in 0.15 … 0.8 of the frame's shorter side, its direction and
    place are uniform as far as all ends lie inside; two in three have a second diameter.
    """
    return [_anywhere(rng, shape) for _ in range(count)]


def lengths(axes: Array) -> Array:
    """Length in pixels of every axis of int [n, 2, 2]: float [n]."""
    return np.linalg.norm(np.diff(axes, axis=1)[:, 0], axis=-1)


def _outlines(mask: Array) -> Iterator[Array]:
    """The outline int [points, 2] of the largest part of every class, largest class first."""
    pixels = np.bincount(mask.ravel(), minlength=2)
    order = np.argsort(-pixels[1:], kind="stable") + 1
    for label in order[pixels[order] > 0]:
        region = (mask == label).astype(np.uint8)
        contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        yield max(contours, key=lambda c: (cv2.contourArea(c), len(c)))[:, 0]


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
    ends = np.rint(axes).astype(int).tolist()
    cut = (cv2.clipLine(frame, first, second) for first, second in ends)
    kept = [(first, second) for inside, first, second in cut if inside]
    return np.array(kept, int).reshape(-1, 2, 2)


def _anywhere(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    height, width = shape[:2]
    long = min(height, width) * np.exp(rng.uniform(np.log(0.15), np.log(0.8)))
    sides, angle = (long * rng.uniform(0.55, 0.95), long), rng.uniform(0, 180)
    spans = _spans((0, 0), sides, angle)[0 if rng.random() < 2 / 3 else 1 :]
    room = np.array([width - 1, height - 1]) - 2 * np.abs(spans).max((0, 1))
    centre = np.array([width - 1, height - 1]) / 2 + room * rng.uniform(-0.5, 0.5, 2)
    return clip_axes(spans + centre, shape)
