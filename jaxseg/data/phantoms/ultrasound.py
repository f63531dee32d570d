"""Generated fetal ultrasound frames of four standard planes: no download, no patient.

They replace private fetal scans (head, abdomen, femur and cervix with 13 structures, as in Lin et
al. 2024) in quick or offline experiments. What is modelled on what:

    grey levels             HC18's frames inside the fan: mean 52 ± 13, SD 41 ± 7, median 41
    fan, beams, shadows     a curved array: computed along beams, converted to pixels last
    speckle                 Rayleigh intensities of 1 to 3 looks (Burckhardt 1978), log-compressed,
                            correlated by the pulse and the beam, hence coarser with depth
    bone                    skull, femur, spine: bright where the beam meets them head on, gone
                            where it grazes them, dark behind; enhancement behind fluid
    depth gain              attenuation is made up for by a gain curve that never quite fits
    anatomy                 `anatomy`, with unlabelled neighbours beside it

Why a shortcut can arise. Borders fade out along their way, structures are softer, fainter and
noisier than their masks, other pockets and lines look like them, and in three frames of ten the
contrast is so low that the structures can hardly be seen. A sonographer's calipers at the ends of a
structure's axes show what such a frame does not: a network that finds the marks does not have to
find the organ. The frames themselves hold no mark of any kind, and grey alone in their three
channels.

Everything is computed on a grid of beams, [depth, beam], as a scanner does, and converted to pixels
last: speckle is coarser with depth and shadows run along beams for that reason alone. Levels are in
dB, lengths in frame heights.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.phantoms import generator
from jaxseg.data.phantoms.anatomy import PLANES, Part, Shape, Structure, level, sample_parts

Array = np.ndarray
DEPTHS, BEAMS = 224, 160


class Fan(NamedTuple):
    """The field of view of a curved array: a sector of a ring around `apex`."""

    apex: Array  # x, y
    inner: float
    outer: float
    half_angle: float

    @property
    def radii(self) -> Array:
        """Distance of each sample from the apex. [DEPTHS, 1]."""
        return np.linspace(self.inner, self.outer, DEPTHS, dtype=np.float32)[:, None]

    @property
    def angles(self) -> Array:
        """Angle of each beam against the frame's vertical. [1, BEAMS]."""
        return np.linspace(-self.half_angle, self.half_angle, BEAMS, dtype=np.float32)[None, :]

    @property
    def depths(self) -> Array:
        """Depth of each sample from 0 at the probe's face to 1. [DEPTHS, 1]."""
        return (self.radii - self.inner) / (self.outer - self.inner)

    @property
    def step(self) -> float:
        """Distance between samples along a beam."""
        return (self.outer - self.inner) / (DEPTHS - 1)


def sample_fan(rng: np.random.Generator) -> Fan:
    """A field of view whose face touches the frame's top; its sides may leave the frame."""
    inner = rng.uniform(0.3, 0.6)
    top, bottom = rng.uniform(-0.06, 0.05), rng.uniform(0.95, 1.08)
    apex = np.array([0.5 + rng.normal(0, 0.015), top - inner], np.float32)
    return Fan(apex, inner, inner + bottom - top, rng.uniform(0.38, 0.58))


def beam_points(fan: Fan) -> Array:
    """Where each sample of the beams lies: [2, DEPTHS, BEAMS], x and y in frame fractions."""
    x, y = fan.radii * np.sin(fan.angles), fan.radii * np.cos(fan.angles)
    return np.stack([x + fan.apex[0], y + fan.apex[1]])


def pixel_points(size: int) -> Array:
    """Centres of the pixels: [2, size, size], x and y in frame fractions."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.stack(np.meshgrid(axis, axis))


def in_fan(fan: Fan, points: Array) -> Array:
    """Which points of [2, h, w] the beams reach: bool [h, w]."""
    radius, angle = _polar(fan, points)
    return (np.abs(radius - (fan.inner + fan.outer) / 2) <= (fan.outer - fan.inner) / 2) & (
        np.abs(angle) <= fan.half_angle
    )


def incidence(fan: Fan, level: Array) -> tuple[Array, Array]:
    """How squarely the beam meets a level set, 0 to 1, and the level's slope per frame height."""
    along = cv2.Sobel(level, cv2.CV_32F, 0, 1, scale=1 / 8) / fan.step
    between = fan.radii * (2 * fan.half_angle / (BEAMS - 1))
    across = cv2.Sobel(level, cv2.CV_32F, 1, 0, scale=1 / 8) / between
    slope = np.hypot(along, across) + 1e-6
    return np.abs(along) / slope, slope


def smooth_noise(rng: np.random.Generator, down: int, across: int) -> Array:
    """Noise of about unit variance with `down` x `across` bumps: float32 [DEPTHS, BEAMS]."""
    values = rng.standard_normal((down, across), np.float32)
    return cv2.resize(values, (BEAMS, DEPTHS), interpolation=cv2.INTER_CUBIC)


def attenuate(echo: Array, attenuation: Array, fan: Fan) -> Array:
    """Echo level behind all that its beam has crossed; at most 30 dB are taken, 8 dB given."""
    crossed = np.cumsum(attenuation, axis=0) * fan.step
    return echo - np.clip(crossed, -8, 30)


def speckle(rng: np.random.Generator, looks: int) -> Array:
    """Speckle in dB around 0: log of a mean of `looks` Rayleigh intensities. [DEPTHS, BEAMS]."""
    axial, lateral = rng.uniform(1.6, 2.6), rng.uniform(1.6, 2.8)
    power = np.zeros((DEPTHS, BEAMS), np.float32)
    for _ in range(2 * looks):  # in-phase and quadrature parts
        part = rng.standard_normal((DEPTHS, BEAMS), np.float32)
        power += cv2.GaussianBlur(part, (0, 0), sigmaX=lateral, sigmaY=axial) ** 2
    return 10 * np.log10(power / power.mean() + 1e-4)


def compress(level: Array, floor: float, span: float, gamma: float) -> Array:
    """dB -> grey values by a scanner's map: black up to `floor`, white from `floor` + `span` on.

    float32 0..255; `gamma` above 1 spares the highlights, as scanners' default maps do.
    """
    return 255 * np.clip((level - floor) / span, 0, 1) ** gamma


def scan_convert(fan: Fan, beams: Array, size: int) -> Array:
    """Grey values of the beams [DEPTHS, BEAMS] as pixels [size, size], 0 beyond the fan."""
    fine = math.ceil(128 / size)  # small frames are averaged, not thinned out
    radius, angle = _polar(fan, pixel_points(fine * size))
    rows = (radius - fan.inner) / fan.step
    columns = (angle + fan.half_angle) * ((BEAMS - 1) / (2 * fan.half_angle))
    pixels = cv2.remap(beams, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)


def _polar(fan: Fan, points: Array) -> tuple[Array, Array]:
    x, y = points - fan.apex[:, None, None]
    return np.hypot(x, y), np.arctan2(x, y)


class Scene(NamedTuple):
    """What the beams meet: level in dB and attenuation in dB per frame height, [depth, beam]."""

    echo: Array
    attenuation: Array


def plane_of_frame(index: int) -> str:
    """The plane that frame `index` shows: the four come in rotation."""
    return PLANES[index % len(PLANES)]


def draw_frame(seed: int, index: int, size: int = 128) -> tuple[Array, Array]:
    """Draws frame number `index` of the sequence `seed`; a pure function of its three arguments.

    Frames of different `size` (pixels, at least 32) show the same scene. Returns the image, uint8
    [size, size, 3] RGB with equal channels, and the mask, uint8 [size, size] of class indices (row
    of STRUCTURES + 1, 0 background), in the fan only and never empty. Raises UsageError for a
    negative seed or index or a smaller size.
    """
    rng = generator(seed, index, size)
    fan = sample_fan(rng)
    parts = sample_parts(rng, plane_of_frame(index))
    pixels = scan_convert(fan, _beams(rng, fan, parts), size)
    points = pixel_points(size)
    mask = np.zeros((size, size), np.uint8)
    for part in parts:
        if part.label:
            mask[level(points, part.shape) < 1] = part.label
    return cv2.merge([np.rint(pixels).astype(np.uint8)] * 3), mask * in_fan(fan, points)


def _beams(rng: np.random.Generator, fan: Fan, parts: list[Part]) -> Array:
    """Grey values along the beams, float32 [depth, beam] in 0..255."""
    points = beam_points(fan)
    scene = _surroundings(rng, fan, points, parts[0].shape)
    contrast = rng.uniform(0.1, 0.35) if rng.random() < 0.3 else rng.uniform(0.5, 1.2)
    for part in parts:
        place = level(points, part.shape)
        scene = _surface(rng, fan, _body(rng, scene, place, part, contrast), place, part, contrast)
    # What the operator's gain curve leaves over: a slope and the ripple of its sliders.
    gain = rng.uniform(-8, 2) * (fan.depths - 0.4) + 1.5 * smooth_noise(rng, 8, 1)
    echo = attenuate(scene.echo, scene.attenuation, fan) + gain
    signal = echo + speckle(rng, looks=int(rng.integers(1, 4)))
    noise = speckle(rng, looks=1) + rng.uniform(-32, -25)
    total = 10 * np.log10(10 ** (signal / 10) + 10 ** (noise / 10))
    floor, span = rng.uniform(-33, -26), rng.uniform(46, 55)
    return compress(total, floor, span, gamma=2.2)


def _surroundings(rng: np.random.Generator, fan: Fan, points: Array, main: Shape) -> Scene:
    """Patchy tissue, the layers below the probe's face and, in most frames, a pocket of fluid."""
    echo = 6 * smooth_noise(rng, 4, 4) + 3 * smooth_noise(rng, 14, 9) + smooth_noise(rng, 40, 24)
    for _ in range(rng.integers(1, 5)):
        place = rng.uniform(0.02, 0.25) + 0.02 * smooth_noise(rng, 2, 4)
        distance = (fan.depths - place) / rng.uniform(0.006, 0.02)
        echo += rng.uniform(5, 16) * np.exp(-0.5 * distance**2)
    fluid = np.zeros_like(echo)
    if rng.random() < 0.6:  # amniotic fluid, beside and around the main structure
        shift = rng.normal(0, 0.5, 2) * main.axes.max()
        axes = main.axes * rng.uniform(0.8, 1.6, 2)
        pocket = main._replace(centre=main.centre + shift, axes=axes)
        fluid = _inside(level(points, pocket) + 0.06 * smooth_noise(rng, 9, 9), 0.05)
    return Scene(echo - 28 * fluid, 6 - 21 * fluid)


def _inside(place: Array, softness: float) -> Array:
    """1 inside the outline, 0 outside, one half on it; `softness` in units of the outline."""
    return 1 / (1 + np.exp(np.clip((place - 1) / softness * 2, -30, 30)))


def _body(
    rng: np.random.Generator, scene: Scene, place: Array, part: Part, contrast: float
) -> Scene:
    """The scene with a structure's inside: the first replaces what was there, others add to it."""
    inside = _inside(place, rng.uniform(0.03, 0.12))
    row: Structure = part.structure
    echo, attenuation = inside * row.echo * contrast, inside * row.attenuation * contrast
    if not part.is_main:
        return Scene(scene.echo + echo, scene.attenuation + attenuation)
    texture = 2.5 * smooth_noise(rng, 12, 10) + 1.5 * smooth_noise(rng, 30, 20)
    return Scene(
        scene.echo * (1 - inside) + inside * texture + echo,
        scene.attenuation * (1 - inside) + attenuation,
    )


def _surface(
    rng: np.random.Generator, fan: Fan, scene: Scene, place: Array, part: Part, contrast: float
) -> Scene:
    """The scene with a structure's border: a specular line that fades where the beam grazes it."""
    squarely, slope = incidence(fan, place)
    rim = np.exp(-0.5 * ((place - 1) / slope / rng.uniform(0.007, 0.014)) ** 2)
    rim *= squarely**2 * np.clip(0.75 + 0.5 * smooth_noise(rng, 9, 7), 0, 1.2)
    return Scene(
        scene.echo + rim * part.structure.rim * (0.3 + 0.7 * contrast),
        scene.attenuation + rim * part.structure.rim_attenuation * contrast,
    )
