"""Fast formulations against their definitions: values and gradients, every mode, odd shapes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.nets.convolution import conv3x3, conv3x3_plain
from jaxseg.nets.layers import max_pool
from jaxseg.nets.normalisation import EPSILON, BatchNormRelu, norm_relu
from jaxseg.nets.padding import PADDING_MODES, STANDARD_MODES, padding_code


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _value_and_gradients(fn, *arguments):
    """Outputs and cotangents of all arguments, for a fixed output cotangent."""
    y, transpose = jax.vjp(fn, *arguments)
    return y, *transpose(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))


def _close(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6 * max(1, float(np.abs(b).max())), rtol=1e-5)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("shape", [(3, 12, 8, 5, 7), (2, 4, 4, 8, 8), (2, 6, 9, 20, 3)])
def test_conv3x3_equals_pad_then_convolve(mode, shape):
    batch, height, width, inside, outside = shape
    x, kernel = _normal(0, batch, height, width, inside), _normal(1, 3, 3, inside, outside)
    key = jax.random.key(0)
    got, expected = (
        _value_and_gradients(lambda x, k, fn=fn: fn(x, k, mode, key=key), x, kernel)
        for fn in (conv3x3, conv3x3_plain)
    )
    _close(got, expected)


@pytest.mark.parametrize("mode", STANDARD_MODES)
@pytest.mark.parametrize("size", [2, 3, 4, 16])
def test_padding_as_data_equals_padding_by_name(mode, size):
    x, kernel, code = _normal(0, 2, size, size, 4), _normal(1, 3, 3, 4, 6), padding_code(mode)
    by_code = jax.jit(lambda x, k, c: _value_and_gradients(lambda *a: conv3x3(*a, c), x, k))
    got = by_code(x, kernel, jnp.int32(code))
    _close(got, _value_and_gradients(lambda *a: conv3x3_plain(*a, mode), x, kernel))


def test_large_batches_are_summed_in_blocks():
    x, kernel = _normal(0, 6, 64, 64, 40), _normal(1, 3, 3, 40, 34)
    got, expected = (
        jax.grad(lambda k, fn=fn: jnp.sum(jnp.sin(fn(x, k, "zeros"))))(kernel)
        for fn in (conv3x3, conv3x3_plain)
    )
    np.testing.assert_allclose(got, expected, atol=1e-4 * float(np.abs(expected).max()))


def _plain_norm(x, scale, shift):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    wide = lambda a: a[None, None, None]  # noqa: E731
    return nn.relu((x - wide(mean)) / wide(jnp.sqrt(var + EPSILON)) * wide(scale) + wide(shift))


def test_norm_relu_equals_plain_operations():
    x, scale, shift = _normal(0, 4, 6, 5, 3) * 3 + 1, _normal(1, 3), _normal(2, 3)
    got = _value_and_gradients(lambda *a: norm_relu(*a, None)[0], x, scale, shift)
    for a, b in zip(got, _value_and_gradients(_plain_norm, x, scale, shift), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


def test_norm_relu_over_a_split_batch_equals_the_whole_batch():
    x, scale, shift = _normal(0, 4, 6, 5, 3), _normal(1, 3), _normal(2, 3)
    cotangent = jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)

    def local(x, cotangent):
        y, transpose = jax.vjp(lambda *a: norm_relu(*a, "data")[0], x, scale, shift)
        return y, *transpose(cotangent)

    halves = [a.reshape(2, 2, *a.shape[1:]) for a in (x, cotangent)]
    y, dx, dscale, dshift = jax.vmap(local, axis_name="data")(*halves)
    whole = _value_and_gradients(lambda *a: norm_relu(*a, None)[0], x, scale, shift)
    _close([y.reshape(x.shape), dx.reshape(x.shape), dscale.sum(0), dshift.sum(0)], whole)


def test_running_moments_equal_pytorch():
    torch = pytest.importorskip("torch")
    x, bias = _normal(0, 4, 6, 5, 3) * 2 + 1, _normal(1, 3)
    peer, ours = torch.nn.BatchNorm2d(3), BatchNormRelu()
    variables = ours.init(jax.random.key(0), x, bias, False)
    moved = torch.tensor(x + bias).permute(0, 3, 1, 2)
    for train in (True, True, False):
        peer.train(train)
        expected = torch.relu(peer(moved)).permute(0, 2, 3, 1).detach().numpy()
        got, updates = ours.apply(variables, x, bias, train, mutable=["batch_stats"])
        variables = variables | updates
        np.testing.assert_allclose(got, expected, atol=2e-6)
    running = variables["batch_stats"]
    np.testing.assert_allclose(running["mean"], peer.running_mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(running["var"], peer.running_var.numpy(), rtol=1e-6)


def test_a_bias_before_batch_moments_has_no_gradient():
    x, bias = _normal(0, 4, 6, 5, 3), _normal(1, 3)
    ours = BatchNormRelu()
    variables = ours.init(jax.random.key(0), x, bias, True)
    apply = lambda b: ours.apply(variables, x, b, True, mutable=["batch_stats"])[0].sum()  # noqa: E731
    np.testing.assert_array_equal(jax.grad(apply)(bias), np.zeros(3))


def test_max_pool_equals_flax():
    x = _normal(0, 2, 6, 8, 3)
    expected = _value_and_gradients(lambda x: nn.max_pool(x, (2, 2), (2, 2)), x)
    _close(_value_and_gradients(max_pool, x), expected)
