"""BatchNorm followed by ReLU as one operation with a short backward pass.

Equals `torch.nn.BatchNorm2d` (momentum 0.1, eps 1e-5) and `torch.nn.ReLU`, the unbiased variance in
the running moments included. The convolution's bias is added here: under batch moments it changes
only the running mean, so that it costs no pass over memory and no gradient.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

EPSILON, MOMENTUM = 1e-5, 0.9  # of the old running moments; PyTorch calls 1 - 0.9 momentum


class BatchNormRelu(nn.Module):
    """relu(batch_norm(x + bias)): float [B, H, W, C] -> [B, H, W, C].

    Attributes:
        batch_axis: name of the mapped axis over which batch moments are averaged, if any.
    """

    batch_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, bias: jax.Array, train: bool) -> jax.Array:
        shape = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, shape)
        shift = self.param("bias", nn.initializers.zeros, shape)
        if not train:
            gain = scale * lax.rsqrt(var.value + EPSILON)
            offset = shift + (bias - mean.value) * gain
            return _affine_relu(x, gain, offset)
        y, batch_mean, batch_var = norm_relu(x, scale, shift, self.batch_axis)  # type: ignore[misc]
        if not self.is_initializing():
            n = x.size // x.shape[-1] * _devices(self.batch_axis)
            unbiased = batch_var * (n / max(n - 1, 1))
            mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * (batch_mean + bias)
            var.value = MOMENTUM * var.value + (1 - MOMENTUM) * unbiased
        return y


def _devices(axis: str | None) -> int:
    return 1 if axis is None else lax.axis_size(axis)


def _affine_relu(x: jax.Array, gain: jax.Array, offset: jax.Array) -> jax.Array:
    """relu(x * gain + offset) by channel, computed in float32 and returned in x's type."""
    return nn.relu(x.astype(jnp.float32) * _wide(gain) + _wide(offset)).astype(x.dtype)


def _wide(per_channel: jax.Array) -> jax.Array:
    return per_channel[None, None, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def norm_relu(
    x: jax.Array, scale: jax.Array, shift: jax.Array, axis: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(relu of x normalised by its own moments, mean [C], variance [C]).

    No gradient flows through the moments that are returned.
    """
    return _forward(x, scale, shift, axis)[0]


def _forward(x, scale, shift, axis):
    mean, square = _average(_sums(x, jnp.square(x.astype(jnp.float32))), x, axis)
    var = jnp.maximum(square - jnp.square(mean), 0.0)
    rstd = lax.rsqrt(var + EPSILON)
    gain = scale * rstd
    y = _affine_relu(x, gain, shift - mean * gain)
    return (y, mean, var), (x, mean, rstd, scale, shift)


def _backward(axis, residuals, cotangents):
    x, mean, rstd, scale, shift = residuals
    gain = scale * rstd
    x32 = x.astype(jnp.float32)
    on = x32 * _wide(gain) + _wide(shift - mean * gain) > 0
    g = jnp.where(on, cotangents[0], 0).astype(jnp.float32)
    centred = x32 - _wide(mean)
    dshift, weighted = _sums(g, g * centred)
    dscale = weighted * rstd
    mean_g, mean_gx = _average((dshift, dscale), x, axis)
    dx = _wide(gain) * (g - _wide(mean_g) - centred * _wide(rstd * mean_gx))
    return dx.astype(x.dtype), dscale, dshift


norm_relu.defvjp(_forward, _backward)


def _sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Sums over all but the channels, in float32: [C] each."""
    return tuple(jnp.sum(a, axis=(0, 1, 2), dtype=jnp.float32) for a in arrays)


def _average(sums, x, axis):
    n = x.size // x.shape[-1]
    means = tuple(s / n for s in sums)
    return means if axis is None else lax.pmean(means, axis)
