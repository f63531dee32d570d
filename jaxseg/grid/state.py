"""What a cell brings to its program, and what its training carries from step to step."""

from typing import Any, NamedTuple

import jax
import optax

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
