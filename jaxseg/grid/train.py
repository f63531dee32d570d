"""Training of ONE cell as pure functions, without any axis over cells.

`Program` binds what shapes the compiled program; what varies between the cells that share it
(seed, learning rate, padding code) is an array argument, `Hyper`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree

from jaxseg.data.masks import IGNORED
from jaxseg.grid.losses import training_loss, validation_loss
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import with_background_logit

NEVER = -1  # in the place of a step
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
    selection `best` alone; None and +inf otherwise. `waited` counts the validations since the best
    one; `stopped_at` is the number of steps after which they were too many, -1 so far: from then
    on nothing of the cell changes.
    """

    variables: Variables
    opt_state: optax.OptState
    step: jax.Array
    diverged_at: jax.Array
    best: Variables | None
    best_loss: jax.Array
    waited: jax.Array
    stopped_at: jax.Array

    @property
    def running(self) -> jax.Array:
        """Whether the cell has neither diverged nor stopped."""
        return (self.diverged_at == NEVER) & (self.stopped_at == NEVER)


class Optimiser(NamedTuple):
    """What shapes the optimiser of a compiled program.

    weight_decay: decoupled from the gradient (Loshchilov and Hutter 2019), times the rate; on all
        parameters, as `torch.optim.AdamW` does. 0 is plain Adam.
    schedule: `constant`, or `cosine`: from the learning rate to 0 over `steps` steps.
    steps: of the whole training; only `cosine` uses it.
    """

    weight_decay: float = 0.0
    schedule: str = "constant"
    steps: int = 0


def make_optimiser(spec: Optimiser, learning_rate: Any) -> optax.GradientTransformation:
    """optax.adam or optax.adamw; the learning rate may be traced."""
    rate = learning_rate
    if spec.schedule == "cosine":
        rate = optax.cosine_decay_schedule(learning_rate, spec.steps)
    if spec.weight_decay == 0:
        return optax.adam(rate)
    return optax.adamw(rate, weight_decay=spec.weight_decay)


SCALING = "float32(image) / 127.5 - 1"  # what `normalise` computes, written into exports


def normalise(images: jax.Array) -> jax.Array:
    """uint8 [..., 3] in 0 … 255 -> float32 in [-1, 1]."""
    return images.astype(jnp.float32) / 127.5 - 1.0


def one_hot(masks: jax.Array, classes: int) -> jax.Array:
    """Class indices uint8 [...] -> bool [..., classes] over the foreground classes 1 … classes."""
    index = jnp.arange(1, classes + 1, dtype=masks.dtype)
    return jnp.expand_dims(masks, -1) == index.reshape((1,) * masks.ndim + (-1,))


def class_indices(logits: Any) -> jax.Array:
    """Logits [..., classes] -> uint8 [...]: the largest logit, 0 where none is positive."""
    return jnp.argmax(with_background_logit(logits), -1).astype(jnp.uint8)


class Program(NamedTuple):
    """What shapes the compiled program of a cell, and its pure functions.

    With `net.batch_axis` set, gradients and losses are averaged over that mapped axis too.
    `padding_as_data` lets `Hyper.padding_code` choose among the standard modes. `patience` is the
    number of validations in a row without a better loss that stop a cell; 0 is without end. With
    `ignores`, pixels of masks that are IGNORED count in no loss and no score. Images are uint8
    [B, H, W, 3], masks uint8 [B, H, W] class indices.
    """

    net: Network
    size: int
    loss: str
    select_best: bool
    padding_as_data: bool
    optimiser: Optimiser = Optimiser()
    patience: int = 0
    ignores: bool = False

    def init(self, hyper: Hyper) -> TrainState:
        """The state before the first step."""
        images = jnp.zeros((1, self.size, self.size, 3))
        variables = self.net.init(jax.random.key(hyper.seed), images)
        variables.setdefault("batch_stats", {})
        optimiser = make_optimiser(self.optimiser, hyper.learning_rate)
        return TrainState(
            variables=variables,
            opt_state=optimiser.init(ravel_pytree(variables["params"])[0]),
            step=jnp.int32(0),
            diverged_at=jnp.int32(NEVER),
            best=jax.tree.map(jnp.copy, variables) if self.select_best else None,
            best_loss=jnp.float32(jnp.inf),
            waited=jnp.int32(0),
            stopped_at=jnp.int32(NEVER),
        )

    def step(
        self, state: TrainState, hyper: Hyper, images: Any, masks: Any
    ) -> tuple[TrainState, jax.Array]:
        """(state, loss float32: NaN once the cell has diverged or stopped) after one batch."""
        value, others, grads = self._gradients(state, hyper, images, masks)
        # As one vector: an operation per leaf takes longer to compile than the gradients.
        params, as_tree = ravel_pytree(state.variables["params"])
        optimiser = make_optimiser(self.optimiser, hyper.learning_rate)
        deltas, opt_state = optimiser.update(ravel_pytree(grads)[0], state.opt_state, params)
        new = (optax.apply_updates(params, deltas), others)
        healthy = state.running & jnp.isfinite(ravel_pytree((value, new))[0]).all()
        # A cell that diverges keeps its last finite variables, so that they can be inspected.
        keep = partial(jax.tree.map, partial(jnp.where, healthy))
        params, others = keep(new, (params, _without_params(state.variables)))
        state = state._replace(
            variables={"params": as_tree(params), **others},
            opt_state=keep(opt_state, state.opt_state),
            step=state.step + 1,
            diverged_at=jnp.where(state.running & ~healthy, state.step, state.diverged_at),
        )
        return state, jnp.where(healthy, value, jnp.nan)

    def _gradients(
        self, state: TrainState, hyper: Hyper, images: Any, masks: Any
    ) -> tuple[jax.Array, Variables, Variables]:
        """(loss, new variables but the parameters, their gradients) of one batch."""
        key = jax.random.fold_in(jax.random.key(hyper.seed), state.step)
        batch = (normalise(images), one_hot(masks, self.net.classes))

        def objective(params):
            return training_loss(
                self.net, self.loss, state.variables | {"params": params}, *batch,
                padding_code=self._padding(hyper), key=key, judged=self._judged(masks),
            )  # fmt: skip

        grad = jax.value_and_grad(objective, has_aux=True)
        (value, updates), grads = grad(state.variables["params"])
        if self.net.batch_axis is not None:
            value, grads = lax.pmean((value, grads), self.net.batch_axis)
        return value, _without_params(state.variables) | updates, grads

    def validate(
        self, state: TrainState, hyper: Hyper, images: Any, masks: Any, weights: Any
    ) -> jax.Array:
        """Sums over a batch, each example times its weight [B]: [5] of loss, tp, fp, fn, weight."""
        targets, judged = one_hot(masks, self.net.classes), self._judged(masks)
        losses, logits = validation_loss(
            self.net, self.loss, state.variables, normalise(images), targets,
            padding_code=self._padding(hyper), judged=judged,
        )  # fmt: skip
        chosen = one_hot(class_indices(logits), self.net.classes)
        chosen = chosen if judged is None else chosen & judged
        weight = weights[:, None, None, None]
        outcomes = (chosen & targets, chosen & ~targets, ~chosen & targets)
        lost = jnp.sum(losses * weights)
        sums = jnp.stack([lost, *(jnp.sum(weight * o) for o in outcomes), jnp.sum(weights)])
        axis = self.net.batch_axis
        return sums if axis is None else lax.psum(sums, axis)

    def select(self, state: TrainState, val_loss: jax.Array) -> TrainState:
        """Keeps the best variables so far; out of patience, the cell is stopped."""
        better = state.running & (val_loss < state.best_loss)
        best = jax.tree.map(partial(jnp.where, better), state.variables, state.best)
        waited = jnp.where(better, 0, state.waited + 1)
        out_of_patience = (self.patience > 0) & state.running & (waited >= self.patience)
        return state._replace(
            best=best,
            best_loss=jnp.where(better, val_loss, state.best_loss),
            waited=waited,
            stopped_at=jnp.where(out_of_patience, state.step, state.stopped_at),
        )

    def predict(self, variables: Variables, hyper: Hyper, images: Any) -> jax.Array:
        """Class indices uint8 [B, H, W]."""
        code = self._padding(hyper)
        return class_indices(self.net.logits(variables, normalise(images), padding_code=code))

    def _judged(self, masks: jax.Array) -> jax.Array | None:
        """Which pixels count: bool [..., H, W, 1], or None for all of them."""
        return jnp.expand_dims(masks != IGNORED, -1) if self.ignores else None

    def _padding(self, hyper: Hyper) -> Any:
        """The padding code that the network is given, if any."""
        return hyper.padding_code if self.padding_as_data else None


def _without_params(variables: Variables) -> Variables:
    return {name: value for name, value in variables.items() if name != "params"}


def selected_variables(state: TrainState) -> Variables:
    """The variables a cell is judged by: the best on validation where kept, the last otherwise."""
    return state.variables if state.best is None else state.best
