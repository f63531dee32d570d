"""What a network is trained and validated by: one loss of logits, or DTU-Net's of all its maps."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.grid.losses import (
    erase_patches,
    maps_loss,
    per_example_loss,
    triplet_loss,
    with_background,
)
from jaxseg.nets.dtunet import DTUNet
from jaxseg.nets.unet import UNet

DTU_LOSS = "dtu"
_ERASING = 1  # folded into a step's key for the patches, so that they and padding noise differ
_CERTAIN = -1e4  # a logit whose probability is 0 in float32 and bfloat16
Net = UNet | DTUNet


def training_loss(
    net: Net,
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
        loss: a name of `per_example_loss`, or `dtu`, which takes a DTUNet.
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
    apply = partial(
        _apply,
        net,
        variables,
        train=True,
        padding_code=padding_code,
        mutable=["batch_stats"],
        rngs={"padding": key},
    )
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
    """Logits that say a certain background where nothing is judged: no loss there, no gradient."""
    return logits if judged is None else jnp.where(judged, logits, _CERTAIN)


def _apply(net: Net, variables: Any, *arrays: Any, **options: Any) -> Any:
    return net.apply(variables, *arrays, **options)


def _example_keys(key: jax.Array, examples: int, axis: str | None) -> jax.Array:
    """A key for each example, by its place in the whole batch however devices split it."""
    first = 0 if axis is None else lax.axis_index(axis) * examples
    places = first + jnp.arange(examples)
    return jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, _ERASING)))(places)


def validation_loss(
    net: Net,
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
    apply = partial(_apply, net, variables, images, padding_code=padding_code)
    if loss != DTU_LOSS:
        logits = apply()
        return per_example_loss(loss, _only(judged, logits), targets), logits
    maps = apply(method="maps")
    return maps_loss(maps, targets), maps.fused
