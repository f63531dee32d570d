"""What the ultrasound phantoms show: four standard planes of a fetal scan and their 13 structures.

STRUCTURES is the one table: names, places and echoes; class index k is its row k - 1. Every
structure is an ellipse, a rod or a lobed ellipse, bent or not. Imports neither OpenCV nor
TensorFlow.
"""

import math
from typing import NamedTuple

import numpy as np

Array = np.ndarray
PLANES = ("head", "abdomen", "femur", "cervix")
HALF_WIDTHS = {"head": 0.34, "abdomen": 0.33, "femur": 0.31, "cervix": 0.33}  # medians, of a frame


class Structure(NamedTuple):
    """One row of the table; lengths in half-widths of the plane's first structure, levels in dB."""

    plane: str
    name: str
    centre: tuple[float, float]
    axes: tuple[float, float]  # half axes, along and across
    echo: float  # level inside, against soft tissue (first of a plane) or what lies around (others)
    rim: float  # level of the border where the beam meets it head on
    attenuation: float  # inside, dB per frame height beyond what depth gain makes up for
    rim_attenuation: float = 0.0
    angle: float = 0.0
    bend: float = 0.0  # how far the ends are bent aside, in half axes across
    power: float = 2.0  # of the superellipse: 2 ellipse, 4 rod
    lobes: int = 0  # order of the outline's wave
    lobing: float = 0.0  # its depth


STRUCTURES = (
    Structure("head", "head", (0.0, 0.0), (1.0, 0.78), -6, 36, 0, 260),
    Structure("head", "cavum septi pellucidi", (-0.46, 0.0), (0.22, 0.11), -14, 13, -8, power=4),
    Structure(
        "head", "thalami", (-0.02, 0.0), (0.23, 0.34), -7, 5, 0, lobes=2, lobing=-0.18, power=2.5
    ),
    Structure(
        "head", "cerebellum", (0.55, 0.02), (0.19, 0.42), 5, 8, 4, lobes=2, lobing=-0.25, bend=-0.3
    ),
    Structure("abdomen", "abdomen", (0.0, 0.0), (1.0, 0.90), -3, 12, 5),
    Structure("abdomen", "stomach", (0.05, 0.42), (0.34, 0.23), -22, 6, -14, angle=0.3, bend=0.4),
    Structure(
        "abdomen", "umbilical vein", (-0.38, -0.05), (0.42, 0.10), -16, 5, -8, bend=1.6, power=3
    ),
    Structure(
        "abdomen", "spine", (0.70, -0.05), (0.22, 0.22), 15, 6, 70, lobes=3, lobing=0.2
    ),
    Structure("femur", "thigh", (0.0, 0.0), (1.25, 0.50), -2, 9, 4, power=2.5),
    Structure(
        "femur", "femur", (0.0, 0.0), (0.88, 0.11), 20, 3, 260, bend=0.7, power=4, lobes=2,
        lobing=0.05,
    ),
    Structure("cervix", "cervix", (0.0, 0.0), (1.0, 0.42), -2, 4, 4, bend=0.25, power=2.5),
    Structure("cervix", "cervical canal", (0.0, 0.02), (0.72, 0.10), -10, 6, 0, bend=1.2, power=4),
    Structure(
        "cervix", "bladder", (-0.55, -0.68), (0.56, 0.28), -26, 6, -20, angle=-0.2, bend=-0.3
    ),
)  # fmt: skip
# Visible but never labelled: class 0, drawn after the structures of their plane.
LANDMARKS = (
    Structure("head", "falx", (-0.05, 0.0), (0.85, 0.02), 12, 0, 0, power=4),
    Structure("head", "choroid plexus", (0.30, 0.38), (0.20, 0.08), 10, 0, 0, angle=-0.3),
    Structure("head", "lateral ventricle", (0.15, 0.33), (0.45, 0.10), -7, 5, 0, bend=0.6),
    Structure("abdomen", "aorta", (0.45, 0.10), (0.06, 0.06), -18, 6, -8),
    Structure("abdomen", "adrenal gland", (0.40, -0.42), (0.20, 0.11), -5, 3, 0, bend=0.4),
    Structure("abdomen", "hepatic vein", (-0.05, -0.45), (0.28, 0.05), -12, 3, -6, angle=0.7),
    Structure("femur", "fascia", (0.0, -0.24), (1.0, 0.015), 10, 0, 0, bend=3, power=4),
    Structure("femur", "fascia", (0.1, 0.26), (0.8, 0.015), 8, 0, 0, bend=-3, power=4),
    Structure("cervix", "vaginal wall", (0.1, 0.52), (0.9, 0.02), 10, 0, 0, bend=5, power=4),
    Structure("cervix", "presenting part", (-1.35, 0.30), (0.42, 0.36), -6, 18, 0, 150),
)


class Shape(NamedTuple):
    """A structure as it lies in one frame, in frame fractions."""

    centre: Array
    axes: Array
    angle: float
    bend: float
    power: float
    outline: Array  # radius factor at equally spaced angles


class Part(NamedTuple):
    """One structure or landmark of a frame."""

    label: int  # class index, 0 for a landmark
    is_main: bool  # the plane's first structure, on which the others lie
    structure: Structure
    shape: Shape


def sample_parts(rng: np.random.Generator, plane: str) -> list[Part]:
    """The plane's structures, then its landmarks, at one shared, varied pose."""
    scale = HALF_WIDTHS[plane] * math.exp(0.18 * rng.standard_normal())
    mirror = rng.choice([-1.0, 1.0])  # left to right: upside down and turned by half a turn
    tilt = rng.normal(0, 0.25) + (math.pi if mirror < 0 else 0)
    origin = np.array([0.5, 0.54]) + rng.normal(0, [0.06, 0.05])
    rows = [(k, row) for k, row in enumerate(STRUCTURES, 1) if row.plane == plane]
    rows += [(0, row) for row in LANDMARKS if row.plane == plane]
    return [
        Part(label, n == 0, row, _place(rng, row, (origin, scale, tilt, mirror), jitter=n > 0))
        for n, (label, row) in enumerate(rows)
    ]


def _place(
    rng: np.random.Generator, row: Structure, pose: tuple[Array, float, float, float], jitter: bool
) -> Shape:
    """One structure under the plane's pose, with a separate pose error where `jitter` is set."""
    origin, scale, tilt, mirror = pose
    shift, turn = rng.normal(0, 0.05, 2) * jitter, rng.normal(0, 0.15) * jitter
    stretch = np.exp(0.12 * rng.standard_normal(2))
    x, y = (np.array(row.centre) + shift) * (1, mirror)
    cos, sin = math.cos(tilt), math.sin(tilt)
    centre = origin + scale * np.array([x * cos - y * sin, x * sin + y * cos])
    angle = tilt + mirror * (row.angle + turn)
    axes = scale * np.array(row.axes) * stretch
    angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    orders = np.arange(2, 7)[:, None]
    size = 0.035 * rng.standard_normal(orders.shape) / (orders - 1)
    wave = (size * np.cos(orders * angles + rng.uniform(0, 2 * np.pi, orders.shape))).sum(0)
    outline = (np.exp(wave) * (1 + row.lobing * np.cos(row.lobes * angles))).astype(np.float32)
    return Shape(centre, axes, angle, mirror * row.bend, row.power, outline)


def level(points: Array, shape: Shape) -> Array:
    """Distance from the centre in units of the outline, below 1 inside: [2, h, w] -> [h, w]."""
    x, y = points - shape.centre.astype(np.float32)[:, None, None]
    cos, sin = math.cos(shape.angle), math.sin(shape.angle)
    u = (x * cos + y * sin) / np.float32(shape.axes[0])
    v = (y * cos - x * sin) / np.float32(shape.axes[1])
    # Held beyond the ends, where the parabola would leave the frame.
    v = v - np.float32(shape.bend) * (np.minimum(u * u, 2) - np.float32(0.33))
    power = np.float32(shape.power)
    radius = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
    turns = np.arctan2(v, u) * np.float32(len(shape.outline) / (2 * math.pi))
    return radius / shape.outline[turns.astype(np.int32) % len(shape.outline)]
