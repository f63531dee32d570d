import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.convolution import conv3x3
from jaxseg.nets.padding import (
    PADDING_MODES,
    STANDARD_MODES,
    check_padding,
    pad,
    padding_code,
)

NUMPY = dict(zip(STANDARD_MODES, ("constant", "reflect", "edge", "symmetric", "wrap")))


def _image(height=6, width=5, seed=0):
    return np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype(np.float32)


def _numpy_pad(x, width, mode):
    return np.pad(x, [(0, 0), (width, width), (width, width), (0, 0)], mode=NUMPY[mode])


@pytest.mark.parametrize("mode", STANDARD_MODES)
@pytest.mark.parametrize("width", range(5))
def test_standard_modes_equal_numpy_bit_for_bit(mode, width):
    x = _image()
    expected = _numpy_pad(x, width, mode)
    np.testing.assert_array_equal(pad(jnp.asarray(x), width, mode), expected)
    by_code = jax.jit(lambda x, code: pad(x, width, code))(x, padding_code(mode))
    np.testing.assert_array_equal(by_code, expected)


def test_codes_under_vmap_serve_all_modes_at_once():
    x = _image()
    codes = jnp.arange(len(STANDARD_MODES))
    padded = jax.vmap(lambda code: pad(jnp.asarray(x), 2, code))(codes)
    for mode, result in zip(STANDARD_MODES, padded):
        np.testing.assert_array_equal(result, _numpy_pad(x, 2, mode))


@pytest.mark.parametrize("mode", STANDARD_MODES)
def test_gradient_of_padding_counts_how_often_a_pixel_is_used(mode):
    x = jnp.zeros((1, 4, 4, 1))
    used = jax.grad(lambda x: pad(x, 1, padding_code(mode)).sum())(x)
    index = np.pad(np.arange(16).reshape(4, 4), 1, mode=NUMPY[mode], **_minus_one(mode))
    expected = np.bincount(index[index >= 0], minlength=16).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(used, expected)


def _minus_one(mode):
    return {"constant_values": -1} if mode == "zeros" else {}


def test_zeros_hide_infinities_beyond_the_border():
    x = jnp.full((1, 3, 3, 1), jnp.inf)
    assert np.isfinite(np.asarray(pad(x, 1, padding_code("zeros"))[0, 0])).all()


@pytest.mark.parametrize("mode", [m for m in PADDING_MODES if m != "random"])
def test_conv_equals_direct_sum(mode):
    x, kernel = _image(seed=1), np.random.default_rng(2).normal(size=(3, 3, 3, 4))
    bias = np.arange(4.0)
    got = conv3x3(jnp.asarray(x), jnp.asarray(kernel, jnp.float32), mode) + bias[None, None, None]
    padded = x if mode == "valid" else _numpy_pad(x, 1, mode if mode in NUMPY else "zeros")
    height, width = got.shape[1:3]
    expected = sum(
        np.einsum("bhwi,io->bhwo", padded[:, i : i + height, j : j + width], kernel[i, j])
        for i, j in itertools.product(range(3), repeat=2)
    )
    if mode == "partial":
        real = _numpy_pad(np.ones((1, 6, 5, 1)), 1, "zeros")
        share = sum(real[:, i : i + 6, j : j + 5] for i, j in itertools.product(range(3), repeat=2))
        expected = expected * 9 / share
    np.testing.assert_allclose(got, expected + bias, atol=1e-4)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_only_zeros_show_the_border_of_a_constant_image(mode):
    x, kernel = jnp.ones((1, 8, 8, 1)), jnp.ones((3, 3, 1, 1))
    y = np.asarray(conv3x3(x, kernel, mode, key=jax.random.key(0)))
    assert np.allclose(y, 9) == (mode != "zeros")


def test_random_has_the_statistics_of_the_border_and_keeps_the_inside():
    x = np.zeros((1, 200, 200, 2), np.float32)
    x[:, 1:-1, 1:-1] = 99.0
    edge = np.random.default_rng(0).normal(3.0, 2.0, size=x.shape).astype(np.float32)
    inside = x == 99.0
    x = np.where(inside, x, edge)
    padded = np.asarray(pad(jnp.asarray(x), 20, "random", key=jax.random.key(1)))
    np.testing.assert_array_equal(padded[:, 20:-20, 20:-20], x)
    noise = np.concatenate([padded[:, :20].ravel(), padded[:, -20:].ravel()])
    assert abs(noise.mean() - 3) < 0.2 and abs(noise.std() - 2) < 0.2


def test_random_without_key_and_unknown_mode_are_refused():
    x = jnp.zeros((1, 4, 4, 1))
    with pytest.raises(UsageError, match="key"):
        pad(x, 1, "random")
    with pytest.raises(UsageError, match="did you mean 'reflect'"):
        pad(x, 1, "reflct")


def test_reflect_requires_more_pixels_than_it_pads():
    with pytest.raises(UsageError, match=r"at least 4 pixels.*level 4 has 3"):
        check_padding("reflect", 3, 3, "level 4")
    check_padding("symmetric", 3, 3)
    with pytest.raises(UsageError, match="circular"):
        check_padding("circular", 4, 3)


@pytest.mark.parametrize("mode", ["zeros", "replicate", "partial"])
def test_modes_that_mirror_nothing_pad_any_width(mode):
    x = _image(2, 1)
    expected = _numpy_pad(x, 5, "zeros" if mode == "partial" else mode)
    np.testing.assert_array_equal(pad(jnp.asarray(x), 5, mode), expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.uint8])
@pytest.mark.parametrize("mode", STANDARD_MODES)
def test_padding_keeps_the_type(mode, dtype):
    x = jnp.asarray(_image() * 50, jnp.float32).astype(dtype)
    assert pad(x, 1, mode).dtype == pad(x, 1, padding_code(mode)).dtype == dtype


@pytest.mark.parametrize("size", [2, 3])
def test_random_fills_small_images_by_all_their_border(size):
    x = jnp.full((1, size, size, 1), 7, jnp.bfloat16)
    padded = pad(x, 1, "random", key=jax.random.key(0))
    assert padded.dtype == jnp.bfloat16 and padded.shape == (1, size + 2, size + 2, 1)
    np.testing.assert_array_equal(np.asarray(padded, np.float32), 7)


def test_refusals_name_the_field_and_the_remedy():
    with pytest.raises(UsageError, match=r"^padding='zero'"):
        check_padding("zero", 1, 4)
    with pytest.raises(UsageError, match=r"^padding='partial'"):
        padding_code("partial")
    with pytest.raises(
        UsageError, match=r", but pad has 1; use larger .* \(net.depth\) or replicate$"
    ):
        check_padding("reflect", 1, 1)
    with pytest.raises(UsageError, match=r"^padding='random': requires a PRNG key"):
        pad(jnp.zeros((1, 4, 4, 1)), 1, "random")
