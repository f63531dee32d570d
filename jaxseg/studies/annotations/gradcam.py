"""Seg-Grad-CAM: where in a frame a network's evidence for a class lies, and its scores.

Seg-Grad-CAM (Vinogradova, Dibrov, Myers, AAAI 2020) is Grad-CAM (Selvaraju et al., ICCV 2017) of a
segmentation: the score of class k is the sum of its logits over the pixels of interest. With A_c a
channel of a layer's output,

    alpha_c = mean over the layer's pixels of d score_k / d A_c
    map_k   = relu(sum over c of alpha_c A_c), resized to the frame and divided by its maximum.

Maps are scored against the annotations of a frame, beside those of randomised weights. Everything
here is about one network; `grid_saliency` maps it over cells.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.train import class_indices, one_hot
from jaxseg.nets.registry import Network

PIXELS: tuple[str, ...] = ("predicted", "all")
_CONTROL = 1  # sets the control's weights apart from those that training began with


def check_layer(net: Network, size: int, layer: str | None) -> str:
    """The layer's name, the last of the encoder for None; UsageError for one it lacks."""
    if layer is None:
        return net.encoder_layer(size)
    return check_choice("layer", layer, net.layers(size))


def has_layers(net: Network, size: int) -> bool:
    """Whether a network has named layers to ask; one that is no Flax module has none."""
    try:
        return bool(net.layers(size))
    except UsageError:
        return False


def control_variables(net: Network, seed: jax.typing.ArrayLike, size: int) -> dict[str, Any]:
    """Fresh variables of the same network, not those that training from `seed` began with.

    The control of Adebayo et al. ("Sanity Checks for Saliency Maps", NeurIPS 2018): a map that
    they change little shows the frame and the architecture, not what was learnt.
    """
    key = jax.random.fold_in(jax.random.key(seed), _CONTROL)
    return net.init(key, jnp.zeros((1, size, size, 3)))


def _tapped(
    net: Network, variables: Any, images: Any, layer: str, code: Any, delta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(logits, the layer's output): `delta` is added to it, so that gradients can be had there."""
    seen: list[jax.Array] = []

    def tap(name: str, out: Any) -> Any:
        if name != layer:
            return out
        seen.append(out)
        return out + delta

    logits = net.logits(variables, images, padding_code=code, hook=tap)
    if len(seen) != 1:
        raise UsageError(
            f"layer={layer!r}: a frame passes it {len(seen)} times, which of them to explain is "
            "open; name a layer that it passes once"
        )
    return logits, seen[0]


def seg_grad_cam(
    net: Network,
    variables: Any,
    images: jax.Array,
    layer: str | None = None,
    *,
    pixels: str | jax.Array = "predicted",
    padding_code: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Seg-Grad-CAM of every class on every image; pure, to be jitted and vmapped by the caller.

    Args:
        net: one with named layers.
        variables: its variables, without a cell axis.
        images: float [B, s, s, 3] in [-1, 1].
        layer: a name of `Network.layers`; None is `Network.encoder_layer`.
        pixels: of interest for class k: `predicted` as k, `all`, or bool [B, s, s, classes or 1].
        padding_code: int32 scalar, as for `Network.logits`.

    Returns:
        float32 [B, classes, s, s] in [0, 1]. A map is 0 throughout where nothing speaks for the
        class, as where no pixel is of interest; the maximum of any other is 1, to rounding. What a
        layer of a `valid` network sees beyond the frame is cut off.

    Raises:
        UsageError: an unknown layer, or one that a frame passes more than once; a network without
            named layers.
    """
    size = images.shape[1]
    layer = check_layer(net, size, layer)
    about = net.layers(size)[layer]
    logits, pull, activation = jax.vjp(
        functools.partial(_tapped, net, variables, images, layer, padding_code),
        jnp.zeros((len(images), *about.shape), about.dtype),
        has_aux=True,
    )
    asked = pixels_of_interest(logits, pixels).astype(logits.dtype)
    scores = jnp.eye(logits.shape[-1])[:, None, None, None, :] * asked[None]
    alpha = jax.vmap(lambda score: pull(score)[0].astype(jnp.float32).mean((1, 2)))(scores)
    maps = nn.relu(jnp.einsum("kbc,bhwc->bkhw", alpha, activation.astype(jnp.float32)))
    # Layer and frame have one centre; what the layer sees beyond the frame is cut off.
    height, width = (n * stride for n, stride in zip(maps.shape[2:], about.stride))
    maps = jax.image.resize(maps, (*maps.shape[:2], height, width), "bilinear")
    above, left = (height - size) // 2, (width - size) // 2
    maps = maps[:, :, above : above + size, left : left + size]
    top = maps.max((-2, -1), keepdims=True)
    return jnp.where(top > 0, maps / jnp.where(top > 0, top, 1), 0)


def pixels_of_interest(logits: jax.Array, pixels: str | jax.Array = "predicted") -> jax.Array:
    """bool [B, H, W, classes]: the pixels whose logits are summed, see `seg_grad_cam`."""
    if not isinstance(pixels, str):
        return jnp.broadcast_to(pixels, logits.shape)
    if check_choice("pixels", pixels, PIXELS) == "all":
        return jnp.ones(logits.shape, bool)
    return one_hot(class_indices(logits), logits.shape[-1])


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

    Raises:
        UsageError: a tolerance below 0.
    """
    if tolerance < 0:
        raise UsageError(f"tolerance={tolerance}: must be 0 or more pixels")
    reach = np.arange(-int(tolerance), int(tolerance) + 1)
    disc = jnp.asarray(np.hypot(reach[:, None], reach[None]) <= tolerance, jnp.float32)
    flat = jnp.reshape(annotated, (-1, 1, *annotated.shape[-2:])).astype(jnp.float32)
    near = lax.conv(flat, disc[None, None], (1, 1), "SAME").reshape(annotated.shape) > 0.5
    top = maps.max((-2, -1), keepdims=True)
    hit = ((maps == top) & near).any((-2, -1))
    return jnp.where(top[..., 0, 0] > 0, hit, -1).astype(jnp.int8)
