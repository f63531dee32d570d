"""3×3 convolution through the padding switch, in the formulations that are fast on each backend.

`conv3x3_plain` is the definition: pad, then convolve. `conv3x3` equals it to rounding. It convolves
with zeros beyond the frame and adds what the padding contributes to the outermost ring of pixels,
so that no padded copy of the image is made and the backward pass touches the ring alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.nets.padding import Mode, border_sources, pad, padding_code

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_WIDE = 32  # output channels from which a matrix product keeps a CPU core's vector units busy
_MOST_COPIES = 4
_QUAD = 4  # input channels to which an image's three are extended: reads of three are unaligned
_BLOCK_BYTES = 2**21  # about a core's level-2 cache


def conv3x3_plain(
    x: jax.Array, kernel: jax.Array, mode: Mode, *, key: jax.Array | None = None
) -> jax.Array:
    """The definition that `conv3x3` is tested against; the same arguments and result."""
    y = _valid(pad(x, 1, mode, key=key), kernel.astype(x.dtype))
    if isinstance(mode, str) and mode == "partial":
        y = y * partial_ratio(x.shape[1], x.shape[2], x.dtype)
    return y


def conv3x3(
    x: jax.Array, kernel: jax.Array, mode: Mode, *, key: jax.Array | None = None
) -> jax.Array:
    """A 3×3 convolution, stride 1, whose border is filled by `mode`.

    Args:
        x: float [batch, height, width, in].
        kernel: float [3, 3, in, out]; correlation, as `torch.nn.Conv2d`. Rounded to x's type for
            the products; its gradient is summed and returned in its own type.
        mode: as for `pad`.
        key: PRNG key; only `random` requires it.

    Returns:
        float [batch, height, width, out]; two pixels smaller on each spatial axis under `valid`.
    """
    if isinstance(mode, str):
        if mode == "zeros":
            return _correlate(x, kernel)
        if mode == "partial":
            return _correlate(x, kernel) * partial_ratio(x.shape[1], x.shape[2], x.dtype)
        if mode in ("random", "valid"):
            return conv3x3_plain(x, kernel, mode, key=key)
        mode = padding_code(mode)
    if min(x.shape[1:3]) < 4:  # the strips at opposite borders would be one
        return conv3x3_plain(x, kernel, mode)
    return _correlate_padded(x, kernel, jnp.asarray(mode))


@jax.custom_vjp
def _correlate(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Zeros beyond the frame: float [B, H, W, in] and [3, 3, in, out] -> [B, H, W, out]."""
    return _same(x, kernel.astype(x.dtype))


def _correlate_forward(x, kernel):
    return _correlate(x, kernel), (x, kernel)


def _correlate_backward(residuals, g):
    x, kernel = residuals
    turned = kernel[::-1, ::-1].swapaxes(2, 3).astype(g.dtype)
    return _same(g, turned), _kernel_gradient(x, g).astype(kernel.dtype)


_correlate.defvjp(_correlate_forward, _correlate_backward)


def _same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """On CPU few channels make a thin matrix product: r pixels of a row are computed as one of
    r times the channels, by r shifted copies of the kernel side by side and a stride of r."""
    copies = _copies(x.shape[2], *kernel.shape[2:])
    if copies == 1:
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)
    missing = max(0, _QUAD - x.shape[3])
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, missing), (0, 0)))
    shifted = [
        jnp.pad(kernel, ((0, 0), (s, copies - 1 - s), (0, 0), (0, 0))) for s in range(copies)
    ]
    wide = jnp.concatenate(shifted, axis=3)
    pads = ((1, 1), (1, 1))
    y = lax.conv_general_dilated(x, wide, (1, copies), pads, dimension_numbers=_LAYOUT)
    return y.reshape(*x.shape[:3], kernel.shape[3])


def _copies(width: int, inside: int, outside: int) -> int:
    few = outside <= _WIDE if inside <= _QUAD else max(inside, outside) <= _WIDE // 2
    if jax.default_backend() != "cpu" or not few:
        return 1
    wanted = min(_MOST_COPIES, max(2, _WIDE // outside))
    return max(r for r in range(1, wanted + 1) if width % r == 0)


def _kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    """Gradient of the kernel; on CPU summed over blocks of images that fit the cache."""
    blocks = _blocks(x)
    if blocks == 1:
        return _kernel_gradient_of_block(x, g)
    parts = zip(jnp.split(x, blocks), jnp.split(g, blocks))
    return functools.reduce(jnp.add, (_kernel_gradient_of_block(*part) for part in parts))


def _blocks(x: jax.Array) -> int:
    if jax.default_backend() != "cpu":
        return 1
    wanted = -(-x.size * x.dtype.itemsize // _BLOCK_BYTES)
    return min((b for b in range(1, x.shape[0] + 1) if x.shape[0] % b == 0 and b >= wanted),
               default=x.shape[0])  # fmt: skip


def _kernel_gradient_of_block(x: jax.Array, g: jax.Array) -> jax.Array:
    """A convolution with the images as channels; the array of fewer channels is the one slid over,
    as it is copied nine times (twice as fast on CPU where a decoder halves its channels)."""
    first, second = (x, g) if x.shape[-1] <= g.shape[-1] else (g, x)
    sums = lax.conv_general_dilated(
        first, second, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("CHWN", "IHWO", "HWNC"),
        preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )  # fmt: skip
    return sums if first is x else sums[::-1, ::-1].swapaxes(2, 3)


@jax.custom_vjp
def _correlate_padded(x: jax.Array, kernel: jax.Array, code: jax.Array) -> jax.Array:
    """As `_correlate`, with a standard padding mode given by its code."""
    return _add_at_borders(_same(x, kernel.astype(x.dtype)), *_ring(_outer_two(x), kernel, code))


def _padded_forward(x, kernel, code):
    return _correlate_padded(x, kernel, code), (x, kernel, code)


def _padded_backward(residuals, g):
    x, kernel, code = residuals
    dx, dkernel = _correlate_backward((x, kernel), g)
    _, transpose = jax.vjp(lambda strips, k: _ring(strips, k, code), _outer_two(x), kernel)
    (rows, columns), more = transpose(_ring_of(g))
    dx = _add_at_borders(dx, rows[:, :2], rows[:, 2:], columns[:, :, :2], columns[:, :, 2:])
    return dx, dkernel + more, None


_correlate_padded.defvjp(_padded_forward, _padded_backward)


def _outer_two(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two outermost rows and columns on each side: [B, 4, W, C] and [B, H, 4, C]."""
    rows = jnp.concatenate([x[:, :2], x[:, -2:]], axis=1)
    return rows, jnp.concatenate([x[:, :, :2], x[:, :, -2:]], axis=2)


def _ring(
    strips: tuple[jax.Array, jax.Array], kernel: jax.Array, code: jax.Array
) -> tuple[jax.Array, ...]:
    """What lies beyond the frame adds to its top, bottom, left and right pixels.

    Every standard mode fills the border from the two outermost pixels of an axis, so that padding a
    strip of four is padding the frame. Corners count with the rows.
    """
    rows, columns = strips
    kernel = kernel.astype(rows.dtype)
    wide = [_extended(line, code) for line in _beyond(rows, 1, code)]
    tall = [jnp.pad(line, ((0, 0), (1, 1), (0, 0), (0, 0))) for line in _beyond(columns, 2, code)]
    across = [_valid(line, kernel[i : i + 1]) for line, i in zip(wide, (0, 2))]
    down = [_valid(line, kernel[:, i : i + 1]) for line, i in zip(tall, (0, 2))]
    return (*across, *down)


def _beyond(strip: jax.Array, axis: int, code: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The pixels before and after an axis whose two outermost pixels on each side are `strip`."""
    pixels = jnp.split(strip, 4, axis)
    cases = [*pixels, jnp.zeros_like(pixels[0])]
    before, after = (jnp.asarray(table)[code] for table in border_sources(4, 1))
    return lax.select_n(before[0] % 5, *cases), lax.select_n(after[0] % 5, *cases)


def _extended(line: jax.Array, code: jax.Array) -> jax.Array:
    """A row [B, 1, W, C] with the pixels beyond its ends: [B, 1, W + 2, C]."""
    first, last = _beyond(_outer_two(line)[1], 2, code)
    return jnp.concatenate([first, line, last], axis=2)


def _valid(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=_LAYOUT)


def _add_at_borders(
    y: jax.Array, top: jax.Array, bottom: jax.Array, left: jax.Array, right: jax.Array
) -> jax.Array:
    """Adds strips of any thickness to the borders of [B, H, W, C].

    By padding them with zeros, which XLA fuses into whatever reads the sum; updates in place are
    additional passes over memory.
    """
    height, width = y.shape[1:3]
    rows = [_reach(top, 1, height, 0), _reach(bottom, 1, height, 1)]
    return y + sum([*rows, _reach(left, 2, width, 0), _reach(right, 2, width, 1)])


def _reach(strip: jax.Array, axis: int, size: int, side: int) -> jax.Array:
    """A strip at the beginning (side 0) or end (1) of an axis of zeros."""
    missing = size - strip.shape[axis]
    widths = [(0, 0)] * 4
    widths[axis] = (missing, 0) if side else (0, missing)
    return jnp.pad(strip, widths)


def _ring_of(g: jax.Array) -> tuple[jax.Array, ...]:
    return g[:, :1], g[:, -1:], g[:, :, :1], g[:, :, -1:]


def partial_ratio(height: int, width: int, dtype: jnp.dtype) -> jax.Array:
    """Window size over real pixels in the window: [1, height, width, 1], 1 inside the frame."""
    rows, cols = (_window_share(n) for n in (height, width))
    return jnp.asarray(9.0 / np.outer(rows, cols), dtype)[None, :, :, None]


def _window_share(size: int) -> np.ndarray:
    """How many of a window's three positions lie on the axis, for each centre: [size]."""
    centre = np.arange(size)
    return np.minimum(centre + 1, size - 1) - np.maximum(centre - 1, 0) + 1
