"""What lies over the skin in dermoscopy frames: hairs, rulers, ink, markers, gel, the round field.

Drawn for `lesion_phantoms` on the rates seen in ISIC 2017; positions and lengths are frame
fractions, so that frames of any size show the same scene. Each artefact is drawn in some frames
only: none marks the border of every frame.
"""

import cv2
import numpy as np

Array = np.ndarray

# Absorbance per RGB channel; melanin is fitted to the median lesion/skin colour ratio.
MELANIN = np.array([0.40, 1.06, 1.54], np.float32)
HAIR = np.array([0.7, 1.0, 1.2], np.float32)
INK = np.array([1.2, 1.4, 0.4], np.float32)
MARKERS = np.array(
    [[0.95, 0.85, 0.1], [0.4, 0.8, 0.8], [0.1, 0.5, 0.75], [0.9, 0.2, 0.15], [0.75, 0.75, 0.9]],
    np.float32,
)
SHIFT = 4  # OpenCV's fixed-point bits: strokes are placed to 1/16 pixel
# A circle on a 4:3 frame, after the frame is squashed to a square.
ASPECT = 4 / 3


def draw_absorbing(rng: np.random.Generator, size: int) -> Array:
    """Optical density of freckles, hairs, ruler and ink: float32 [3, size, size]."""
    density = np.zeros((3, size, size), np.float32)
    if rng.random() < 0.3:
        density += np.multiply.outer(MELANIN, _freckles(rng, size))
    if rng.random() < 0.35:
        density += np.multiply.outer(rng.uniform(0.3, 1.1) * HAIR, _hairs(rng, size))
    if rng.random() < 0.3:
        density += rng.uniform(0.4, 0.9) * _ruler(rng, size)[None]
    if rng.random() < 0.1:
        density += np.multiply.outer(rng.uniform(0.3, 0.9) * INK, _ink(rng, size))
    return density


def draw_opaque(rng: np.random.Generator, image: Array, mask: Array) -> Array:
    """Adds gel, bubbles, a colour marker and the round field to float32 [3, size, size].

    A marker or field that would hide part of the lesion `mask` is left out.
    """
    size = len(mask)
    if rng.random() < 0.15:
        image = image * (1 + rng.uniform(0.03, 0.1) * _gel_edge(rng, size)[None])
    if rng.random() < 0.1:
        image = image + rng.uniform(0.05, 0.18) * _bubbles(rng, size)[None]
    if rng.random() < 0.12:
        image = _marker(rng, image, mask)
    if rng.random() < 0.42:
        field = _field(rng, size)
        image = image if field[mask > 0].min() < 0.5 else image * field[None]
    return image


def _strokes(size: int, lines: list[Array], width: float = 1.0) -> Array:
    """Poly-lines in frame fractions as coverage in [0, 1]; `width` in pixels of a 128 frame."""
    canvas = np.zeros((size, size), np.uint8)
    pixels = width * size / 128
    points = [np.rint((line * size - 0.5) * 2**SHIFT).astype(np.int32) for line in lines]
    thickness = max(1, round(pixels))
    cv2.polylines(canvas, points, False, 255, thickness, cv2.LINE_AA, SHIFT)
    return canvas * np.float32(min(1.0, pixels / thickness) / 255)


def _freckles(rng: np.random.Generator, size: int) -> Array:
    canvas = np.zeros((size, size), np.float32)
    for x, y in rng.uniform(0, 1, (rng.integers(4, 40), 2)):
        radius, depth = rng.uniform(0.004, 0.016), rng.uniform(0.1, 0.45)
        centre = round(x * size * 2**SHIFT), round(y * size * 2**SHIFT)
        cv2.circle(canvas, centre, round(radius * size * 2**SHIFT), depth, -1, cv2.LINE_8, SHIFT)
    return cv2.GaussianBlur(canvas, (0, 0), 0.007 * size)


def _hairs(rng: np.random.Generator, size: int) -> Array:
    """Bezier arcs that share a rough direction: [size, size] in [0, 1]."""
    t = np.linspace(0, 1, 16)[:, None]
    heading = rng.uniform(0, np.pi)
    lines = []
    for _ in range(int(rng.integers(1, 22))):
        start, turn = rng.uniform(-0.1, 1.1, 2), heading + 0.5 * rng.standard_normal()
        end = start + rng.uniform(0.15, 1.0) * np.array([np.cos(turn), np.sin(turn)])
        bend = (start + end) / 2 + 0.1 * rng.standard_normal(2)
        lines.append((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)
    return _strokes(size, lines, rng.uniform(0.5, 1.1))


def _ruler(rng: np.random.Generator, size: int) -> Array:
    """A short scale near the bottom, or bare ticks along one corner's sides: [size, size]."""
    if rng.random() < 0.7:
        length, angle = rng.uniform(0.35, 0.5), rng.uniform(-0.35, 0.15)
        along = np.array([np.cos(angle), np.sin(angle)])
        start = np.array([rng.uniform(0.15, 0.5), rng.uniform(0.86, 0.94)])
        ticks, drawn = start + np.linspace(0, length, 11)[:, None] * along, [0, 10]
        tick = 0.035 * np.array([along[1], -along[0]])
    else:
        start, side = np.array([0.0, rng.uniform(0.55, 0.8)]), rng.choice([0.0, 1.0])
        ticks = start + np.linspace(0, 0.5, 9)[:, None] * np.array([0.35, 0.8])
        ticks[:, 0] = np.abs(side - ticks[:, 0])
        tick, drawn = np.array([0.03, 0.012]), []
    lines = [np.stack([point, point + tick]) for point in ticks]
    return _strokes(size, lines + ([ticks[drawn]] if drawn else []), 0.7)


def _ink(rng: np.random.Generator, size: int) -> Array:
    """Felt-pen scribble in the outer part of the frame: [size, size] in [0, 1]."""
    place = rng.uniform(0, 2 * np.pi)
    centre = 0.5 + rng.uniform(0.36, 0.5) * np.array([np.cos(place), np.sin(place)])
    spread = rng.uniform(0.02, 0.07, 2)
    lines = [centre + spread * rng.standard_normal((6, 2)) for _ in range(3)]
    return cv2.GaussianBlur(_strokes(size, lines, rng.uniform(1.5, 3.0)), (0, 0), 0.006 * size)


def _ellipse_level(size: int, centre: Array, radius: float) -> Array:
    """Distance from `centre` in radii of a circle squashed with its 4:3 frame: [size, size]."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = axis - np.float32(centre[0]), (axis - np.float32(centre[1])) / ASPECT
    return np.sqrt(x[None, :] ** 2 + y[:, None] ** 2) / radius


def _marker(rng: np.random.Generator, image: Array, mask: Array) -> Array:
    """A coloured paper disc reaching in from one side."""
    centre = np.array([rng.choice([-0.02, 1.02]), rng.uniform(0.1, 0.9)])
    colour = MARKERS[rng.integers(len(MARKERS))] * rng.uniform(0.85, 1.05)
    level = _ellipse_level(len(mask), centre, rng.uniform(0.12, 0.27))
    cover = np.clip((1 - level) * 40, 0, 1)[None]
    return image if mask[level < 1.1].any() else image * (1 - cover) + cover * colour[:, None, None]


def _gel_edge(rng: np.random.Generator, size: int) -> Array:
    """A bright and a dark rim where the gel ends, as one large ring: [size, size] in [-1, 1]."""
    centre = rng.normal(0.5, 0.06, 2)
    rim = (_ellipse_level(size, centre, rng.uniform(0.3, 0.5)) - 1) / 0.025
    return rim * np.exp(0.5 - rim**2 / 2)


def _bubbles(rng: np.random.Generator, size: int) -> Array:
    canvas = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 7))):
        radius = rng.uniform(0.01, 0.035)
        rim = (_ellipse_level(size, rng.uniform(0, 1, 2), radius) - 1) / 0.3
        canvas += rim * np.exp(0.5 - rim**2 / 2)
    return canvas


def _field(rng: np.random.Generator, size: int) -> Array:
    """The dermatoscope's round field: 1 inside, near 0 outside; corners or more are dark."""
    radius = rng.uniform(0.42, 0.54) if rng.random() < 0.17 else rng.uniform(0.57, 0.66)
    level = _ellipse_level(size, rng.normal(0.5, 0.03, 2), radius)
    edge = rng.uniform(0.01, 0.06)
    return 0.03 + 0.97 / (1 + np.exp(np.clip((level - 1) / edge * 2, -30, 30)))
