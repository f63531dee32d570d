"""The padding switch: the values that a convolution reads beyond the frame.

One table serves every network. Modes carry PyTorch's names; the standard five equal `numpy.pad`:

============  ==============  ====================================================================
mode          numpy.pad       what lies beyond the border
============  ==============  ====================================================================
zeros         constant        0: the border is visible to the network
reflect       reflect         the image mirrored, edge pixel not repeated
replicate     edge            the edge pixel
symmetric     symmetric       the image mirrored, edge pixel repeated
circular      wrap            the opposite edge (translation equivariant)
partial       -               0, renormalised by the share of real pixels (Liu et al. 2018,
                              "Partial Convolution based Padding", eq. 2)
random        -               normal noise with mean and deviation of each channel's border pixels
valid         -               nothing: the network mirrors its input once and shrinks (a reference
                              that cannot see the frame's border)
============  ==============  ====================================================================

The standard modes are also available *as data*: their position in `STANDARD_MODES` is an integer
code that one compiled program takes as an argument, so that cells of different modes share it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.errors import UsageError, check_choice

_NUMPY_NAMES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "symmetric": "symmetric",
    "circular": "wrap",
}
STANDARD_MODES: tuple[str, ...] = tuple(_NUMPY_NAMES)
PADDING_MODES: tuple[str, ...] = (*STANDARD_MODES, "partial", "random", "valid")

Mode = str | int | jax.Array
_SPATIAL_AXES = (-3, -2)
_OUTSIDE = -1  # marks a position that no pixel fills


def padding_code(mode: str) -> int:
    """The integer code of a standard mode. Raises UsageError for another mode."""
    return STANDARD_MODES.index(check_choice("padding", mode, STANDARD_MODES))


def check_padding(mode: str, width: int, size: int, where: str = "pad") -> None:
    """Raises UsageError unless `mode` can pad `width` pixels beside `size` pixels.

    `where` names the place in the network, e.g. "level 4".
    """
    check_choice("padding", mode, PADDING_MODES)
    least = width + 1 if mode == "reflect" else width
    if mode in STANDARD_MODES and mode not in ("zeros", "replicate") and size < least:
        raise UsageError(
            f"padding={mode!r}: requires at least {least} pixels to pad {width}, but {where} has "
            f"{size}; use larger images, fewer levels (net.depth) or replicate"
        )


def pad(
    x: jax.Array,
    width: int,
    mode: Mode,
    *,
    axes: Sequence[int] = _SPATIAL_AXES,
    key: jax.Array | None = None,
) -> jax.Array:
    """Pads the spatial axes of an image batch on both sides.

    Args:
        x: float or integer array; by default [..., height, width, channel].
        width: pixels added on each side, >= 0.
        mode: a name from `PADDING_MODES`, or an integer code (traced or not) of a standard mode.
        axes: the axes to pad, one after the other (corners are padded padding, as in numpy).
        key: PRNG key; only `random` requires it.

    Returns:
        Array whose `axes` are longer by 2 * width; `valid` returns x itself. The standard modes
        equal `numpy.pad` bit for bit; `partial` pads zeros here and is renormalised by
        `convolution.conv3x3`.

    Raises:
        UsageError: unknown mode, a width the mode cannot fill, or `random` without a key.
    """
    if width == 0 or (isinstance(mode, str) and mode == "valid"):
        return x
    axes = tuple(axis % x.ndim for axis in axes)
    if not isinstance(mode, str):
        return _pad_by_code(x, width, mode, axes)
    for axis in axes:
        check_padding(mode, width, x.shape[axis])
    if mode == "random":
        return _pad_random(x, width, axes, key)
    widths = [(width, width) if axis in axes else (0, 0) for axis in range(x.ndim)]
    return jnp.pad(x, widths, mode=_NUMPY_NAMES.get(mode, "constant"))


def _pad_by_code(
    x: jax.Array, width: int, code: int | jax.Array, axes: tuple[int, ...]
) -> jax.Array:
    """Standard modes chosen by an array: a gather of the border rows, masked where nothing is."""
    for axis in axes:
        before, after = border_sources(x.shape[axis], width)
        parts = [_take(x, before[code], axis), x, _take(x, after[code], axis)]
        x = jnp.concatenate(parts, axis=axis)
    return x


def border_sources(size: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Which pixel fills each padded position: int32 [modes, width] before and after the axis.

    -1 marks a pixel that is 0.

    `check_padding` refuses a mode that requires more pixels than there are (reflect at a 1-pixel
    axis) when the settings are checked; its row here holds numpy's repeated mirroring.
    """
    rows = [
        np.pad(np.arange(size), width, mode=name, **_constant(name))  # type: ignore[call-overload]
        for name in _NUMPY_NAMES.values()
    ]
    table = jnp.asarray(np.stack(rows), jnp.int32)
    return table[:, :width], table[:, width + size :]


def _constant(name: str) -> dict[str, int]:
    return {"constant_values": _OUTSIDE} if name == "constant" else {}


def _take(x: jax.Array, index: jax.Array, axis: int) -> jax.Array:
    taken = jnp.take(x, jnp.maximum(index, 0), axis=axis, mode="clip")
    shape = [1] * x.ndim
    shape[axis] = index.shape[0]
    return jnp.where((index == _OUTSIDE).reshape(shape), jnp.zeros((), x.dtype), taken)


def _pad_random(
    x: jax.Array, width: int, axes: tuple[int, ...], key: jax.Array | None
) -> jax.Array:
    if key is None:
        raise UsageError("padding='random': requires a PRNG key (pad(..., key=...))")
    widths = [(width, width) if axis in axes else (0, 0) for axis in range(x.ndim)]
    border = 1 - jnp.pad(
        jnp.ones([max(n - 2, 0) if a in axes else 1 for a, n in enumerate(x.shape)], x.dtype),
        [(1, 1) if a in axes else (0, 0) for a in range(x.ndim)],
    )
    count = jnp.sum(border)
    mean = jnp.sum(x * border, axis=axes, keepdims=True) / count
    variance = jnp.sum(jnp.square(x - mean) * border, axis=axes, keepdims=True) / count
    padded = jnp.pad(x, widths)
    noise = mean + jnp.sqrt(variance) * jax.random.normal(key, padded.shape, x.dtype)
    inside = jnp.pad(
        jnp.ones([n if a in axes else 1 for a, n in enumerate(x.shape)], bool),
        [w if a in axes else (0, 0) for a, w in enumerate(widths)],
    )
    return jnp.where(inside, padded, lax.stop_gradient(noise))
