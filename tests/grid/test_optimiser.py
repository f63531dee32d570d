import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.grid.train import Optimiser, make_optimiser

RATE = np.float32(0.01)


def _updates(optimiser, steps=4):
    """Updates of a vector of parameters under gradients that do not change."""
    params, grads = jnp.asarray([1.0, -2.0, 0.0]), jnp.asarray([0.5, 3.0, -1.0])
    update = jax.jit(optimiser.update)
    state, seen = optimiser.init(params), []
    for _ in range(steps):
        deltas, state = update(grads, state, params)
        params = optax.apply_updates(params, deltas)
        seen.append(np.asarray(deltas))
    return np.stack(seen)


def test_without_decay_at_a_constant_rate_it_is_adam_bit_for_bit():
    np.testing.assert_array_equal(
        _updates(make_optimiser(Optimiser(), RATE)), _updates(optax.adam(RATE))
    )


def test_weight_decay_is_decoupled_from_the_gradient():
    """Adam's first step is the rate times the gradient's sign; decay pulls beside it."""
    got = _updates(make_optimiser(Optimiser(weight_decay=0.1), RATE), steps=1)[0]
    np.testing.assert_allclose(got, [-0.01 - 0.001, -0.01 + 0.002, 0.01], rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 1e-6])
def test_cosine_falls_from_the_rate_to_nothing_over_the_training(decay):
    spec = Optimiser(decay, "cosine", steps=4)
    sizes = np.abs(_updates(make_optimiser(spec, RATE), steps=6)[:, 0])
    np.testing.assert_allclose(sizes[:4], 0.005 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-3)
    np.testing.assert_allclose(sizes[4:], 0, atol=1e-9)
