"""Training of ONE cell as pure functions; nothing here knows that there are many.

`make_program` binds what shapes the compiled program; what varies between the cells that share it
(seed, learning rate, padding code) is an array argument, `Hyper`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

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

    `diverged_at` is the first step whose loss or new variables were not finite, -1 so far; from
    that step on the variables stay what they were before it. `best` and `best_loss` are kept under
    selection `best` alone; None and +inf otherwise.
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
    step(state, hyper, images, masks) -> (TrainState, loss float32, NaN once diverged)
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


class Recipe(NamedTuple):
    """What shapes the compiled program of a cell.

    With `net.batch_axis` set, gradients and losses are averaged over that mapped axis too.
    `padding_as_data` lets `Hyper.padding_code` choose among the standard modes.
    """

    net: UNet
    size: int
    loss: str
    select_best: bool
    padding_as_data: bool


def make_program(
    net: UNet, *, size: int, loss: str, select_best: bool, padding_as_data: bool
) -> Program:
    """The pure functions of a cell; the arguments are those of `Recipe`."""
    recipe = Recipe(net, size, loss, select_best, padding_as_data)
    return Program(
        init=partial(_init, recipe),
        step=partial(_step, recipe),
        validate=partial(_validate, recipe),
        select=partial(_select, recipe),
        predict=partial(_predict, recipe),
    )


def _apply(recipe: Recipe, variables: Variables, hyper: Hyper, images: Any, **options) -> Any:
    code = hyper.padding_code if recipe.padding_as_data else None
    return recipe.net.apply(variables, normalise(images), padding_code=code, **options)


def _init(recipe: Recipe, hyper: Hyper) -> TrainState:
    key = jax.random.key(hyper.seed)
    images = jnp.zeros((1, recipe.size, recipe.size, 3))
    variables = dict(recipe.net.clone(batch_axis=None).init(key, images))
    variables.setdefault("batch_stats", {})
    return TrainState(
        variables=variables,
        opt_state=optax.adam(hyper.learning_rate).init(ravel_pytree(variables["params"])[0]),
        step=jnp.int32(0),
        diverged_at=jnp.int32(_NEVER),
        best=jax.tree.map(jnp.copy, variables) if recipe.select_best else None,
        best_loss=jnp.float32(jnp.inf),
    )


def _step(
    recipe: Recipe, state: TrainState, hyper: Hyper, images: Any, masks: Any
) -> tuple[TrainState, jax.Array]:
    value, batch_stats, grads = _gradients(recipe, state, hyper, images, masks)
    # As one vector: an operation per leaf takes longer to compile than the network's gradients.
    params, as_tree = ravel_pytree(state.variables["params"])
    deltas, opt_state = optax.adam(hyper.learning_rate).update(
        ravel_pytree(grads)[0], state.opt_state
    )
    new = (optax.apply_updates(params, deltas), batch_stats)
    running = state.diverged_at == _NEVER
    healthy = running & jnp.isfinite(ravel_pytree((value, new))[0]).all()
    # A cell that diverges stays at its last finite variables: they can be looked into.
    keep = partial(jax.tree.map, partial(jnp.where, healthy))
    params, batch_stats = keep(new, (params, state.variables["batch_stats"]))
    state = state._replace(
        variables={"params": as_tree(params), "batch_stats": batch_stats},
        opt_state=keep(opt_state, state.opt_state),
        step=state.step + 1,
        diverged_at=jnp.where(running & ~healthy, state.step, state.diverged_at),
    )
    return state, jnp.where(healthy, value, jnp.nan)


def _gradients(
    recipe: Recipe, state: TrainState, hyper: Hyper, images: Any, masks: Any
) -> tuple[jax.Array, Variables, Variables]:
    """(loss, new running moments, gradients of the parameters) of one batch."""
    noise = jax.random.fold_in(jax.random.key(hyper.seed), state.step)
    targets = one_hot(masks, recipe.net.classes)

    def objective(params):
        variables = state.variables | {"params": params}
        logits, updates = _apply(
            recipe,
            variables,
            hyper,
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"padding": noise},
        )
        return per_example_loss(recipe.loss, logits, targets).mean(), updates

    grad = jax.value_and_grad(objective, has_aux=True)
    (value, updates), grads = grad(state.variables["params"])
    if recipe.net.batch_axis is not None:
        value, grads = lax.pmean((value, grads), recipe.net.batch_axis)
    return value, updates.get("batch_stats", {}), grads


def _validate(
    recipe: Recipe, state: TrainState, hyper: Hyper, images: Any, masks: Any, weights: Any
) -> jax.Array:
    logits = _apply(recipe, state.variables, hyper, images)
    targets = one_hot(masks, recipe.net.classes)
    chosen = one_hot(class_indices(logits), recipe.net.classes)
    weight = weights[:, None, None, None]
    outcomes = (chosen & targets, chosen & ~targets, ~chosen & targets)
    lost = jnp.sum(per_example_loss(recipe.loss, logits, targets) * weights)
    sums = jnp.stack([lost, *(jnp.sum(weight * o) for o in outcomes), jnp.sum(weights)])
    axis = recipe.net.batch_axis
    return sums if axis is None else lax.psum(sums, axis)


def _select(recipe: Recipe, state: TrainState, val_loss: jax.Array) -> TrainState:
    better = val_loss < state.best_loss
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.variables, state.best)
    return state._replace(best=best, best_loss=jnp.minimum(val_loss, state.best_loss))


def _predict(recipe: Recipe, variables: Variables, hyper: Hyper, images: Any) -> jax.Array:
    return class_indices(_apply(recipe, variables, hyper, images))


def selected_variables(state: TrainState) -> Variables:
    """The variables a cell is judged by: the best on validation where kept, the last otherwise."""
    return state.variables if state.best is None else state.best
