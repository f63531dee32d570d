"""The building blocks of the networks: convolution blocks, pooling and the up-sampling switch.

Up-sampling leaks position as padding does, so it is a separate axis:

=============  =====================================================================================
align_corners  bilinear with corner pixels aligned (the reference's): the sampling phase drifts
               across the frame, so the layer does not commute with translations
half_pixel     bilinear with pixel centres aligned; beyond the frame it uses the padding mode
nearest        every pixel repeated: commutes with translations exactly
transposed     learned 2×2 transposed convolution, stride 2 (`bilinear=False` in the reference)
=============  =====================================================================================
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.nets.convolution import conv3x3
from jaxseg.nets.normalisation import BatchNormRelu
from jaxseg.nets.padding import Mode, pad

UPSAMPLING_MODES: tuple[str, ...] = ("align_corners", "half_pixel", "nearest", "transposed")
NORMS: tuple[str, ...] = ("batch", "group", "none")
_GROUPS = 8
_SLOWEST_LAST = (2, 1)  # columns first: the second pass is the larger one and copies whole rows


def torch_uniform(fan_in: int) -> Callable:
    """Initialiser U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's default for convolutions."""
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv3x3(nn.Module):
    """3×3 convolution through the padding switch: float [B, H, W, in] -> [B, H, W, features].

    Returns the bias [features] beside it, not added: the normalisation adds it at less cost.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, mode: Mode) -> tuple[jax.Array, jax.Array]:
        init = torch_uniform(9 * x.shape[-1])
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        key = _noise_key(self) if isinstance(mode, str) and mode == "random" else None
        return conv3x3(x, kernel, mode, key=key), bias


def _noise_key(module: nn.Module) -> jax.Array:
    """Fresh noise where the caller gives a `padding` stream (training), else always the same."""
    if module.has_rng("padding"):
        return module.make_rng("padding")
    return jax.random.key(0)


class DoubleConv(nn.Module):
    """(3×3 convolution, norm, ReLU) twice: float [B, H, W, in] -> [B, H, W, features].

    Attributes:
        features: channels of the output.
        middle: channels between the two convolutions; None means `features`.
        norm: "batch" (momentum 0.9, epsilon 1e-5: PyTorch's 0.1 and 1e-5), "group" or "none".
        batch_axis: name of the mapped axis over which batch moments are averaged, if any.
    """

    features: int
    middle: int | None = None
    norm: str = "batch"
    batch_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, mode: Mode, train: bool) -> jax.Array:
        for i, features in enumerate((self.middle or self.features, self.features), start=1):
            x, bias = Conv3x3(features, name=f"conv{i}")(x, mode)
            x = self._normalise(x, bias, train, f"norm{i}")
        return x

    def _normalise(self, x: jax.Array, bias: jax.Array, train: bool, name: str) -> jax.Array:
        if self.norm == "batch":
            return BatchNormRelu(self.batch_axis, name=name)(x, bias, train)
        x = x + bias.astype(x.dtype)[None, None, None]
        if self.norm == "group":
            groups = np.gcd(_GROUPS, x.shape[-1]).item()
            x = nn.GroupNorm(num_groups=groups, name=name, dtype=x.dtype)(x)
        return nn.relu(x)


def max_pool(x: jax.Array) -> jax.Array:
    """2×2 maximum, stride 2: float [B, H, W, C] -> [B, H/2, W/2, C]; the first of equals wins.

    Comparing halves is faster than `flax.linen.max_pool`, whose backward pass scans windows.
    """
    batch, height, width, channels = x.shape
    rows = x.reshape(batch, height // 2, 2, width, channels)
    x = _larger(rows[:, :, 0], rows[:, :, 1])
    pairs = x.reshape(batch, height // 2, width // 2, 2 * channels)
    return _larger(pairs[..., :channels], pairs[..., channels:])


def _larger(first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.where(first >= second, first, second)


class Upsample(nn.Module):
    """Doubles height and width: float [B, H, W, C] -> [B, 2H, 2W, C].

    Under `valid` padding `half_pixel` returns [B, 2H-4, 2W-4, C]: the pixels that depend on no
    padding. `transposed` halves the channels.
    """

    method: str

    @nn.compact
    def __call__(self, x: jax.Array, mode: Mode) -> jax.Array:
        match self.method:
            case "align_corners":
                return _align_corners(x)
            case "half_pixel":
                return _half_pixel(x, mode)
            case "nearest":
                return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            case _:
                return self._transposed(x)

    def _transposed(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        features = channels // 2
        # PyTorch counts a transposed kernel's fan-in from its output channels.
        init = torch_uniform(4 * features)
        kernel = self.param("kernel", init, (2, 2, channels, features)).astype(x.dtype)
        bias = self.param("bias", init, (features,)).astype(x.dtype)
        y = jnp.einsum("bhwi,klio->bhkwlo", x, kernel)
        return y.reshape(batch, 2 * height, 2 * width, features) + bias[None, None, None]


def _align_corners(x: jax.Array) -> jax.Array:
    """Equals `torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)`.

    Output 2k lies b[k] = k / (2n - 1) before pixel k, output 2k + 1 lies b[n - 1 - k] behind it.
    """
    for axis in _SLOWEST_LAST:
        n = x.shape[axis]
        shape = [n if a == axis else 1 for a in range(x.ndim)]
        back = jnp.arange(n, dtype=jnp.float32).reshape(shape) / (2 * n - 1)
        here = x.astype(jnp.float32)
        even = here + back * (_shifted(here, axis, 1) - here)
        odd = here + jnp.flip(back, axis) * (_shifted(here, axis, -1) - here)
        x = _interleaved(even, odd, axis).astype(x.dtype)
    return x


def _shifted(x: jax.Array, axis: int, by: int) -> jax.Array:
    """Moved by one pixel, 0 where none comes from: as padding it fuses, as a slice it is a copy."""
    config = [(by, -by, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


def _interleaved(even: jax.Array, odd: jax.Array, axis: int) -> jax.Array:
    doubled = [2 * size if a == axis else size for a, size in enumerate(even.shape)]
    return jnp.stack([even, odd], axis=axis + 1).reshape(doubled)


def _half_pixel(x: jax.Array, mode: Mode) -> jax.Array:
    if isinstance(mode, str) and mode == "partial":
        mode = "replicate"  # 0.75 x / 0.75: renormalising the edge gives the edge pixel
    if isinstance(mode, str) and mode == "random":
        mode = "replicate"  # interpolated noise would not have the border's deviation
    for axis in _SLOWEST_LAST:
        x = _half_pixel_axis(pad(x, 1, mode, axes=(axis,)), axis)
    return x


def _half_pixel_axis(padded: jax.Array, axis: int) -> jax.Array:
    n = padded.shape[axis] - 2
    before, here, after = (
        jax.lax.slice_in_dim(padded, start, start + n, axis=axis) for start in range(3)
    )
    return _interleaved(0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after, axis)
