"""Whole frames moved round: what padding and what up-sampling each contribute to the shift error.

A frame that is rolled (what leaves on one side comes in on the other) shows the same pixels in the
same surroundings to a network with circular padding: if that network has no other sense of place,
its logits roll along (Kayhan & van Gemert 2020). Three things can break that: the padding,
up-sampling with aligned corners, and pooling, which keeps every 2**depth-th phase apart (Zhang
2019). Shifts by multiples of 2**depth leave pooling out.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics.bootstrap import Estimate, mean_estimate
from jaxseg.nets.registry import Network
from jaxseg.studies.models import Model, network_model, relative_error
from jaxseg.studies.shift.moving import resized

# A UNet of these has no sense of place but for pooling.
OBLIVIOUS_PADDING, OBLIVIOUS_UPSAMPLING = "circular", "nearest"


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
    for padding in dict.fromkeys(paddings):
        for upsampling in dict.fromkeys(upsamplings):
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


def roll_frames(models: Sequence[Variant], images: Iterable[NDArray[np.uint8]]) -> list[Rolled]:
    """Shift errors of every variant on whole frames, uint8 [H, W, 3] squashed to the model's size.

    Raises JaxsegError without images.
    """
    errors = [
        [_errors(variant.model, resized(image, variant.model.size)) for variant in models]
        for image in images
    ]
    if not errors:
        raise JaxsegError("shift: no image could be used; see what was left out")
    columns = np.moveaxis(np.asarray(errors), 0, -1)
    return [Rolled(v.padding, v.upsampling, v.own, *column) for v, column in zip(models, columns)]


def _errors(model: Model, image: NDArray[np.uint8]) -> tuple[float, float]:
    """(mean relative error over aligned shifts, over others) of one frame."""
    parts = shifts(model.size, model.factor)
    moved = [np.roll(image, shift, (0, 1)) for part in parts for shift in part]
    still, *responses = model.respond(np.stack([image, *moved]))
    each = [
        relative_error(response, np.roll(still, shift, (0, 1)), model.logits)
        for response, shift in zip(responses, [s for part in parts for s in part])
    ]
    split = len(parts[0])
    aligned, between = (
        [error for error in part if not np.isnan(error)] for part in (each[:split], each[split:])
    )
    return (
        float(np.mean(aligned)) if aligned else np.nan,
        float(np.mean(between)) if between else np.nan,
    )
