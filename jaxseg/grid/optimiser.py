"""How a cell is optimised: Adam or AdamW, at a constant or falling rate, stopped early or not."""

from typing import Any, NamedTuple

import optax

from jaxseg.errors import UsageError

SCHEDULES = ("constant", "cosine")


class Optimiser(NamedTuple):
    """What shapes the optimiser of a compiled program.

    weight_decay: decoupled from the gradient (Loshchilov and Hutter 2019), times the rate; on all
        parameters, as `torch.optim.AdamW` does. 0 is plain Adam.
    schedule: `constant`, or `cosine`: from the learning rate to 0 over `steps` steps.
    steps: of the whole training; needed by `cosine` alone.
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


def check_selection(select: str, patience: int, val_split: str) -> None:
    """Raises UsageError for a selection or early stopping that has nothing to go by."""
    if select == "best" and not val_split:
        raise UsageError("optim.select='best': needs data.val_split; name one, or use last")
    if patience and select != "best":
        raise UsageError(
            f"optim.patience={patience}: stops a cell by its validation loss and needs "
            "optim.select=best and data.val_split; use 0 to train all epochs"
        )
