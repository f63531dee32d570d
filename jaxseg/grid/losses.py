"""Losses of single examples, from logits whose background is 0."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxseg.nets.dtunet import Maps
from jaxseg.nets.unet import with_background_logit

_PAPER_SMOOTH = 0.5  # optax halves numerator and denominator: the paper's smooth=1
_GAMMA = 2  # of the focal loss, Lin et al. 2017's choice
MARGIN = 0.1  # of DTU-Net's triplet loss
PATCH = 8  # pixels
ERASED_SHARE = 0.2


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
    distances along the last axis: there, with channels first, a row of one channel, which would
    tell rows from columns. Examples without foreground (nothing can be erased) count 0.
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
