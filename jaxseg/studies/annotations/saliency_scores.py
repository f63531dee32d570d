"""Scores of saliency maps against annotations, and the control of randomised weights."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.errors import UsageError

_CONTROL = 1  # sets the control's weights apart from those that training began with


def control_variables(
    net: nn.Module, seed: jax.typing.ArrayLike, size: tuple[int, int]
) -> dict[str, Any]:
    """Fresh variables of the same network, not those that training from `seed` began with.

    The control of Adebayo et al. ("Sanity Checks for Saliency Maps", NeurIPS 2018): a map that
    they change little tells of the frame and the architecture, not of what was learnt.
    """
    key = jax.random.fold_in(jax.random.key(seed), _CONTROL)
    return dict(net.init(key, jnp.zeros((1, *size, 3))))


def saliency_share(maps: jax.Array, annotated: jax.Array) -> jax.Array:
    """Share of a map's mass on annotation pixels; to be read beside their share of the frame.

    Args:
        maps: float [..., H, W], none below 0.
        annotated: bool [..., H, W], as many axes; a 1 where it serves several maps.

    Returns:
        float32 [...] in [0, 1], NaN where the map is 0 throughout.
    """
    mass = maps.sum((-2, -1))
    inside = jnp.where(annotated, maps, 0).sum((-2, -1))
    return jnp.where(mass > 0, inside / jnp.where(mass > 0, mass, 1), jnp.nan)


def pointing_game(maps: jax.Array, annotated: jax.Array, tolerance: float = 0) -> jax.Array:
    """Does the map's maximum lie on an annotation pixel? (Zhang et al., ECCV 2016; IJCV 2018)

    Args:
        maps: float [..., H, W], none below 0.
        annotated: bool [..., H, W], as many axes; a 1 where it serves several maps.
        tolerance: pixels by which the maximum may miss; the paper allows 15 in frames of about 224.

    Returns:
        int8 [...]: 1 yes (of several equal maxima any will do), 0 no, -1 where the map is 0
        throughout.
    """
    top = maps.max((-2, -1), keepdims=True)
    hit = ((maps == top) & _widened(annotated, tolerance)).any((-2, -1))
    return jnp.where(top[..., 0, 0] > 0, hit, -1).astype(jnp.int8)


def _widened(annotated: jax.Array, tolerance: float) -> jax.Array:
    """Pixels at most `tolerance` from one that is annotated."""
    if tolerance < 0:
        raise UsageError(f"tolerance={tolerance}: must be 0 or more pixels")
    reach = np.arange(-int(tolerance), int(tolerance) + 1)
    disc = np.hypot(reach[:, None], reach[None]) <= tolerance
    flat = jnp.reshape(annotated, (-1, 1, *annotated.shape[-2:])).astype(jnp.float32)
    near = lax.conv(flat, jnp.asarray(disc, jnp.float32)[None, None], (1, 1), "SAME")
    return (near > 0.5).reshape(annotated.shape)
