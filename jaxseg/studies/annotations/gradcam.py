"""Seg-Grad-CAM: where in a frame a network's evidence for a class lies, and its scores.

Seg-Grad-CAM (Vinogradova, Dibrov, Myers, AAAI 2020) is Grad-CAM (Selvaraju et al., ICCV 2017) of a
segmentation: the score of class k is the sum of its logits over the pixels of interest. With A_c a
channel of a layer's output,

    alpha_c = mean over the layer's pixels of d score_k / d A_c
    map_k   = relu(sum over c of alpha_c A_c), resized to the frame and divided by its maximum.

Maps are scored against the annotations of a frame, beside those of randomised weights. Networks are
explained as they are: the layer is tapped by a Flax interceptor. Everything here is about one
network; `grid_saliency` maps it over cells.
"""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.train import class_indices, one_hot

PIXELS: tuple[str, ...] = ("predicted", "all")
_BLOCK = re.compile(r"(?:.*\.)?(down|up)\d+")
_CONTROL = 1  # sets the control's weights apart from those that training began with


# The network: its layers, its logits with one of them tapped, and its fresh weights.


@functools.lru_cache(maxsize=32)
def layer_shapes(net: nn.Module, size: tuple[int, int]) -> dict[str, jax.ShapeDtypeStruct]:
    """The layers of a network that can be asked, in the order in which they are done.

    Args:
        net: a module that is called with float [B, H, W, 3].
        size: height and width of a frame.

    Returns:
        {name: shape and dtype of its output [1, h, w, C]}; names of nested modules are joined by
        dots, such as `down4` or `texture.down4`. No array is made.
    """
    shapes: dict[str, jax.ShapeDtypeStruct] = {}

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        out = call(*args, **kwargs)
        name = _name(context)
        if name and isinstance(out, jax.Array) and out.ndim == 4:
            shapes[name] = jax.ShapeDtypeStruct(out.shape, out.dtype)
        return out

    frame = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    with nn.intercept_methods(note):
        jax.eval_shape(net.init, jax.random.key(0), frame)
    return shapes


def encoder_layer(net: nn.Module, size: tuple[int, int]) -> str:
    """The encoder's last layer: the last block `down…` before the first block `up…`.

    Of a network of several UNets it is that of the first. Raises UsageError for a network without
    such blocks.
    """
    names = list(layer_shapes(net, size))
    last = ""
    for name in names:
        block = _BLOCK.fullmatch(name)
        if block and block[1] == "up":
            break
        last = name if block else last
    if not last:
        raise UsageError(
            f"layer=None: {type(net).__name__} has no block down1, down2, …; "
            f"name one of {', '.join(names)}"
        )
    return last


def check_layer(net: nn.Module, size: tuple[int, int], layer: str | None) -> str:
    """The layer's name, `encoder_layer` for None; UsageError for one that the network lacks."""
    if layer is None:
        return encoder_layer(net, size)
    return check_choice("layer", layer, layer_shapes(net, size))


def control_variables(
    net: nn.Module, seed: jax.typing.ArrayLike, size: tuple[int, int]
) -> dict[str, Any]:
    """Fresh variables of the same network, not those that training from `seed` began with.

    The control of Adebayo et al. ("Sanity Checks for Saliency Maps", NeurIPS 2018): a map that
    they change little shows the frame and the architecture, not what was learnt.
    """
    key = jax.random.fold_in(jax.random.key(seed), _CONTROL)
    return dict(net.init(key, jnp.zeros((1, *size, 3))))


def _tapped(
    net: nn.Module, variables: Any, images: Any, layer: str, code: Any, delta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(logits, the layer's output): `delta` is added to it, so that gradients can be had there."""
    seen: list[jax.Array] = []

    def tap(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        out = call(*args, **kwargs)
        if _name(context) != layer:
            return out
        seen.append(out)
        return out + delta

    with nn.intercept_methods(tap):
        logits = logits_of(net, variables, images, code)
    if len(seen) != 1:
        raise UsageError(
            f"layer={layer!r}: a frame passes it {len(seen)} times, which of them to explain is "
            "open; name a layer that it passes once"
        )
    return logits, seen[0]


def logits_of(net: nn.Module, variables: Any, images: Any, code: Any) -> Any:
    """Logits [B, H, W, classes]; `code` is the padding code, None for the padding of `net`."""
    return net.apply(variables, images, **({} if code is None else {"padding_code": code}))


def _name(context: nn.module.InterceptorContext) -> str:
    """The module's dotted name; "" for the network itself and for methods other than its call."""
    return ".".join(context.module.path) if context.method_name == "__call__" else ""


def _stride(net: nn.Module, size: tuple[int, int], layer: str) -> tuple[int, int]:
    """Frame pixels a pixel of the layer; a `valid` network has those of its padded twin."""
    if getattr(net, "padding", None) == "valid":
        net = net.clone(padding="zeros")
    height, width = layer_shapes(net, size)[layer].shape[1:3]
    return -(-size[0] // height), -(-size[1] // width)


# The map.


def seg_grad_cam(
    net: nn.Module,
    variables: Any,
    images: jax.Array,
    layer: str | None = None,
    *,
    pixels: str | jax.Array = "predicted",
    padding_code: jax.typing.ArrayLike | None = None,
) -> jax.Array:
    """Seg-Grad-CAM of every class on every image; pure, to be jitted and vmapped by the caller.

    Args:
        net: a module as `UNet`, called with images (and `padding_code`, unless that is None).
        variables: its variables, without a cell axis.
        images: float [B, H, W, 3] in [-1, 1].
        layer: a name of `layer_shapes`; None is `encoder_layer`.
        pixels: of interest for class k: `predicted` as k, `all`, or bool [B, H, W, classes or 1].
        padding_code: int32 scalar, as for `UNet`.

    Returns:
        float32 [B, classes, H, W] in [0, 1]. A map is 0 throughout where nothing speaks for the
        class, as where no pixel is of interest; the maximum of any other is 1, to rounding. What a
        layer of a `valid` network sees beyond the frame is cut off.

    Raises:
        UsageError: an unknown layer, or one that a frame passes more than once.
    """
    size = (images.shape[1], images.shape[2])
    layer = check_layer(net, size, layer)
    shape = layer_shapes(net, size)[layer]
    logits, pull, activation = jax.vjp(
        functools.partial(_tapped, net, variables, images, layer, padding_code),
        jnp.zeros((len(images), *shape.shape[1:]), shape.dtype),
        has_aux=True,
    )
    asked = pixels_of_interest(logits, pixels).astype(logits.dtype)
    scores = jnp.eye(logits.shape[-1])[:, None, None, None, :] * asked[None]
    alpha = jax.vmap(lambda score: pull(score)[0].astype(jnp.float32).mean((1, 2)))(scores)
    maps = nn.relu(jnp.einsum("kbc,bhwc->bkhw", alpha, activation.astype(jnp.float32)))
    maps = _onto_frame(maps, size, _stride(net, size, layer))
    top = maps.max((-2, -1), keepdims=True)
    return jnp.where(top > 0, maps / jnp.where(top > 0, top, 1), 0)


def pixels_of_interest(logits: jax.Array, pixels: str | jax.Array = "predicted") -> jax.Array:
    """bool [B, H, W, classes]: the pixels whose logits are summed, see `seg_grad_cam`."""
    if not isinstance(pixels, str):
        return jnp.broadcast_to(pixels, logits.shape)
    if check_choice("pixels", pixels, PIXELS) == "all":
        return jnp.ones(logits.shape, bool)
    return one_hot(class_indices(logits), logits.shape[-1])


def _onto_frame(maps: jax.Array, size: tuple[int, int], stride: tuple[int, int]) -> jax.Array:
    """[B, K, h, w] -> [B, K, H, W]: layer and frame have one centre, what is beyond is cut off."""
    height, width = maps.shape[2] * stride[0], maps.shape[3] * stride[1]
    maps = jax.image.resize(maps, (*maps.shape[:2], height, width), "bilinear")
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return maps[:, :, top : top + size[0], left : left + size[1]]


# Its scores.


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
