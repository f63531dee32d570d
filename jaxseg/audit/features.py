"""How much a trained cell's features tell of position, and how much random ones do.

The probe is run under eight conditions: the cell's weights and fresh random ones, its own padding
and another one under the same weights, and frames as they are and rolled. A frame that is rolled
by a random shift has no place of its own, so that its content cannot tell the probe where a pixel
lies: what a network still knows comes from the border and from up-sampling.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.audit.activations import (
    batches,
    inner_features,
    layer_level,
    make_activations,
    merged,
    moments,
    principal_directions,
    project,
    random_variables,
    rolled_at_random,
)
from jaxseg.audit.intervals import Estimate, mean_estimate
from jaxseg.audit.probe import probe_layers
from jaxseg.audit.rolls import other_padding
from jaxseg.errors import UsageError
from jaxseg.grid.devices import pinned
from jaxseg.nets.unet import UNet

TRAINED, RANDOM = "trained", "random"
AS_IS, ROLLED = "as they are", "rolled"
RANDOM_SEEDS = 5
SHOWN = 2
_ROLL_SEEDS = (1, 2)
_DOTS_PER_IMAGE = 150
Images = NDArray[np.uint8]


class Probed(NamedTuple):
    """R² of the probe under one condition: {layer: float [seeds, held-out images]}.

    `weights` is "trained" (one seed) or "random", `frames` "as they are" or "rolled".
    """

    weights: str
    padding: str
    frames: str
    by_layer: dict[str, NDArray[np.float64]]


class FeatureMap(NamedTuple):
    """Principal components of one layer.

    Attributes:
        layer: its name.
        images: uint8 [k, size, size, 3], the first held-out images.
        maps: float64 [k, h, w, 3], the features of those images on the components.
        dots: float64 [dots, 3], (component 1, component 2, distance to the border in pixels of the
            frame) of pixels drawn from all held-out images.
        shares: float64 [3], shares of the variance.
    """

    layer: str
    images: Images
    maps: NDArray[np.float64]
    dots: NDArray[np.float64]
    shares: NDArray[np.float64]


class CellFeatures(NamedTuple):
    """What `audit_features` found of one cell; `held_out` are the ids of the images scored."""

    name: str
    padding: str
    other: str
    upsampling: str
    held_out: list[str]
    n_train: int
    seeds: int
    probed: list[Probed]
    map: FeatureMap


@pinned()
def audit_features(
    name: str,
    net: UNet,
    variables: Any,
    ids: Sequence[str],
    images: Images,
    *,
    layer: str | None = None,
    seeds: int = RANDOM_SEEDS,
) -> CellFeatures:
    """Probes every layer of a cell under all conditions and maps one layer's features.

    Args:
        name: of the cell.
        net, variables: the cell.
        ids, images: uint8 [n, size, size, 3]; every second image is held out, the others train the
            probes.
        layer: the one to map; by default the last, which the logits are read from.
        seeds: random networks, at least 1.

    Raises:
        UsageError: an unknown layer, no seed, or fewer than 7 images.
    """
    if seeds < 1:
        raise UsageError(f"seeds={seeds}: must be at least 1 random network")
    train, held_out = images[::2], images[1::2]
    other = other_padding(net.padding)
    probed = [
        probed_condition(net.clone(padding=padding), weights, frames, train, held_out)
        for frames in (AS_IS, ROLLED)
        for weights in ([variables], list(range(seeds)))
        for padding in (net.padding, other)
    ]
    mapped = map_features(net, variables, layer or f"up{net.depth}", train, held_out)
    kept = list(ids[1::2])
    return CellFeatures(
        name, net.padding, other, net.upsampling, kept, len(train), seeds, probed, mapped
    )


def probed_condition(
    net: UNet, weights: Sequence[Any], frames: str, train: Images, held_out: Images
) -> Probed:
    """The probe under one condition; a weight that is an integer is the seed of a random network.

    The images that give random networks their moments are those that train the probe.
    """
    if frames == ROLLED:
        train, held_out = map(rolled_at_random, (train, held_out), _ROLL_SEEDS)
    scores = [
        probe_layers(
            net,
            random_variables(net, weight, train) if isinstance(weight, int) else weight,
            train,
            held_out,
        )
        for weight in weights
    ]
    kind = RANDOM if isinstance(weights[0], int) else TRAINED
    by_layer = {layer: np.stack([score[layer] for score in scores]) for layer in scores[0]}
    return Probed(kind, net.padding, frames, by_layer)


def map_features(
    net: UNet, variables: Any, layer: str, train: Images, held_out: Images
) -> FeatureMap:
    """Principal components of a layer, fitted on `train` and shown on `held_out`."""
    activations = make_activations(net, variables, [layer])
    level, size = layer_level(layer, net.depth), train.shape[1]

    def inside(batch: Images) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        return inner_features(activations(batch)[layer], level, size)

    parts = (inside(batch) for batch in batches(train))
    sums = [moments(pixels, distance) for features, distance in parts for pixels in features]
    directions = principal_directions(merged(sums))
    rng = np.random.default_rng(0)
    dots = []
    for batch in batches(held_out):
        features, distance = inside(batch)
        for pixels in features:
            few = rng.permutation(len(distance))[:_DOTS_PER_IMAGE]
            scores = project(pixels[few], directions)
            dots.append(np.column_stack([scores[:, :2], distance[few]]))
    shown = held_out[:SHOWN]
    maps = project(activations(shown)[layer], directions)
    return FeatureMap(layer, shown, maps, np.concatenate(dots), directions.shares)


def find_probed(cell: CellFeatures, weights: str, padding: str, frames: str) -> Probed:
    """The one condition of a cell; each of the eight has been probed."""
    wanted = (weights, padding, frames)
    return next(p for p in cell.probed if (p.weights, p.padding, p.frames) == wanted)


def probed_estimate(probed: Probed, layer: str) -> Estimate:
    """R² of a layer, a mean over seeds and held-out images."""
    return mean_estimate(probed.by_layer[layer])


def difference(a: Probed, b: Probed, layer: str) -> Estimate:
    """R² under `a` minus R² under `b`, paired by held-out image and, where both have them, seed.

    Both must have been scored on the same images.
    """
    return mean_estimate(a.by_layer[layer] - b.by_layer[layer])


def best_layer(probed: Probed) -> str:
    """The layer that tells most of position."""
    return max(probed.by_layer, key=lambda layer: probed_estimate(probed, layer).value)
