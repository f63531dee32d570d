"""How much of position can be read out of a trained network's features, and of random ones.

The probe is ridge regression from a pixel's features to its distance from the border (the position
read-out of Islam et al. 2020, linear and in closed form). It is fitted on some images and scored by
R² on others. R² is 1 where the features predict every pixel's distance, 0 where they predict no
better than the mean distance does, and below 0 where what was learned is wrong elsewhere.

The probe is run under up to eight conditions: the network's weights and fresh random ones, its own
padding and another one under the same weights, and frames as they are and rolled. A frame that is
rolled by a random shift has no place of its own, so that its content is no clue to where a pixel
lies: what a network still knows comes from the border and from up-sampling.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.devices import pinned
from jaxseg.grid.train import normalise
from jaxseg.metrics.bootstrap import Estimate, mean_estimate
from jaxseg.nets.registry import Network
from jaxseg.studies.shift.border import other_padding

Images = NDArray[np.uint8]
TRAINED, RANDOM = "trained", "random"
AS_IS, ROLLED = "as they are", "rolled"
RANDOM_SEEDS = 5
LEAST_IMAGES = 4
_SHOWN = 2
_ROLL_SEEDS = (1, 2)
_DOTS_PER_IMAGE = 150
_BATCH = 8  # images at a time: activations of all layers take many times their memory
_FOLDS = 5
_PENALTIES = 10.0 ** np.arange(-6, 4)  # times the number of pixels, for features of deviation 1
_FAINT_MEAN = 1e-6  # of a feature's mean: a channel that varies less is constant but for rounding
_FAINT = 1e-8  # of a feature's magnitude: what is left of a constant by rounding


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
        name, net, variables: the cell.
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
    rolled = (rolled_at_random(part, seed) for part, seed in zip((train, held_out), _ROLL_SEEDS))
    other = other_padding(net, images.shape[1])
    probed = []
    for frames, (fitted, scored) in {AS_IS: (train, held_out), ROLLED: tuple(rolled)}.items():
        for weights in (TRAINED, RANDOM):
            for padded in (net, other):
                if padded is None:
                    continue
                # The images that train the probe give random networks their moments.
                drawn = (random_variables(padded, k, fitted) for k in range(seeds))
                networks = [variables] if weights == TRAINED else drawn
                scores = [probe_layers(padded, each, fitted, scored) for each in networks]
                by_layer = {name: np.stack([s[name] for s in scores]) for name in scores[0]}
                probed.append(Probed(weights, padded.padding or "", frames, by_layer))
    layer = layer or net.blocks(images.shape[1])[-1]
    return CellFeatures(
        name=name,
        padding=net.padding or "",
        other="" if other is None else other.padding or "",
        upsampling=net.upsampling or "",
        held_out=list(ids[1::2]),
        seeds=seeds,
        probed=probed,
        map=map_features(net, variables, layer, train, held_out),
    )


def map_features(
    net: Network, variables: Any, layer: str, train: Images, held_out: Images
) -> FeatureMap:
    """Principal components of a layer, fitted on `train` and shown on `held_out`."""
    fitted = _pixels(net, variables, [layer], train)
    directions = principal_directions(merged([moments(x, distance) for _, x, distance in fitted]))
    rng = np.random.default_rng(0)
    dots = []
    for _, features, distance in _pixels(net, variables, [layer], held_out):
        few = rng.permutation(len(distance))[:_DOTS_PER_IMAGE]
        first, second, _ = project(features[few], directions).T
        dots.append(np.column_stack([first, second, distance[few]]))
    shown = held_out[:_SHOWN]
    maps = activations(net, variables, [layer], shown)[layer]
    return FeatureMap(
        layer, shown, project(maps, directions), np.concatenate(dots), directions.shares
    )


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


def activations(
    net: Network, variables: Any, layers: Sequence[str], images: Images
) -> dict[str, NDArray[np.float32]]:
    """{layer: float32 [B, h, w, channels]} for images uint8 [B, size, size, 3].

    Of a UNet's blocks these are the values after the last ReLU. Raises UsageError for a layer that
    is no block of the network.
    """
    for layer in layers:
        check_choice("layer", layer, net.blocks(images.shape[1]))
    shared, code = net.coded()
    found = _capture(shared, tuple(layers), variables, jnp.asarray(images), code)
    return {name: np.asarray(maps) for name, maps in found.items()}


# Variables are arguments: networks of one shape share a program.
@partial(jax.jit, static_argnums=(0, 1))
def _capture(
    net: Network, layers: tuple[str, ...], variables: Any, images: jax.Array, code: Any
) -> dict[str, jax.Array]:
    return net.capture(variables, normalise(images), layers, padding_code=code)


def random_variables(net: Network, seed: int, images: Images) -> dict[str, Any]:
    """Fresh variables of `net`, as training starts from, with the moments of a batch of images.

    Without moments of its own batch normalisation would let the signal fade with depth.
    """
    shared, code = net.coded()
    return _fresh(shared, jax.random.key(seed), jnp.asarray(images[:_BATCH]), code)


@partial(jax.jit, static_argnums=0)
def _fresh(net: Network, key: jax.Array, images: jax.Array, code: Any) -> dict[str, Any]:
    x = normalise(images)
    return net.with_batch_moments(net.init(key, x[:1]), x, padding_code=code)


def border_distance(shape: tuple[int, int], stride: int, size: int) -> NDArray[np.float64]:
    """Pixels of the frame from each feature's centre to the nearest border: float64 [h, w].

    `stride` is how many pixels of the frame, `size` pixels wide, lie between two features. Maps of
    `valid` networks are larger than the frame; they are centred on it, and features beyond it are
    negative.
    """
    axes = [stride * np.abs(np.arange(n) + 0.5 - n / 2) for n in shape]
    return size / 2 - np.maximum(axes[0][:, None], axes[1][None, :])


def inner_features(
    maps: NDArray[np.float32], stride: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features [B, pixels, channels] inside the frame and their distance to the border [pixels]."""
    distance = border_distance((maps.shape[1], maps.shape[2]), stride, size)
    inside = distance > 0
    return maps[:, inside], distance[inside]


def rolled_at_random(images: Images, seed: int) -> Images:
    """Each image moved round by its own random shift: its content is no clue to position."""
    rng = np.random.default_rng(seed)
    rolls = rng.integers(0, images.shape[1], (len(images), 2))
    return np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(images, rolls)])


def _pixels(
    net: Network, variables: Any, layers: Sequence[str], images: Images
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float64]]]:
    """(layer, features [pixels, channels], distances to the border [pixels]) image by image."""
    size = images.shape[1]
    known = net.layers(size)
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for layer, maps in activations(net, variables, layers, batch).items():
            features, distance = inner_features(maps, known[layer].stride[0], size)
            for of_image in features:
                yield layer, of_image, distance


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


class Probe(NamedTuple):
    """A fitted probe of one layer: distance = features @ weights + constant."""

    weights: NDArray[np.float64]
    constant: float
    penalty: float


def probe_layers(
    net: Network, variables: Any, train: Images, held_out: Images
) -> dict[str, NDArray[np.float64]]:
    """R² on every held-out image, by layer: {layer: float64 [held-out images]}.

    Args:
        net, variables: the network that is probed, at all of its blocks.
        train: uint8 [n, size, size, 3], for weights and penalty; at least 4 images.
        held_out: uint8 [m, size, size, 3].

    Raises:
        UsageError: fewer than 4 images to train on, or none held out; a network without named
            layers.
    """
    if len(train) < LEAST_IMAGES or not len(held_out):
        raise UsageError(
            f"images={len(train) + len(held_out)}: a probe takes at least {LEAST_IMAGES} images to "
            "train on and 1 held out; give more images"
        )
    layers = net.blocks(train.shape[1])
    sums: dict[str, list[Moments]] = {layer: [] for layer in layers}
    for layer, features, distance in _pixels(net, variables, layers, train):
        sums[layer].append(moments(features, distance))
    probes = {layer: fit(parts) for layer, parts in sums.items()}
    scores: dict[str, list[float]] = {layer: [] for layer in layers}
    for layer, features, distance in _pixels(net, variables, layers, held_out):
        scores[layer].append(r_squared(probes[layer], features, distance))
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
    # Of equals the largest penalty: a target that nothing predicts needs no weights.
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))
    return _solutions(merged(by_image))[best]


def _solutions(sums: Moments) -> list[Probe]:
    """The probe for each penalty, by one eigendecomposition of the features' correlations."""
    variance = np.diag(sums.scatter)[:-1] / sums.n
    means, target_mean = sums.mean[:-1], sums.mean[-1]
    alive = variance > np.square(_FAINT_MEAN * np.maximum(np.abs(means), _FAINT_MEAN))
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
