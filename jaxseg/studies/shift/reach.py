"""How far the border reaches into a prediction: by the architecture, and measured.

What lies beyond the frame is unknown to a network, whatever fills it: every convolution next to the
border takes in a made-up pixel, poolings and up-samplings carry that on, and each later layer takes
it further. The theoretical reach counts the pixels whose logits could depend on it. The measured
reach counts those whose logits do (Alsallakh et al. 2021 and Islam et al. 2024 show why the two
differ).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError
from jaxseg.metrics.bands import border_depth
from jaxseg.nets.unet import UNet, valid_margin
from jaxseg.studies.models import Model

NOTICEABLE = 0.01  # of the logits' standard deviation
ROUNDING = 1e-5  # of the largest logit: what float32 sums in another order differ by
Unknown = NDArray[np.bool_]


def theoretical_reach(net: UNet) -> int:
    """Pixels from the border whose logits can depend on what lies beyond it.

    Follows one axis through the network's layers, up-samplings included: 94 for depth 4 with
    `nearest` or `transposed`, 109 with `half_pixel` or `align_corners`. Under `valid` it is the
    reach of the mirrored margin. Aligned corners and group normalisation also depend on the size
    of the frame, everywhere; that is not counted here.
    """
    # Wide enough that the two borders do not meet, and pooled as evenly as any frame.
    size = 2 ** (net.depth + 5)
    margin = valid_margin(size, net.depth, net.upsampling) if net.padding == "valid" else 0
    unknown = np.pad(np.zeros(size, bool), margin, constant_values=True)
    logits = _through_network(unknown, net)
    start = (len(logits) - size) // 2
    logits = logits[start : start + size]
    return int(max(np.argmin(logits), np.argmin(logits[::-1])))


def _through_network(unknown: Unknown, net: UNet) -> Unknown:
    """Which logits along an axis depend on input pixels that are unknown: bool [n] -> [m]."""
    edge = net.padding != "valid"
    skips = [_double_conv(unknown, edge)]
    for _ in range(net.depth):
        skips.append(_double_conv(skips[-1][0::2] | skips[-1][1::2], edge))
    y = skips.pop()
    while skips:
        y = _upsample(y, net.upsampling, edge)
        skip = skips.pop()
        start = (len(skip) - len(y)) // 2
        y = _double_conv(y | skip[start : start + len(y)], edge)
    return y


def _double_conv(x: Unknown, edge: bool) -> Unknown:
    for _ in range(2):
        x = np.pad(x, int(edge), constant_values=True)
        x = x[:-2] | x[1:-1] | x[2:]
    return x


def _upsample(x: Unknown, method: str, edge: bool) -> Unknown:
    if method in ("nearest", "transposed"):
        return np.repeat(x, 2)
    if method == "align_corners":
        x = np.pad(x, 1, mode="edge")
    elif edge:
        x = np.pad(x, 1, constant_values=True)
    before, here, after = x[:-2], x[1:-1], x[2:]
    return np.stack([before | here, here | after], axis=1).ravel()


class Profile(NamedTuple):
    """How much responses differ, by whole pixels between a pixel and the border: 0, 1, …

    Attributes:
        rms: float [images, depths], root mean square difference.
        largest: float [images, depths].
        deviation: float [images], standard deviation of the response.
        scale: float [images], its largest absolute value, 1 where all are 0.
    """

    rms: NDArray[np.float64]
    largest: NDArray[np.float64]
    deviation: NDArray[np.float64]
    scale: NDArray[np.float64]


def measuring_side(model: Model, reach: int) -> int:
    """Side of a frame in which the border's reach leaves an interior, at least the model's own.

    A multiple of the model's factor, so that any UNet takes it.
    """
    least = 2 * (reach + model.factor)
    return max(model.size, -(-least // model.factor) * model.factor)


def surroundings_profile(
    model: Model, images: Iterable[NDArray[np.uint8]], margin: int, side: int | None = None
) -> Profile:
    """The centre of a frame on its own against the same pixels with what surrounds them.

    Args:
        model: its responses to frames of `side` and of `margin` more pixels on each side.
        images: uint8 [F, F, 3], of any size; where they end they are mirrored.
        margin: pixels, a multiple of the model's factor; at least the theoretical reach, or the
            larger frame's own border is seen too.
        side: of the part that is looked at; the model's own by default.
    """
    side = model.size if side is None else side
    inner = slice(margin, margin + side)
    profiles = []
    for image in images:
        wide = centre_with_surroundings(image, side, margin)
        alone = model.respond(wide[None, inner, inner])[0]
        profiles.append(_differences(alone, model.respond(wide[None])[0][inner, inner]))
    return _stacked(profiles)


def padding_profile(
    model: Model, other: Model, images: Iterable[NDArray[np.uint8]], side: int | None = None
) -> Profile:
    """The same weights and the same pixels with another padding: what padding alone reaches.

    Up-sampling with aligned corners cannot be told apart from padding by `surroundings_profile`,
    as it depends on the frame's size everywhere; here the size is the same.
    """
    side = model.size if side is None else side
    windows = (centre_with_surroundings(image, side, 0)[None] for image in images)
    return _stacked([_differences(other.respond(w)[0], model.respond(w)[0]) for w in windows])


def centre_with_surroundings(image: NDArray[np.uint8], size: int, margin: int) -> NDArray[np.uint8]:
    """The centre of [F, F, 3] and `margin` pixels about it, mirrored where the image ends."""
    missing = max(0, -(-(size + 2 * margin - image.shape[0]) // 2))
    wide = np.pad(image, ((missing, missing), (missing, missing), (0, 0)), mode="symmetric")
    start = (wide.shape[0] - size) // 2 - margin
    part = slice(start, start + size + 2 * margin)
    return wide[part, part]


def _differences(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray, ...]:
    """(rms [depths], largest [depths], deviation, scale) of one image, `b` the response."""
    difference = np.abs(np.asarray(a, np.float64) - b).max(axis=-1)
    depth = border_depth(difference.shape).ravel()
    rings = np.bincount(depth)
    rms = np.sqrt(np.bincount(depth, np.square(difference).ravel()) / rings)
    largest = np.zeros(len(rings))
    np.maximum.at(largest, depth, difference.ravel())
    scale = float(np.abs(b).max()) or 1.0
    return rms, largest, np.asarray(b.std(dtype=np.float64)), np.asarray(scale)


def _stacked(profiles: list[tuple[NDArray, ...]]) -> Profile:
    if not profiles:
        raise JaxsegError("shift: no image could be used; see what was left out")
    return Profile(*(np.stack(column) for column in zip(*profiles)))


def relative_profile(profile: Profile) -> NDArray[np.float64]:
    """Root mean square difference over the response's standard deviation, by depth: [depths]."""
    deviation = np.sqrt(np.mean(np.square(profile.deviation)))
    rms = np.sqrt(np.mean(np.square(profile.rms), axis=0))
    return rms / deviation if deviation else np.where(rms > 0, np.inf, 0.0)


def noticeable_reach(profile: Profile, tolerance: float = NOTICEABLE) -> int:
    """Pixels from the border up to the last depth at which the difference passes `tolerance`."""
    return _last(relative_profile(profile) > tolerance)


def full_reach(profile: Profile, tolerance: float = ROUNDING) -> int:
    """As `noticeable_reach`, for the largest difference of any pixel beyond rounding."""
    return _last(np.max(profile.largest / profile.scale[:, None], axis=0) > tolerance)


def _last(passes: NDArray[np.bool_]) -> int:
    return int(np.max(np.flatnonzero(passes), initial=-1)) + 1
