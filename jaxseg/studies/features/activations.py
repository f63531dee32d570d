"""What a network's layers hold about position: activations, where they lie, their main directions.

Fig. 5 of Lin, Weng et al. 2024 shows it for border and interior pixels of one layer.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import check_choice
from jaxseg.grid.train import normalise
from jaxseg.nets.normalisation import MOMENTUM
from jaxseg.nets.unet import UNet
from jaxseg.studies.models import shared_program

Images = NDArray[np.uint8]
Activations = Callable[[Images], dict[str, NDArray[np.float32]]]
_BATCH = 8
_FAINT = 1e-8  # of a feature's magnitude: what is left of a constant by rounding


def layer_names(depth: int) -> list[str]:
    """The blocks of a UNet from image to logits: inc, down1 …, up1 …; `depth` as in `UNet`."""
    levels = range(1, depth + 1)
    return ["inc", *(f"down{k}" for k in levels), *(f"up{k}" for k in levels)]


def make_activations(net: UNet, variables: Any, layers: Sequence[str]) -> Activations:
    """The function from images uint8 [B, H, W, 3] to {layer: float32 [B, h, w, channels]}.

    Values are those after the block's last ReLU. Raises UsageError for an unknown layer.
    """
    for layer in layers:
        check_choice("layer", layer, layer_names(net.depth))

    shared, code = shared_program(net)

    def activations(images: Images) -> dict[str, NDArray[np.float32]]:
        found = _capture(shared, tuple(layers), variables, jnp.asarray(images), code)
        return {name: np.asarray(maps) for name, maps in found.items()}

    return activations


# Variables are arguments: networks of one shape share a program.
@partial(jax.jit, static_argnums=(0, 1))
def _capture(
    net: UNet, layers: tuple[str, ...], variables: Any, images: jax.Array, code: Any
) -> dict[str, jax.Array]:
    _, state = net.apply(
        variables,
        normalise(images),
        padding_code=code,
        capture_intermediates=lambda module, _: module.name in layers,
        mutable=["intermediates"],
    )
    found: Any = state["intermediates"]
    return {name: found[name]["__call__"][0].astype(jnp.float32) for name in layers}


def random_variables(net: UNet, seed: int, images: Images) -> dict[str, Any]:
    """Fresh variables of `net`, as training starts from, with the moments of a batch of images.

    Without moments of its own batch normalisation would let the signal fade with depth.
    """
    shared, code = shared_program(net)
    return _fresh(shared, jax.random.key(seed), jnp.asarray(images[:_BATCH]), code)


@partial(jax.jit, static_argnums=0)
def _fresh(net: UNet, key: jax.Array, images: jax.Array, code: Any) -> dict[str, Any]:
    x = normalise(images)
    fresh = dict(net.init(key, x[:1]))
    if "batch_stats" not in fresh:
        return fresh
    _, updates = net.apply(fresh, x, train=True, padding_code=code, mutable=["batch_stats"])
    # One step of the running moments, undone: what is left are the batch's own.
    moments = jax.tree.map(
        lambda new, old: (new - MOMENTUM * old) / (1 - MOMENTUM),
        updates["batch_stats"],
        fresh["batch_stats"],
    )
    return fresh | {"batch_stats": moments}


def border_distance(shape: tuple[int, int], level: int, size: int) -> NDArray[np.float64]:
    """Pixels of the frame from each feature's centre to the nearest border: float64 [h, w].

    `level` poolings lie between the frame, `size` pixels wide, and the map. Maps of `valid`
    networks are larger than the frame; they are centred on it, and features beyond it are negative.
    """
    axes = [2**level * np.abs(np.arange(n) + 0.5 - n / 2) for n in shape]
    return size / 2 - np.maximum(axes[0][:, None], axes[1][None, :])


def layer_level(layer: str, depth: int) -> int:
    """Poolings between the frame and a layer: 0 for inc, k for down<k>, depth - k for up<k>."""
    if layer == "inc":
        return 0
    return int(layer[4:]) if layer.startswith("down") else depth - int(layer[2:])


def inner_features(
    maps: NDArray[np.float32], level: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features [B, pixels, channels] inside the frame and their distance to the border [pixels]."""
    distance = border_distance((maps.shape[1], maps.shape[2]), level, size)
    inside = distance > 0
    return maps[:, inside], distance[inside]


def rolled_at_random(images: Images, seed: int) -> Images:
    """Each image moved round by its own random shift, so that its content tells no position."""
    rng = np.random.default_rng(seed)
    rolls = rng.integers(0, images.shape[1], (len(images), 2))
    return np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(images, rolls)])


def batches(images: Images) -> Iterable[Images]:
    """A few images at a time: activations of all layers take many times their memory."""
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))


class Moments(NamedTuple):
    """Sums over pixels of feature vectors x and a target t, from which fits are made.

    `n` pixels; `mean` float64 [channels + 1] of (x, t); `scatter` [channels + 1, channels + 1],
    sums of products of their deviations from the mean.
    """

    n: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]


def moments(features: NDArray[np.float32], target: NDArray[np.float64]) -> Moments:
    """Moments of features [pixels, channels] beside their target [pixels]."""
    joint = np.column_stack([features.astype(np.float64), target])
    mean = joint.mean(axis=0)
    centred = joint - mean
    return Moments(len(joint), mean, centred.T @ centred)


def merged(parts: Sequence[Moments]) -> Moments:
    """Moments of all pixels together (Chan, Golub & LeVeque 1983: no cancellation)."""
    n = sum(part.n for part in parts)
    mean = sum(part.n * part.mean for part in parts) / n
    between = [part.n * np.outer(part.mean - mean, part.mean - mean) for part in parts]
    return Moments(n, np.asarray(mean), np.asarray(sum(p.scatter for p in parts) + sum(between)))


class Directions(NamedTuple):
    """Principal components: `mean` [channels], `axes` [channels, 3], `shares` of variance [3]."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    shares: NDArray[np.float64]


def principal_directions(sums: Moments) -> Directions:
    """The first three principal components of the features, each turned so as to grow inwards.

    Fewer than three channels leave the missing ones at 0. Features are not scaled.
    """
    scatter, with_target = sums.scatter[:-1, :-1], sums.scatter[:-1, -1]
    values, vectors = np.linalg.eigh(scatter)
    values, vectors = np.maximum(values[::-1], 0)[:3], vectors[:, ::-1][:, :3]
    signs = np.where(with_target @ vectors < 0, -1.0, 1.0)
    missing = 3 - len(values)
    shares = values / max(float(np.trace(scatter)), _FAINT)
    axes = np.pad(vectors * signs, ((0, 0), (0, missing)))
    return Directions(sums.mean[:-1], axes, np.pad(shares, (0, missing)))


def project(features: NDArray[np.float32], directions: Directions) -> NDArray[np.float64]:
    """Features [..., channels] on the principal components: [..., 3]."""
    return (features - directions.mean) @ directions.axes
