"""The losses by which a network is trained and validated, from logits or DTU-Net's maps.

Logits have the background at 0.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxseg.nets.dtunet import Maps
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import with_background_logit

_PAPER_SMOOTH = 0.5  # optax halves numerator and denominator: the paper's smooth=1
_GAMMA = 2  # of the focal loss, Lin et al. 2017's choice
MARGIN = 0.1  # of DTU-Net's triplet loss
PATCH = 8  # pixels
ERASED_SHARE = 0.2
DTU_LOSS = "dtu"
_ERASING = 1  # folded into a step's key for the patches, so that they and padding noise differ
_CERTAIN = -1e4  # a logit whose probability is 0 in float32 and bfloat16


def per_example_loss(name: str, logits: Any, targets: Any) -> jax.Array:
    """Loss of each example: float [B, H, W, C] and bool [B, H, W, C] -> [B].

    `dice` equals the paper's soft Dice with smooth=1 over each image; `bce` is the mean binary
    cross entropy; `dice_bce` their mean (the paper's CombinedLoss with equal weights). These take
    the classes one by one and give their mean; `dice_focal` takes them as exclusive.
    """
    if name == "dice_focal":
        return dice_focal(logits, targets)
    targets = targets.astype(logits.dtype)
    bce = optax.losses.sigmoid_binary_cross_entropy(logits, targets).mean((1, 2, 3))
    if name == "bce":
        return bce
    per_class = [jnp.moveaxis(a, -1, 0)[..., None] for a in (logits, targets)]
    dice = jax.vmap(lambda x, y: optax.losses.dice_loss(x, y, smooth=_PAPER_SMOOTH))(*per_class)
    return dice.mean(0) if name == "dice" else 0.5 * (dice.mean(0) + bce)


def with_background(targets: jax.Array) -> jax.Array:
    """Truth bool [..., C] of exclusive classes with the background before them: [..., 1 + C]."""
    return jnp.concatenate([~targets.any(-1, keepdims=True), targets], axis=-1)


def dice_focal(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Soft Dice plus focal loss over the softmax of [0, logits]; arguments as above.

    Dice (smooth=1, over each image) is the mean over the classes with the background, the focal
    loss -(1 - p)² log p of each pixel's true class the mean over pixels. MONAI's DiceFocalLoss
    (softmax=True) has the same terms, but its focal loss takes the classes one by one.
    """
    scores, truth = with_background_logit(logits), with_background(targets).astype(logits.dtype)
    dice = optax.losses.dice_loss(scores, truth, smooth=_PAPER_SMOOTH)
    log_p = jnp.sum(truth * jax.nn.log_softmax(scores), axis=-1)
    focal = -((1 - jnp.exp(log_p)) ** _GAMMA) * log_p
    return dice + focal.mean((1, 2))


def maps_loss(maps: Maps, targets: jax.Array) -> jax.Array:
    """DTU-Net's loss without the triplet term, of truth bool [B, H, W, C] -> [B].

    Binary cross entropy of s against any foreground, plus Dice-focal loss of the coarse and of the
    fused map, all with weight 1 as in the authors' code.
    """
    foreground = targets.any(-1, keepdims=True).astype(maps.structure.dtype)
    bce = optax.losses.sigmoid_binary_cross_entropy(maps.structure, foreground).mean((1, 2, 3))
    return bce + dice_focal(maps.coarse, targets) + dice_focal(maps.fused, targets)


def triplet_loss(
    anchor: jax.Array, positive: jax.Array, negative: jax.Array, targets: jax.Array
) -> jax.Array:
    """Hinge by which the prediction is nearer to the truth than to the erased truth: [B].

    max(|anchor - positive| - |anchor - negative| + 0.1, 0) at each position of the topology
    network's deepest features [B, h, w, C], with distances over the channels, averaged over
    positions. The authors' code gives these features to `torch.nn.TripletMarginLoss`, which takes
    distances along the last axis: with channels first that is a row of one channel, so that rows
    and columns would be treated differently. Examples without foreground (nothing can be erased)
    count 0.
    """
    hinge = optax.losses.triplet_margin_loss(anchor, positive, negative, margin=MARGIN)
    return jnp.where(targets.any((1, 2, 3)), hinge.mean((1, 2)), 0)


def erase_patches(targets: jax.Array, keys: jax.Array) -> jax.Array:
    """Truth bool [B, H, W, C] without a fifth of its foreground: the triplet's negative.

    Of the n 8×8 patches of an example that hold foreground, round(0.2 n), at least one, drawn with
    its key of `keys` [B], become background. H and W must be multiples of 8.
    """
    return jax.vmap(_erase)(targets, keys)


def _erase(targets: jax.Array, key: jax.Array) -> jax.Array:
    height, width, classes = targets.shape
    grid = (height // PATCH, PATCH, width // PATCH, PATCH, classes)
    occupied = targets.reshape(grid).any((1, 3, 4))
    erased = _draw(occupied.reshape(-1), key).reshape(occupied.shape)
    pixels = jnp.repeat(jnp.repeat(erased, PATCH, axis=0), PATCH, axis=1)
    return targets & ~pixels[..., None]


def _draw(occupied: jax.Array, key: jax.Array) -> jax.Array:
    """The stated share of the true elements of [n], by a random order of them."""
    count = occupied.sum()
    wanted = jnp.maximum(jnp.round(ERASED_SHARE * count), 1)
    order = jnp.argsort(jnp.where(occupied, jax.random.uniform(key, occupied.shape), 2.0))
    rank = jnp.argsort(order)
    return occupied & (rank < wanted)


def training_loss(
    net: Network,
    loss: str,
    variables: Any,
    images: jax.Array,
    targets: jax.Array,
    *,
    padding_code: Any,
    key: jax.Array,
    judged: jax.Array | None = None,
) -> tuple[jax.Array, Any]:
    """(mean loss, collections that the batch updates) of one training batch.

    Args:
        net: the network.
        loss: a name of `per_example_loss`, or `dtu`, which takes a network that `has_maps`.
        variables: its parameters and running moments.
        images: float32 [B, H, W, 3] in [-1, 1].
        targets: bool [B, H, W, classes].
        padding_code: int32 scalar, or None for the network's own padding.
        key: the step's PRNG key, the same on all devices of a cell.
        judged: which pixels count, bool [B, H, W, 1]; None for all. `dtu` takes None alone.

    Of the topology network's three passes (coarse map, truth, erased truth) the first alone
    updates the running moments: it is the one that prediction repeats. All three are normalised by
    the moments of their own batch.
    """
    apply = partial(net.apply, variables, train=True, padding_code=padding_code, key=key)
    if loss != DTU_LOSS:
        logits, updates = apply(images)
        return per_example_loss(loss, _only(judged, logits), targets).mean(), updates
    maps, updates = apply(images, method="maps")
    erased = erase_patches(targets, _example_keys(key, len(targets), net.batch_axis))
    positive, negative = (
        apply(with_background(truth).astype(jnp.float32), method="embed")[0]
        for truth in (targets, erased)
    )
    triplet = triplet_loss(maps.embedding, positive, negative, targets)
    return (maps_loss(maps, targets) + triplet).mean(), updates


def _only(judged: jax.Array | None, logits: jax.Array) -> jax.Array:
    """Logits with a certain background where pixels are not judged: no loss there, no gradient."""
    return logits if judged is None else jnp.where(judged, logits, _CERTAIN)


def _example_keys(key: jax.Array, examples: int, axis: str | None) -> jax.Array:
    """A key for each example, by its place in the whole batch however devices split it."""
    first = 0 if axis is None else lax.axis_index(axis) * examples
    places = first + jnp.arange(examples)
    return jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, _ERASING)))(places)


def validation_loss(
    net: Network,
    loss: str,
    variables: Any,
    images: jax.Array,
    targets: jax.Array,
    *,
    padding_code: Any,
    judged: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(loss of each example [B], logits float32 [B, H, W, classes]); arguments as above.

    `dtu` is without its triplet term, as in the authors' code: nothing is drawn here.
    """
    if loss != DTU_LOSS:
        logits = net.logits(variables, images, padding_code=padding_code)
        return per_example_loss(loss, _only(judged, logits), targets), logits
    maps, _ = net.apply(variables, images, padding_code=padding_code, method="maps")
    return maps_loss(maps, targets), maps.fused
