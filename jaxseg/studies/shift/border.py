"""What a network's border does: how far it reaches into a prediction, and what it contributes.

Reach. What lies beyond the frame is unknown to a network, whatever fills it: every convolution next
to the border takes in a made-up pixel, poolings and up-samplings carry that on, and each later
layer takes it further. The theoretical reach counts the pixels whose logits could depend on it, the
measured reach those whose logits do (Alsallakh et al. 2021 and Islam et al. 2024 show why the two
differ).

Rolled frames. A frame that is rolled (what leaves on one side comes in on the other) shows the same
pixels in the same surroundings to a network with circular padding: if that network has no other
sense of place, its logits roll along (Kayhan & van Gemert 2020). Three things can break that: the
padding, up-sampling with aligned corners, and pooling, which keeps every 2**depth-th phase apart
(Zhang 2019). Shifts by multiples of 2**depth leave pooling out.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics.bands import border_depth
from jaxseg.metrics.bootstrap import Estimate, mean_estimate
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import valid_margin
from jaxseg.studies.models import Model, network_model, relative_error
from jaxseg.studies.shift.moving import NO_IMAGE, Frame, Image, resized

NOTICEABLE = 0.01  # of the logits' standard deviation
ROUNDING = 1e-5  # of the largest logit: what float32 sums in another order differ by
REACH_IMAGES = 8
# A UNet of these has no sense of place but for pooling.
OBLIVIOUS_PADDING, OBLIVIOUS_UPSAMPLING = "circular", "nearest"
Unknown = NDArray[np.bool_]
FramesAt = Callable[[int], Iterable[Frame]]


def theoretical_reach(net: Network) -> int | None:
    """Pixels from the border whose logits can depend on what lies beyond it.

    94 for a UNet of depth 4 with `nearest` or `transposed`, 109 with `half_pixel` or
    `align_corners`. Under `valid` it is the reach of the mirrored margin. Aligned corners and group
    normalisation also depend on the size of the frame, everywhere; that is not counted here. None
    for a network that is not made of UNets, whose layers are not known.
    """
    if net.poolings is None or net.padding is None or net.upsampling is None:
        return None
    # Wide enough that the two borders do not meet, and pooled as evenly as any frame.
    size = 2 ** (max(net.poolings) + 5)
    unknown = np.zeros(size, bool)
    for depth in net.poolings:
        margin = valid_margin(size, depth, net.upsampling) if net.padding == "valid" else 0
        wide = np.pad(unknown, margin, constant_values=True)
        logits = _through_unet(wide, depth, net.upsampling, edge=net.padding != "valid")
        start = (len(logits) - size) // 2
        unknown = logits[start : start + size]
    return int(max(np.argmin(unknown), np.argmin(unknown[::-1])))


def _through_unet(unknown: Unknown, depth: int, upsampling: str, edge: bool) -> Unknown:
    """Which logits along an axis depend on input pixels that are unknown: bool [n] -> [m].

    `edge`: whether convolutions pad, with what is unknown.
    """
    skips = [_double_conv(unknown, edge)]
    for _ in range(depth):
        skips.append(_double_conv(skips[-1][0::2] | skips[-1][1::2], edge))
    y = skips.pop()
    while skips:
        y = _upsample(y, upsampling, edge)
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


class Reach(NamedTuple):
    """How far the border reaches.

    Attributes:
        theoretical: pixels, None where the architecture is not known.
        side: side in pixels of the frames that it is measured on.
        surroundings: real surroundings against the border, see `surroundings_profile`.
        padding: the network's own padding against `other`, see `padding_profile`; None where there
            is none to exchange, and for `valid` networks, whose maps are larger than the frame and
            pooled elsewhere.
        other: that other padding.
    """

    theoretical: int | None
    side: int
    surroundings: Profile
    padding: Profile | None
    other: str


def measure_reach(model: Model, frames_at: FramesAt, theoretical: int | None) -> Reach:
    """The reach of a model's border, on at most 8 frames.

    Where it is known in theory, frames are large enough to have an interior that it does not touch.
    Otherwise the border is looked at from half a frame further out.

    Raises JaxsegError for a model that does not take frames of another size than its own.
    """
    factor = model.factor
    if theoretical is None:
        side, margin = model.size, max(1, model.size // 2 // factor) * factor
    else:
        side, margin = measuring_side(model, theoretical), -(-theoretical // factor) * factor
    images = list(itertools.islice(images_at(frames_at, 2 * model.size), REACH_IMAGES))
    around = surroundings_profile(model, images, margin, side)
    net = model.net
    other = None if net is None or net.padding == "valid" else other_padding(net, model.size)
    if other is None or other.padding is None:
        return Reach(theoretical, side, around, None, "")
    swapped = network_model(model.name, other, model.variables, model.size)
    alone = padding_profile(model, swapped, images, side)
    return Reach(theoretical, side, around, alone, other.padding)


def images_at(frames_at: FramesAt, side: int) -> Iterator[Image]:
    """The images of all frames, squashed to a side in pixels."""
    return (resized(image, side) for _, image, _ in frames_at(side))


def measuring_side(model: Model, reach: int) -> int:
    """Side of a frame in which the border's reach leaves an interior, at least the model's own.

    A multiple of the model's factor, so that any UNet takes it.
    """
    least = 2 * (reach + model.factor)
    return max(model.size, -(-least // model.factor) * model.factor)


def surroundings_profile(model: Model, images: Iterable[Image], margin: int, side: int) -> Profile:
    """The centre of a frame, `side` pixels, on its own against the same pixels with surroundings.

    `images` are uint8 [F, F, 3], of any size; where they end they are mirrored. `margin` is the
    width of the surroundings, a multiple of the model's factor; less than the theoretical reach
    would show the larger frame's own border too.
    """
    inner = slice(margin, margin + side)
    wide = (centre_with_surroundings(image, side, margin)[None] for image in images)
    return _profile(
        (model.respond(w[:, inner, inner])[0], model.respond(w)[0][inner, inner]) for w in wide
    )


def padding_profile(model: Model, other: Model, images: Iterable[Image], side: int) -> Profile:
    """The same weights and the same pixels with another padding: what padding alone reaches.

    Up-sampling with aligned corners cannot be separated from padding by `surroundings_profile`,
    as it depends on the frame's size everywhere; here the size is the same.
    """
    windows = (centre_with_surroundings(image, side, 0)[None] for image in images)
    return _profile((other.respond(w)[0], model.respond(w)[0]) for w in windows)


def centre_with_surroundings(image: Image, size: int, margin: int) -> Image:
    """The centre of [F, F, 3] and `margin` pixels about it, mirrored where the image ends."""
    missing = max(0, -(-(size + 2 * margin - image.shape[0]) // 2))
    wide = np.pad(image, ((missing, missing), (missing, missing), (0, 0)), mode="symmetric")
    start = (wide.shape[0] - size) // 2 - margin
    part = slice(start, start + size + 2 * margin)
    return wide[part, part]


def _profile(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Profile:
    """How pairs (another response, the response) differ, an image each."""
    rows = []
    for a, b in pairs:
        difference = np.abs(np.asarray(a, np.float64) - b).max(axis=-1)
        depth = border_depth(difference.shape).ravel()
        rings = np.bincount(depth)
        rms = np.sqrt(np.bincount(depth, np.square(difference).ravel()) / rings)
        largest = np.zeros(len(rings))
        np.maximum.at(largest, depth, difference.ravel())
        rows.append((rms, largest, b.std(dtype=np.float64), float(np.abs(b).max()) or 1.0))
    if not rows:
        raise JaxsegError(NO_IMAGE)
    return Profile(*(np.stack(column) for column in zip(*rows)))


def relative_profile(profile: Profile) -> NDArray[np.float64]:
    """Root mean square difference over the response's standard deviation, by depth: [depths]."""
    deviation = np.sqrt(np.mean(np.square(profile.deviation)))
    rms = np.sqrt(np.mean(np.square(profile.rms), axis=0))
    return rms / deviation if deviation else np.where(rms > 0, np.inf, 0.0)


def noticeable_reach(profile: Profile) -> int:
    """Pixels from the border up to the last depth at which the difference passes NOTICEABLE."""
    passes = np.flatnonzero(relative_profile(profile) > NOTICEABLE)
    return int(np.max(passes, initial=-1)) + 1


def full_reach(profile: Profile) -> int:
    """As `noticeable_reach`, for the largest difference of any pixel beyond ROUNDING."""
    passes = np.flatnonzero((profile.largest / profile.scale[:, None]).max(axis=0) > ROUNDING)
    return int(np.max(passes, initial=-1)) + 1


class Variant(NamedTuple):
    """The same weights under one padding and one up-sampling; `own` are those of the model.

    Both are empty for a model without that setting.
    """

    padding: str
    upsampling: str
    own: bool
    model: Model


class Rolled(NamedTuple):
    """Shift errors of one variant.

    `aligned` and `between` are float [images]: the mean relative error over shifts that are
    multiples of the model's factor, and over others. The rest is as in `Variant`.
    """

    padding: str
    upsampling: str
    own: bool
    aligned: NDArray[np.float64]
    between: NDArray[np.float64]

    @property
    def aligned_error(self) -> Estimate:
        """Mean over images of `aligned`."""
        return mean_estimate(self.aligned)

    @property
    def between_error(self) -> Estimate:
        """Mean over images of `between`."""
        return mean_estimate(self.between)


def variants(model: Model) -> list[Variant]:
    """The model's weights under zero, circular and its own padding × its own and other up-sampling.

    A function has its own alone, as has a network without these settings; left out is what has
    weights of its own (`transposed` up-sampling) or what the network does not take.
    """
    net = model.net
    if net is None:
        return [Variant("", "", True, model)]
    paddings, upsamplings = [net.padding], [net.upsampling]
    if net.padding is not None:
        paddings += ["zeros", OBLIVIOUS_PADDING]
    if net.upsampling is not None:
        upsamplings += ["align_corners", OBLIVIOUS_UPSAMPLING]
    made = []
    pairs = itertools.product(dict.fromkeys(paddings), dict.fromkeys(upsamplings))
    for padding, upsampling in pairs:
        own = (padding, upsampling) == (net.padding, net.upsampling)
        other = net if padding is None else net.with_padding(padding)
        other = other if upsampling is None else other.with_upsampling(upsampling)
        if own or _fits(other, net, model.size):
            swapped = network_model(model.name, other, model.variables, model.size)
            made.append(Variant(padding or "", upsampling or "", own, swapped))
    return made


def _fits(other: Network, net: Network, size: int) -> bool:
    """Whether a network takes frames of `size` and the weights of `net`."""
    try:
        other.check(size)
    except UsageError:
        return False
    return other.shapes(size) == net.shapes(size)


def other_padding(net: Network, size: int) -> Network | None:
    """The network with circular padding, or with zeros if its own is circular.

    None for a network without padding switch, or that takes no such padding.
    """
    if net.padding is None:
        return None
    other = net.with_padding("zeros" if net.padding == OBLIVIOUS_PADDING else OBLIVIOUS_PADDING)
    return other if _fits(other, net, size) else None


def shifts(size: int, factor: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(shifts by multiples of `factor`, shifts between them), as (rows, columns).

    The first are empty for a frame of one `factor`, the second for a factor of 1.
    """
    half = factor * (size // factor // 2)
    aligned = [(factor, 0), (0, factor), (factor, factor), (half, half), (size - factor, half)]
    whole = [s for s in dict.fromkeys(aligned) if s[0] % size or s[1] % size]
    steps = dict.fromkeys((1, max(1, factor // 2))) if factor > 1 else ()
    return whole, [shift for step in steps for shift in ((step, 0), (0, step), (step, step))]


def roll_frames(models: Sequence[Variant], images: Iterable[Image]) -> list[Rolled]:
    """Shift errors of every variant on whole frames, uint8 [H, W, 3] squashed to the model's size.

    Raises JaxsegError without images.
    """
    errors = [
        [_roll_errors(variant.model, resized(image, variant.model.size)) for variant in models]
        for image in images
    ]
    if not errors:
        raise JaxsegError(NO_IMAGE)
    columns = np.moveaxis(np.asarray(errors), 0, -1)
    return [Rolled(v.padding, v.upsampling, v.own, *column) for v, column in zip(models, columns)]


def _roll_errors(model: Model, image: Image) -> tuple[float, float]:
    """(mean relative error over aligned shifts, over others) of one frame."""
    aligned, between = shifts(model.size, model.factor)
    moved = [np.roll(image, shift, (0, 1)) for shift in (*aligned, *between)]
    still, *responses = model.respond(np.stack([image, *moved]))
    of_shift = iter(responses)  # first all aligned ones

    def mean_error(part: Sequence[tuple[int, int]]) -> float:
        errors = [
            relative_error(next(of_shift), np.roll(still, shift, (0, 1)), model.logits)
            for shift in part
        ]
        defined = [error for error in errors if not np.isnan(error)]
        return float(np.mean(defined)) if defined else np.nan

    return mean_error(aligned), mean_error(between)
