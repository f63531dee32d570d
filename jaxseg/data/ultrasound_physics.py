"""How a curved-array scanner shows a scene: beams, shadows, speckle, log compression, the fan.

Everything is computed on a grid of beams, [depth, beam], as a scanner does, and converted to
pixels last: speckle is coarser with depth and shadows run along beams for that reason alone.
Levels are in dB, lengths in frame heights.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

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
