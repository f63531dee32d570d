"""bfloat16 compute over float32 state, against float32 everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxseg.grid.losses import per_example_loss
from jaxseg.nets.convolution import conv3x3
from jaxseg.nets.normalisation import norm_relu
from jaxseg.nets.padding import padding_code
from jaxseg.nets.unet import UNet

ROUNDING = 2.0**-8  # of a bfloat16


def _normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_a_convolution_rounds_its_inputs_and_sums_its_kernel_gradient_in_float32(mode):
    x, kernel = _normal(0, 4, 16, 16, 8), _normal(1, 3, 3, 8, 8)
    code = mode if mode == "zeros" else padding_code(mode)
    loss = lambda x, k: jnp.sum(jnp.sin(conv3x3(x, k, code).astype(jnp.float32)))  # noqa: E731
    exact = jax.grad(loss, (0, 1))(x, kernel)
    mixed = jax.grad(loss, (0, 1))(x.astype(jnp.bfloat16), kernel)
    assert (mixed[0].dtype, mixed[1].dtype) == (jnp.bfloat16, jnp.float32)
    for got, expected in zip(mixed, exact):
        error = jnp.linalg.norm((got.astype(jnp.float32) - expected).ravel())
        assert error < 20 * ROUNDING * jnp.linalg.norm(expected.ravel())


def test_batch_moments_are_float32_of_what_was_rounded():
    x = (_normal(0, 4, 8, 8, 3) + 50).astype(jnp.bfloat16)  # its square would lose the variance
    y, mean, var = norm_relu(x, jnp.ones(3), jnp.zeros(3), None)
    assert y.dtype == jnp.bfloat16 and mean.dtype == var.dtype == jnp.float32
    rounded = np.asarray(x, np.float64)
    np.testing.assert_allclose(mean, rounded.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, rounded.var((0, 1, 2)), rtol=2e-3)


def test_a_network_keeps_float32_state_and_its_gradient_points_where_float32_points():
    images = jnp.tanh(_normal(0, 4, 16, 16, 3))
    targets = jnp.zeros((4, 16, 16, 1), bool).at[:, 4:12, 3:11].set(True)
    gradients = {}
    for dtype in ("float32", "bfloat16"):
        net = UNet(width=4, depth=1, dtype=dtype)
        variables = jax.jit(net.init)(jax.random.key(0), images)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

        def loss(params, net=net, variables=variables):
            own = variables | {"params": params}
            logits, _ = net.apply(own, images, train=True, mutable=["batch_stats"])
            assert logits.dtype == jnp.float32
            return per_example_loss("dice", logits, targets).mean()

        gradients[dtype] = ravel_pytree(jax.jit(jax.grad(loss))(variables["params"]))[0]
    a, b = gradients.values()
    cosine = a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b)
    assert cosine > 0.97 and not jnp.array_equal(a, b)
