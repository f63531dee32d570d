"""The UNet of the paper, with padding, up-sampling, width, depth and norm as settings."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.errors import UsageError, check_choice
from jaxseg.nets.layers import (
    NORMS,
    UPSAMPLING_MODES,
    DoubleConv,
    Upsample,
    max_pool,
    torch_uniform,
)
from jaxseg.nets.padding import PADDING_MODES, Mode, check_padding

DEEPEST = 16  # poolings: a frame of 65,536 pixels ends as one
DTYPES: tuple[str, ...] = ("float32", "bfloat16")


class UNet(nn.Module):
    """U-Net in the form of the paper's PyTorch code, weight for weight.

    At its defaults 64-128-256-512-512 channels down four poolings, two conv-BN-ReLU per level,
    bilinear up-sampling with aligned corners: 17,267,393 parameters with one logit.

    Attributes:
        classes: foreground classes, one logit each; the background is where all are negative.
        width: channels of the first level; doubled at each of the first depth - 1 poolings.
        depth: number of poolings; height and width must be multiples of 2**depth.
        padding: a mode of `PADDING_MODES`, for every 3×3 convolution.
        upsampling: `align_corners`, `half_pixel`, `nearest` or `transposed`.
        norm: `batch`, `group` or `none`.
        dtype: `float32`, or `bfloat16` for activations and products of convolutions; parameters,
            moments, sums and logits are float32 either way (mixed precision).
        batch_axis: mapped axis over which batch moments are averaged, if any.
    """

    classes: int = 1
    width: int = 64
    depth: int = 4
    padding: str = "zeros"
    upsampling: str = "align_corners"
    norm: str = "batch"
    dtype: str = "float32"
    batch_axis: str | None = None

    @property
    def poolings(self) -> tuple[int, ...]:
        """How often the frame is halved."""
        return (self.depth,)

    @nn.nowrap
    def check_frame(self, height: int, width: int) -> None:
        """Raises UsageError for a setting out of its range or a frame the network cannot serve."""
        check_settings(self, height, width)

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool = False, padding_code: jax.Array | None = None
    ) -> jax.Array:
        """Logits of an image batch.

        Args:
            x: float [batch, height, width, channel], values in [-1, 1].
            train: normalise by batch moments and update the running ones.
            padding_code: int32 scalar that overrides `padding` by one of the standard modes.

        Returns:
            float32 [batch, height, width, classes].

        Raises:
            UsageError: an unknown setting, or a size the settings cannot serve.
        """
        self.check_frame(x.shape[1], x.shape[2])
        mode: Mode = self.padding if padding_code is None else padding_code
        size = x.shape[1:3]
        x = mirrored(x, self.padding, self.depth, self.upsampling).astype(self.dtype)
        block = lambda features, name, middle=None: DoubleConv(  # noqa: E731
            features, middle, norm=self.norm, batch_axis=self.batch_axis, name=name
        )
        widths = level_widths(self.width, self.depth, self.upsampling)
        skips = [block(widths[0], "inc")(x, mode, train)]
        for level in range(1, self.depth + 1):
            pooled = max_pool(skips[-1])
            skips.append(block(widths[level], f"down{level}")(pooled, mode, train))
        y = skips.pop()
        for level in range(1, self.depth + 1):
            features, middle = decoder_widths(self.width, self.depth, level, self.upsampling)
            y = Upsample(self.upsampling, name=f"upsample{level}")(y, mode)
            y = jnp.concatenate([crop_centre(skips.pop(), y.shape[1:3]), y], axis=-1)
            y = block(features, f"up{level}", middle)(y, mode, train)
        head = output_layer(y.shape[-1], self.classes)
        return crop_centre(head(y.astype(jnp.float32)), size)


def output_layer(features: int, classes: int) -> nn.Dense:
    """The 1×1 convolution from [..., features] to logits [..., classes]."""
    init = torch_uniform(features)
    return nn.Dense(classes, kernel_init=init, bias_init=init, name="outc")


def mirrored(x: jax.Array, padding: str, depth: int, upsampling: str) -> jax.Array:
    """Under `valid` a frame [B, H, W, C] mirrored far enough for the output to keep its size."""
    if padding != "valid":
        return x
    for axis in (1, 2):
        margin = valid_margin(x.shape[axis], depth, upsampling)
        widths = [(margin, margin) if a == axis else (0, 0) for a in range(4)]
        x = jnp.pad(x, widths, mode="reflect")
    return x


def with_background_logit(logits: jax.Array) -> jax.Array:
    """Logits [..., classes] with that of the background, 0, before them: [..., 1 + classes].

    Their softmax are the probabilities of exclusive classes.
    """
    return jnp.concatenate([jnp.zeros_like(logits[..., :1]), logits], axis=-1)


def level_widths(width: int, depth: int, upsampling: str) -> list[int]:
    """Channels of the encoder's levels, the deepest last: [64, 128, 256, 512, 512] at defaults."""
    widths = [width * 2**level for level in range(depth + 1)]
    if upsampling != "transposed" and depth > 0:
        widths[-1] //= 2
    return widths


def decoder_widths(width: int, depth: int, level: int, upsampling: str) -> tuple[int, int | None]:
    """(output, middle) channels of decoder block `level` = 1 … depth, as in the PyTorch UNet."""
    joined = width * 2 ** (depth - level + 1)
    if upsampling == "transposed":
        return joined // 2, None
    return (width if level == depth else joined // 4), joined // 2


def check_settings(net: Any, height: int, width: int) -> None:
    """Raises UsageError for a setting out of its range or a frame the network cannot serve.

    `net` is a UNet, or a network that has its attributes.
    """
    check_choice("net.padding", net.padding, PADDING_MODES)
    check_choice("net.upsampling", net.upsampling, UPSAMPLING_MODES)
    check_choice("net.norm", net.norm, NORMS)
    check_choice("net.dtype", net.dtype, DTYPES)
    for name in ("classes", "width", "depth"):
        if getattr(net, name) < 1:
            raise UsageError(f"net.{name}={getattr(net, name)}: must be at least 1")
    if net.depth > DEEPEST:
        raise UsageError(f"net.depth={net.depth}: must be at most {DEEPEST}")
    if net.width % 2 and net.upsampling != "transposed":
        raise UsageError(f"net.width={net.width}: must be even (decoder blocks halve it)")
    factor = 2**net.depth
    for size in (height, width):
        if size % factor or size == 0:
            raise UsageError(
                f"data.size={size}: must be a multiple of {factor} = 2**net.depth, so that "
                f"{net.depth} poolings halve it evenly; use {max(1, round(size / factor)) * factor}"
            )
        check_padding(net.padding, 1, size // factor, f"level {net.depth} of a {size}-pixel frame")


def valid_margin(size: int, depth: int, upsampling: str) -> int:
    """Pixels to mirror on each side so that a `valid` UNet returns at least `size` pixels."""
    margin = 0
    while _valid_output(size + 2 * margin, depth, upsampling) < size:
        margin += 1
    return margin


def _valid_output(size: int, depth: int, upsampling: str) -> int:
    """Output size of a `valid` UNet for an input size; -1 where a level cannot be halved."""
    for _ in range(depth):
        size -= 4
        if size < 2 or size % 2:
            return -1
        size //= 2
    size -= 4
    for _ in range(depth):
        size = 2 * size - 4 * (upsampling == "half_pixel") - 4
        if size < 1:
            return -1
    return size


def crop_centre(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """The centre of [B, H, W, C] at `size`; only `valid` networks have more than that."""
    top, left = ((x.shape[axis] - n) // 2 for axis, n in ((1, size[0]), (2, size[1])))
    return x[:, top : top + size[0], left : left + size[1]]
