"""Cutting boxes out of frames: on the host in NumPy, on the device in JAX, both as TensorFlow does.

Images are resized by Keys' bicubic kernel (a = -1/2) with antialiasing, masks by nearest neighbour.
`cut` repeats the float32 arithmetic of `tf.image.resize` step by step and is equal bit for bit
(measured on x86 with TensorFlow 2.21). `cut_batch` agrees with it to one grey level. There a box is
cut and resized by one small matrix per axis: `jax.image.scale_and_translate` has the same kernel
but would look beyond the box's edges; here nothing outside the box is seen.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike, NDArray

from jaxseg.data.crops import pixel_box

_RADIUS = 2.0  # of Keys' cubic kernel, in pixels of the coarser side
_BLOCK = 1 << 16  # floats summed at a time: they stay in cache


def cut(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], box: ArrayLike, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cuts a box out of an image and its mask and resizes both to `size`.

    `image` uint8 [H, W, 3], `mask` uint8 [H, W] and `box` float64 [4] as fractions (y0, x0, y1, x1)
    -> uint8 [size, size, 3] and [size, size]. Pixel bounds are those of `crops.pixel_box`; pixels
    are rounded half to even and clipped. A box of `size` pixels is copied unchanged.
    """
    y0, x0, y1, x1 = pixel_box(box, mask.shape[0], mask.shape[1])
    window, labels = image[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    rows, columns = (_nearest(length, size) for length in labels.shape)
    pixels = _bicubic(_bicubic(window, size).transpose(1, 0, 2), size).transpose(1, 0, 2)
    resized = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return resized, labels[rows[:, None], columns]


def _nearest(length: int, size: int) -> NDArray[np.int64]:
    """The source pixel of each of `size` resized ones."""
    scale = np.float32(length) / np.float32(size)
    place = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale
    return np.minimum(np.floor(place).astype(int), length - 1)


def _bicubic(pixels: NDArray, size: int) -> NDArray[np.float32]:
    """Pixels [length, n, c] resized along the first axis: float32 [size, n, c].

    The weighted pixels are added one after another, in ascending order: their rounding errors
    depend on it.
    """
    source, weights = _bicubic_weights(len(pixels), size)
    flat = pixels.reshape(len(pixels), -1)
    resized = np.zeros((size, flat.shape[1]), np.float32)
    width = max(1, _BLOCK // size)
    for left in range(0, flat.shape[1], width):
        columns = slice(left, left + width)
        block, total = flat[:, columns], resized[:, columns]
        for places, weight in zip(source.T, weights.T):
            total += block[places] * weight[:, None]
    return resized.reshape(size, *pixels.shape[1:])


@functools.lru_cache(maxsize=64)  # frames of a data set have few sizes
def _bicubic_weights(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Source pixels int [size, k] of each resized one and their weights float32 [size, k].

    Every operation is one of float32, in the order of TensorFlow's ScaleAndTranslate kernel.
    """
    one, half = np.float32(1), np.float32(0.5)
    step = np.float32(1.0 / float(np.float32(size) / np.float32(length)))
    spread = max(step, one)
    reach = np.float32(_RADIUS) * spread
    centre = (np.arange(size, dtype=np.float32) + half) * step
    first = np.clip(np.ceil(centre - reach - half).astype(int), 0, length - 1)
    last = np.clip(np.floor(centre + reach - half).astype(int), 0, length - 1)
    source = first[:, None] + np.arange((last - first).max() + 1)
    x = np.abs((source.astype(np.float32) + half - centre[:, None]) * (one / spread))
    weights = np.where(source <= last[:, None], _keys_cubic(x, np), np.float32(0))
    total = np.zeros(size, np.float32)
    for weight in weights.T:
        total += weight
    return np.minimum(source, length - 1), weights * (one / total)[:, None]


def cut_batch(images: Any, masks: Any, bounds: Any, size: int) -> tuple[jax.Array, jax.Array]:
    """Cuts a box out of every image and mask of a batch and resizes it to `size`.

    `images` uint8 [B, H, W, 3], `masks` uint8 [B, H, W] and `bounds` int32 [B, 4], half-open pixel
    bounds (y0, x0, y1, x1) as of `crops.pixel_box` -> uint8 [B, size, size, 3] and
    [B, size, size]. Equals `cut` to one grey level, masks exactly.
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

    In integers; the rounded product of floats in `cut` falls on the same pixel.
    """
    n = (stop - start)[:, None]
    return start[:, None] + (2 * jnp.arange(size)[None] + 1) * n // (2 * size)


def _keys_cubic(x: Any, xp: Any = jnp) -> Any:
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return xp.where(x < 1.0, near, xp.where(x < _RADIUS, far, 0.0))
