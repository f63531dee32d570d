"""A linear probe for position: ridge regression from a pixel's features to its distance from the
border (the position read-out of Islam et al. 2020, linear and in closed form).

It is fitted on some images and scored by R² on others. R² is 1 where the features tell every
pixel's distance, 0 where they tell no more than the mean distance does, and below 0 where what
was learned is wrong elsewhere.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import UsageError
from jaxseg.nets.unet import UNet
from jaxseg.studies.features.activations import (
    Moments,
    batches,
    inner_features,
    layer_level,
    layer_names,
    make_activations,
    merged,
    moments,
)

_FOLDS = 5
_PENALTIES = 10.0 ** np.arange(-6, 4)  # times the number of pixels, for features of deviation 1
_FAINT = 1e-6  # of a feature's mean: a channel that varies less is constant but for rounding
LEAST_IMAGES = 4


class Probe(NamedTuple):
    """A fitted probe of one layer: distance = features @ weights + constant."""

    weights: NDArray[np.float64]
    constant: float
    penalty: float


def probe_layers(
    net: UNet, variables: Any, train: NDArray[np.uint8], held_out: NDArray[np.uint8]
) -> dict[str, NDArray[np.float64]]:
    """R² on every held-out image, by layer: {layer: float64 [held-out images]}.

    Args:
        net, variables: the network that is probed.
        train: uint8 [n, size, size, 3], for weights and penalty; at least 4 images.
        held_out: uint8 [m, size, size, 3].

    Raises:
        UsageError: fewer than 4 images to train on, or none held out.
    """
    if len(train) < LEAST_IMAGES or not len(held_out):
        raise UsageError(
            f"images={len(train) + len(held_out)}: a probe takes at least {LEAST_IMAGES} images to "
            "train on and 1 held out; give more images"
        )
    layers = layer_names(net.depth)
    activations = make_activations(net, variables, layers)
    size = train.shape[1]
    sums: dict[str, list[Moments]] = {layer: [] for layer in layers}
    for batch in batches(train):
        for layer, maps in activations(batch).items():
            features, distance = inner_features(maps, layer_level(layer, net.depth), size)
            sums[layer] += [moments(pixels, distance) for pixels in features]
    probes = {layer: fit(parts) for layer, parts in sums.items()}
    scores: dict[str, list[float]] = {layer: [] for layer in layers}
    for batch in batches(held_out):
        for layer, maps in activations(batch).items():
            features, distance = inner_features(maps, layer_level(layer, net.depth), size)
            scores[layer] += [r_squared(probes[layer], pixels, distance) for pixels in features]
    return {layer: np.asarray(values) for layer, values in scores.items()}


def fit(by_image: Sequence[Moments]) -> Probe:
    """Ridge regression on all images; the penalty is chosen by cross-validation over images.

    Features are scaled to deviation 1 first. Equals `sklearn.linear_model.Ridge` on standardised
    features with alpha = penalty · pixels.
    """
    folds = min(_FOLDS, len(by_image))
    parts = [merged(by_image[k::folds]) for k in range(folds)]
    losses = np.zeros(len(_PENALTIES))
    for k in range(folds):
        rest = merged([part for j, part in enumerate(parts) if j != k])
        losses += [_squared_error(probe, parts[k]) for probe in _solutions(rest)]
    # Of equals the largest penalty: a target that nothing tells wants no weights.
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))
    return _solutions(merged(by_image))[best]


def _solutions(sums: Moments) -> list[Probe]:
    """The probe for each penalty, by one eigendecomposition of the features' correlations."""
    variance = np.diag(sums.scatter)[:-1] / sums.n
    means, target_mean = sums.mean[:-1], sums.mean[-1]
    alive = variance > np.square(_FAINT * np.maximum(np.abs(means), _FAINT))
    scale = np.where(alive, 1 / np.sqrt(np.where(alive, variance, 1)), 0)
    correlations = sums.scatter[:-1, :-1] / sums.n * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(correlations)
    along = vectors.T @ (scale * sums.scatter[:-1, -1] / sums.n)
    probes = []
    for penalty in _PENALTIES:
        weights = scale * (vectors @ (along / (np.maximum(values, 0) + penalty)))
        probes.append(Probe(weights, float(target_mean - means @ weights), float(penalty)))
    return probes


def _squared_error(probe: Probe, sums: Moments) -> float:
    """Sum of squared errors of a probe on pixels of which only the moments are kept."""
    direction = np.append(probe.weights, -1.0)
    bias = float(direction @ sums.mean) + probe.constant
    return float(direction @ sums.scatter @ direction) + sums.n * bias**2


def r_squared(probe: Probe, features: NDArray[np.float32], distance: NDArray[np.float64]) -> float:
    """1 - squared error over variance of one image's pixels [pixels, channels]; NaN for one pixel
    or where all lie at one distance."""
    errors = features.astype(np.float64) @ probe.weights + probe.constant - distance
    spread = float(np.square(distance - distance.mean()).sum())
    return 1 - float(np.square(errors).sum()) / spread if spread > 0 else float("nan")
