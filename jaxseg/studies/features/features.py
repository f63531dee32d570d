"""How much of position can be read out of a trained network's features, and of random ones.

The probe is run under up to eight conditions: the network's weights and fresh random ones, its own
padding and another one under the same weights, and frames as they are and rolled. A frame that is
rolled by a random shift has no place of its own, so that its content is no clue to where a pixel
lies: what a network still knows comes from the border and from up-sampling.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import UsageError
from jaxseg.grid.devices import pinned
from jaxseg.metrics.bootstrap import Estimate, mean_estimate
from jaxseg.nets.registry import Network
from jaxseg.studies.features.probe import (
    Images,
    batches,
    inner_features,
    make_activations,
    merged,
    moments,
    principal_directions,
    probe_layers,
    project,
    random_variables,
    rolled_at_random,
)
from jaxseg.studies.shift.border import other_padding

TRAINED, RANDOM = "trained", "random"
AS_IS, ROLLED = "as they are", "rolled"
RANDOM_SEEDS = 5
SHOWN = 2
_ROLL_SEEDS = (1, 2)
_DOTS_PER_IMAGE = 150


class Probed(NamedTuple):
    """R² of the probe under one condition: {layer: float [seeds, held-out images]}.

    `weights` is "trained" (one seed) or "random", `frames` "as they are" or "rolled"; `padding` is
    empty for a network without padding switch.
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
    """What `audit_features` found of one cell.

    `held_out` are the ids of the images scored. `padding` and `upsampling` are empty for a network
    without that setting, `other` where there is no other padding to compare with.
    """

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
    net: Network,
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
        UsageError: an unknown layer, no seed, fewer than 7 images, or a network without named
            layers.
    """
    if seeds < 1:
        raise UsageError(f"seeds={seeds}: must be at least 1 random network")
    train, held_out = images[::2], images[1::2]
    other = other_padding(net, images.shape[1])
    probed = [
        probed_condition(padded, weights, frames, train, held_out)
        for frames in (AS_IS, ROLLED)
        for weights in ([variables], list(range(seeds)))
        for padded in (net, other)
        if padded is not None
    ]
    layer = layer or net.blocks(images.shape[1])[-1]
    return CellFeatures(
        name=name,
        padding=net.padding or "",
        other="" if other is None else other.padding or "",
        upsampling=net.upsampling or "",
        held_out=list(ids[1::2]),
        n_train=len(train),
        seeds=seeds,
        probed=probed,
        map=map_features(net, variables, layer, train, held_out),
    )


def probed_condition(
    net: Network, weights: Sequence[Any], frames: str, train: Images, held_out: Images
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
    return Probed(kind, net.padding or "", frames, by_layer)


def map_features(
    net: Network, variables: Any, layer: str, train: Images, held_out: Images
) -> FeatureMap:
    """Principal components of a layer, fitted on `train` and shown on `held_out`."""
    size = train.shape[1]
    activations = make_activations(net, variables, [layer], size)
    stride = net.layers(size)[layer].stride[0]
    sums = []
    for batch in batches(train):
        features, distance = inner_features(activations(batch)[layer], stride, size)
        sums += [moments(pixels, distance) for pixels in features]
    directions = principal_directions(merged(sums))
    rng = np.random.default_rng(0)
    dots = []
    for batch in batches(held_out):
        features, distance = inner_features(activations(batch)[layer], stride, size)
        for pixels in features:
            few = rng.permutation(len(distance))[:_DOTS_PER_IMAGE]
            scores = project(pixels[few], directions)
            dots.append(np.column_stack([scores[:, :2], distance[few]]))
    shown = held_out[:SHOWN]
    maps = project(activations(shown)[layer], directions)
    return FeatureMap(layer, shown, maps, np.concatenate(dots), directions.shares)


def find_probed(cell: CellFeatures, weights: str, padding: str, frames: str) -> Probed:
    """The one condition of a cell; each has been probed."""
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
    """The layer from which position is read out best; one without a value is the last choice."""
    values = {layer: probed_estimate(probed, layer).value for layer in probed.by_layer}
    return max(values, key=lambda layer: np.nan_to_num(values[layer], nan=-np.inf))
