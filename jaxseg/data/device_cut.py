"""Cutting boxes out of frames on the device: the same pixels as `pipeline.cut`, in JAX alone.

TensorFlow's antialiased bicubic resize is linear in each axis, so that a box is cut and resized by
one small matrix per axis. `jax.image.scale_and_translate` has the same kernel but would look beyond
the box's edges; here, as in TensorFlow, the window is cut first and nothing outside it is seen.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_RADIUS = 2.0  # of Keys' cubic kernel, in pixels of the coarser side


def cut_batch(images: Any, masks: Any, bounds: Any, size: int) -> tuple[jax.Array, jax.Array]:
    """Cuts a box out of every image and mask of a batch and resizes it to `size`.

    `images` uint8 [B, H, W, 3], `masks` uint8 [B, H, W] and `bounds` int32 [B, 4], half-open pixel
    bounds (y0, x0, y1, x1) as of `crops.pixel_box` -> uint8 [B, size, size, 3] and
    [B, size, size]. Images: bicubic (Keys, a = -1/2) with antialiasing, rounded half to even and
    clipped; masks: the pixel at each centre. Equals `pipeline.cut` to one grey level, masks
    exactly. A box of `size` pixels is copied unchanged.
    """
    height, width = masks.shape[1:]
    rows = resize_weights(bounds[:, 0], bounds[:, 2], height, size)
    columns = resize_weights(bounds[:, 1], bounds[:, 3], width, size)
    pixels = images.astype(jnp.float32)
    pixels = jnp.einsum("bsh,bhwc->bswc", rows, pixels, precision=lax.Precision.HIGHEST)
    pixels = jnp.einsum("btw,bswc->bstc", columns, pixels, precision=lax.Precision.HIGHEST)
    down = nearest_pixels(bounds[:, 0], bounds[:, 2], size)
    across = nearest_pixels(bounds[:, 1], bounds[:, 3], size)
    labels = jax.vmap(lambda mask, y, x: mask[y[:, None], x[None]])(masks, down, across)
    return jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8), labels


def resize_weights(start: Any, stop: Any, length: int, size: int) -> jax.Array:
    """Weights of source pixels in resized ones: int [B], int [B] -> float32 [B, size, length].

    Pixels outside [start, stop) weigh nothing; every row sums to one.
    """
    n = (stop - start).astype(jnp.float32)[:, None, None]
    step = n / size
    spread = jnp.maximum(step, 1.0)
    centre = (jnp.arange(size, dtype=jnp.float32)[None, :, None] + 0.5) * step
    place = jnp.arange(length)[None, None, :] - start[:, None, None] + 0.5
    inside = (place > 0) & (place < n)
    weight = jnp.where(inside, _keys_cubic(jnp.abs(place - centre) / spread), 0.0)
    return weight / weight.sum(-1, keepdims=True)


def nearest_pixels(start: Any, stop: Any, size: int) -> jax.Array:
    """Source pixel under the centre of each of `size` resized ones: int [B], int [B] -> [B, size].

    In integers, where TensorFlow's rounded product of floats falls on the same pixel.
    """
    n = (stop - start)[:, None]
    return start[:, None] + (2 * jnp.arange(size)[None] + 1) * n // (2 * size)


def _keys_cubic(x: jax.Array) -> jax.Array:
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x <= 1.0, near, jnp.where(x < _RADIUS, far, 0.0))
