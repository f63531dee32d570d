"""Generated dermoscopy-like frames with one labelled lesion each: no download, no patient.

They replace ISIC 2017 task 1 (Codella et al. 2018) in quick or offline experiments. Colours come
from optical density (Beer-Lambert): every layer adds absorbance per channel, and the frame is light
times exp(-density). Modelled on the 2000 training frames, squashed square:

    skin median, lesion/skin ratio, absorber    their colour quantiles
    centre, area                                centre (0.496 +- 0.054, 0.508 +- 0.059) of the
                                                frame, area median 0.13 and log-normal
    warped ellipse, fuzzy edge, network, core   the lesions, faint ones included
    dark corners, round field, hairs, ruler     seen in about 40 %, 10 %, 35 % and 30 % of frames;
    ticks, ink, colour markers, gel, bubbles    4:3 circles are ellipses here as there
    decoys                                      neighbouring naevi and freckles; about every tenth
                                                real frame has one, most phantoms do

Why a shortcut can arise. A decoy is drawn by the same function, with the same pigment, as the
lesion, so a fragment of either looks alike. Only the place distinguishes them: in whole frames
(crop policy `center`) the lesion hardly ever reaches the border while decoys, vignettes, ink and
rulers do, so the rule "near the border = background" lowers the loss, and padding is one way to
locate the border. In the four quarters of the same frames the lesion lies in the corner of the
crop, at its border, and the rule is wrong. Random crops cut lesions anywhere and never teach it.
Nothing is drawn along the border of every frame, and nothing here depends on a padding mode.

Artefacts (hairs, rulers, ink, markers, gel, the round field) have the rates seen in ISIC 2017, and
positions and lengths that are fractions of the frame.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.phantoms import generator

Array = np.ndarray

BLOOD = np.array([0.35, 1.35, 1.30], np.float32)
GREY = np.array([1.10, 1.00, 0.90], np.float32)
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


class Blob(NamedTuple):
    """A warped ellipse in frame fractions; `radius` is that of the circle of equal area."""

    centre: Array
    radius: float
    elongation: float
    angle: float
    outline: Array  # radius factor at equally spaced angles, mean square 1
    softness: float  # width of the fuzzy edge, in radii


def draw_lesion(seed: int, index: int, size: int = 128) -> tuple[Array, Array]:
    """Draws frame number `index` of the sequence `seed`; a pure function of its three arguments.

    Frames of different `size` (pixels, at least 32) show the same scene. Returns the image, uint8
    [size, size, 3] RGB, and the mask, uint8 [size, size] in {0, 1}, never empty. Raises UsageError
    for a negative seed or index or a smaller size.
    """
    rng = generator(seed, index, size)
    points = _warped_grid(rng, size)
    # Centred, area log-normal; large lesions are held nearer the middle, as the frame forces.
    area = np.clip(rng.lognormal(np.log(0.13), 1.1), 0.012, 0.5)
    radius = float(np.sqrt(area / np.pi))
    spread = np.array([0.068, 0.075]) * (1 - radius)
    centre = np.array([0.494, 0.505]) + spread * rng.standard_normal(2)
    lesion = _sample_blob(rng, centre, radius)
    level = _level(points, lesion)
    mask = (level < 1).astype(np.uint8)
    weights = rng.dirichlet([4.0, 0.5, 0.9])
    absorber = (weights[:, None] * np.stack([MELANIN, BLOOD, GREY])).sum(0).astype(np.float32)
    strength = float(np.clip(rng.lognormal(np.log(0.38), 0.7), 0.1, 1.5))
    pigment = _pigment(rng, level, lesion, strength)
    for decoy in _sample_decoys(rng, mask):
        pigment += _pigment(rng, _level(points, decoy), decoy, strength * rng.uniform(0.6, 1.2))
    density = _skin_texture(rng, size) + np.multiply.outer(absorber, pigment)
    density += draw_absorbing(rng, size)
    image = _light(rng, size) * np.exp(-density)
    image = draw_opaque(rng, image, mask)
    image += rng.uniform(0.004, 0.012) * rng.standard_normal((size, size), np.float32)[None]
    return cv2.merge(list(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))), mask


def _noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Smooth noise of about unit variance with `cells` bumps across the frame: [size, size]."""
    values = rng.standard_normal((cells, cells), np.float32)
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)


def _warped_grid(rng: np.random.Generator, size: int) -> Array:
    """Pixel centres in frame fractions, shaken so that outlines are ragged: [2, size, size]."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    coarse, fine = rng.uniform(0.003, 0.009), rng.uniform(0.001, 0.004)
    shake = [coarse * _noise(rng, size, 9) + fine * _noise(rng, size, 32) for _ in range(2)]
    return np.stack([x, y]) + np.stack(shake)


def _sample_blob(rng: np.random.Generator, centre: Array, radius: float) -> Blob:
    elongation = float(np.exp(np.abs(0.25 * rng.standard_normal())))
    angle, softness = rng.uniform(0, np.pi), rng.uniform(0.03, 0.16)
    angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    orders = np.arange(2, 14)[:, None]
    size = rng.uniform(0.1, 0.5) * rng.standard_normal(orders.shape) / orders**1.5
    wave = (size * np.cos(orders * angles + rng.uniform(0, 2 * np.pi, orders.shape))).sum(0)
    outline = np.exp(wave)
    outline = (outline / np.sqrt(np.mean(outline**2))).astype(np.float32)
    return Blob(centre, radius, elongation, angle, outline, softness)


def _sample_decoys(rng: np.random.Generator, mask: Array) -> list[Blob]:
    """Spots that are not the lesion: clear of it, towards the border and often cut by it."""
    size = len(mask)
    clearance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) / size
    decoys = []
    for _ in range(rng.poisson(2.0)):
        radius = float(np.clip(rng.lognormal(np.log(0.08), 0.5), 0.03, 0.2))
        tries = rng.uniform(-0.04, 1.04, (24, 2))
        x, y = np.clip(tries * size, 0, size - 1).astype(int).T
        outer = np.abs(tries - 0.5).max(1) > 0.34
        good = tries[outer & (clearance[y, x] > 1.4 * radius + 0.02)]
        blob = _sample_blob(rng, good[0] if len(good) else np.zeros(2), radius)
        decoys += [blob] if len(good) else []
    return decoys


def _level(points: Array, blob: Blob) -> Array:
    """Distance from the blob's centre in units of its outline: below 1 inside. [size, size]."""
    x, y = points - blob.centre.astype(np.float32)[:, None, None]
    cos, sin = math.cos(blob.angle), math.sin(blob.angle)
    root = math.sqrt(blob.elongation)
    u, v = (x * cos + y * sin) / root, (y * cos - x * sin) * root
    distance, angle = cv2.cartToPolar(u / blob.radius, v / blob.radius)
    place = (angle * (len(blob.outline) / (2 * math.pi))).astype(np.int32) % len(blob.outline)
    return distance / blob.outline[place]


def _pigment(rng: np.random.Generator, level: Array, blob: Blob, strength: float) -> Array:
    """Optical density of a naevus: body, blotches, network and a core. [size, size]."""
    size = len(level)
    blotches = _noise(rng, size, int(np.clip(1.5 / blob.radius, 4, 32)))
    network = np.abs(_noise(rng, size, int(np.clip(7 / blob.radius, 16, 64)))) - 0.8
    core = rng.uniform(0, 1.2) * np.exp(-((level / rng.uniform(0.4, 0.8)) ** 2) + 0.5 * blotches)
    texture = 0.8 + rng.uniform(0.1, 0.5) * blotches - rng.uniform(0, 0.3) * network + core
    # Annotators take in the fuzzy edge: the body is half-way down a little inside the outline.
    body = 1 / (1 + np.exp(np.clip((level - 1 + blob.softness) / blob.softness * 2, -30, 30)))
    return strength * body * np.maximum(texture, 0.2)


def _skin_texture(rng: np.random.Generator, size: int) -> Array:
    """Density of uneven skin: patches, flush and grain. [3, size, size]."""
    patches = 0.03 * _noise(rng, size, 4) + rng.uniform(0, 0.05) * _noise(rng, size, 11)
    grain = rng.uniform(0, 0.03) * _noise(rng, size, 40)
    flush = rng.uniform(0, 0.05) * _noise(rng, size, 6)
    return np.multiply.outer(MELANIN, patches + grain) + np.multiply.outer(BLOOD, flush)


def _light(rng: np.random.Generator, size: int) -> Array:
    """Light returned by bare skin: its colour, a gradient and a soft fall-off. [3, size, size]."""
    green = 0.65 * np.exp(0.16 * rng.standard_normal())
    red = green * np.exp(max(0.03, 0.15 + 0.08 * rng.standard_normal()))
    blue = green * np.exp(-0.06 + 0.07 * rng.standard_normal())
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    tilt = rng.uniform(-0.1, 0.1, 2).astype(np.float32)
    gradient = tilt[0] * axis[None, :] + tilt[1] * axis[:, None]
    falloff = rng.uniform(0, 0.2) * (axis[None, :] ** 2 + 0.5 * axis[:, None] ** 2)
    colour = np.minimum(np.array([red, green, blue], np.float32), 0.97)
    return np.multiply.outer(colour, np.exp(gradient - falloff))


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
