"""Training of ONE cell as pure functions; nothing here knows that there are many.

`make_program` binds what shapes the compiled program; what varies between the cells that share it
(seed, learning rate, padding code) is an array argument, `Hyper`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxseg.nets.unet import UNet

_PAPER_SMOOTH = 0.5  # optax halves numerator and denominator: the paper's smooth=1
_NEVER = -1
Variables = dict[str, Any]


class Hyper(NamedTuple):
    """What a cell brings to its program: seed int32, learning_rate float32, padding_code int32."""

    seed: jax.typing.ArrayLike
    learning_rate: Any
    padding_code: jax.typing.ArrayLike


class TrainState(NamedTuple):
    """Everything training carries from step to step.

    `diverged_at` is the first step whose loss was not finite, -1 so far. `best` and `best_loss`
    are kept under selection `best` alone; None and +inf otherwise.
    """

    variables: Variables
    opt_state: optax.OptState
    step: jax.Array
    diverged_at: jax.Array
    best: Variables | None
    best_loss: jax.Array


class Program(NamedTuple):
    """The functions of one cell. Images uint8 [B, H, W, 3], masks uint8 [B, H, W] class indices.

    init(hyper) -> TrainState
    step(state, hyper, images, masks) -> (TrainState, loss float32)
    validate(state, hyper, images, masks, weights [B]) -> sums of (loss, tp, fp, fn, weight) [5]
    select(state, val_loss) -> TrainState, with the best variables so far kept
    predict(variables, hyper, images) -> uint8 [B, H, W] class indices
    """

    init: Callable[..., TrainState]
    step: Callable[..., tuple[TrainState, jax.Array]]
    validate: Callable[..., jax.Array]
    select: Callable[..., TrainState]
    predict: Callable[..., jax.Array]


def normalise(images: jax.Array) -> jax.Array:
    """uint8 [..., 3] in 0 … 255 -> float32 in [-1, 1]."""
    return images.astype(jnp.float32) / 127.5 - 1.0


def one_hot(masks: jax.Array, classes: int) -> jax.Array:
    """Class indices uint8 [...] -> bool [..., classes] over the foreground classes 1 … classes."""
    index = jnp.arange(1, classes + 1, dtype=masks.dtype)
    return jnp.expand_dims(masks, -1) == index.reshape((1,) * masks.ndim + (-1,))


def class_indices(logits: Any) -> jax.Array:
    """Logits [..., classes] -> uint8 [...]: the largest logit, 0 where none is positive."""
    background = jnp.zeros_like(logits[..., :1])
    return jnp.argmax(jnp.concatenate([background, logits], -1), -1).astype(jnp.uint8)


def per_example_loss(name: str, logits: Any, targets: Any) -> jax.Array:
    """Loss of each example, mean over classes: float [B, H, W, C] and bool [B, H, W, C] -> [B].

    `dice` equals the paper's soft Dice with smooth=1 over each image; `bce` is the mean binary
    cross entropy; `dice_bce` their mean (the paper's CombinedLoss with equal weights).
    """
    targets = targets.astype(logits.dtype)
    bce = optax.losses.sigmoid_binary_cross_entropy(logits, targets).mean((1, 2, 3))
    if name == "bce":
        return bce
    per_class = [jnp.moveaxis(a, -1, 0)[..., None] for a in (logits, targets)]
    dice = jax.vmap(lambda x, y: optax.losses.dice_loss(x, y, smooth=_PAPER_SMOOTH))(*per_class)
    return dice.mean(0) if name == "dice" else 0.5 * (dice.mean(0) + bce)


def make_program(
    net: UNet, *, size: int, loss: str, select_best: bool, padding_as_data: bool
) -> Program:
    """The pure functions of a cell.

    With `net.batch_axis` set, gradients and losses are averaged over that mapped axis too.
    `padding_as_data` lets `Hyper.padding_code` choose among the standard modes.
    """
    axis = net.batch_axis

    def average(tree):
        return tree if axis is None else lax.pmean(tree, axis)

    def apply(variables, hyper, images, **options):
        code = hyper.padding_code if padding_as_data else None
        return net.apply(variables, normalise(images), padding_code=code, **options)

    def init(hyper: Hyper) -> TrainState:
        key = jax.random.key(hyper.seed)
        variables = dict(net.clone(batch_axis=None).init(key, jnp.zeros((1, size, size, 3))))
        variables.setdefault("batch_stats", {})
        return TrainState(
            variables,
            optax.adam(hyper.learning_rate).init(variables["params"]),
            jnp.int32(0),
            jnp.int32(_NEVER),
            jax.tree.map(jnp.copy, variables) if select_best else None,
            jnp.float32(jnp.inf),
        )

    def step(state, hyper, images, masks):
        noise = jax.random.fold_in(jax.random.key(hyper.seed), state.step)

        def objective(params):
            logits, updates = apply(
                state.variables | {"params": params},
                hyper,
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"padding": noise},
            )
            targets = one_hot(masks, net.classes)
            return per_example_loss(loss, logits, targets).mean(), updates

        params = state.variables["params"]
        (value, updates), grads = jax.value_and_grad(objective, has_aux=True)(params)
        value, grads = average((value, grads))
        optimizer = optax.adam(hyper.learning_rate)
        deltas, opt_state = optimizer.update(grads, state.opt_state, params)
        variables = {
            "params": optax.apply_updates(params, deltas),
            **{"batch_stats": {}, **updates},
        }
        first_bad = (state.diverged_at == _NEVER) & ~jnp.isfinite(value)
        state = state._replace(
            variables=variables,
            opt_state=opt_state,
            step=state.step + 1,
            diverged_at=jnp.where(first_bad, state.step, state.diverged_at),
        )
        return state, value

    def validate(state, hyper, images, masks, weights):
        logits = apply(state.variables, hyper, images)
        targets = one_hot(masks, net.classes)
        chosen = one_hot(class_indices(logits), net.classes)
        weight = weights[:, None, None, None]
        tp, fp, fn = (
            jnp.sum(weight * both)
            for both in (chosen & targets, chosen & ~targets, ~chosen & targets)
        )
        lost = jnp.sum(per_example_loss(loss, logits, targets) * weights)
        sums = jnp.stack([lost, tp, fp, fn, jnp.sum(weights)])
        return sums if axis is None else lax.psum(sums, axis)

    def select(state, val_loss):
        better = val_loss < state.best_loss
        best = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), state.variables, state.best
        )
        return state._replace(best=best, best_loss=jnp.minimum(val_loss, state.best_loss))

    def predict(variables, hyper, images):
        return class_indices(apply(variables, hyper, images))

    return Program(init, step, validate, select, predict)


def selected_variables(state: TrainState) -> Variables:
    """The variables a cell is judged by: the best on validation where kept, the last otherwise."""
    return state.variables if state.best is None else state.best
