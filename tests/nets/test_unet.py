import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.layers import UPSAMPLING_MODES, Upsample
from jaxseg.nets.padding import PADDING_MODES, STANDARD_MODES, padding_code
from jaxseg.nets.unet import UNet

SIZE = 16


def _setup(size=SIZE, **options):
    net = UNet(**{"width": 4, "depth": 2, **options})
    x = jax.random.normal(jax.random.key(1), (2, size, size, 3))
    variables = jax.jit(net.init)(jax.random.key(0), x)
    return net, variables, x


def test_default_parameter_count_is_the_papers():
    shapes = jax.eval_shape(UNet().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == 17_267_393


@pytest.mark.parametrize("padding", PADDING_MODES)
def test_logits_have_the_size_of_the_image(padding):
    net, variables, x = _setup(padding=padding, upsampling="half_pixel", classes=2)
    logits = jax.jit(net.apply)(variables, x)
    assert logits.shape == (2, SIZE, SIZE, 2)
    assert np.isfinite(np.asarray(logits)).all()


@pytest.mark.parametrize("padding", STANDARD_MODES)
def test_padding_as_data_equals_padding_as_a_setting(padding):
    net, variables, x = _setup(padding=padding, upsampling="half_pixel")
    by_code = jax.jit(UNet(width=4, depth=2, upsampling="half_pixel").apply)(
        variables, x, padding_code=padding_code(padding)
    )
    np.testing.assert_allclose(by_code, jax.jit(net.apply)(variables, x), atol=2e-5)


def _roll_error(upsampling):
    """Relative error of the logits when the image is rolled by one coarsest pixel.

    Batch moments are invariant under rolls and keep the deep levels from fading at random weights.
    """
    net, variables, x = _setup(size=64, depth=4, padding="circular", upsampling=upsampling)
    apply = jax.jit(lambda x: net.apply(variables, x, train=True, mutable=["batch_stats"])[0])
    moved = apply(jnp.roll(x, (16, 16), (1, 2)))
    expected = jnp.roll(apply(x), (16, 16), (1, 2))
    return float(jnp.linalg.norm(moved - expected) / jnp.linalg.norm(expected))


@pytest.mark.parametrize("upsampling", ["nearest", "half_pixel"])
def test_circular_commutes_with_rolls(upsampling):
    assert _roll_error(upsampling) < 1e-4


def test_align_corners_does_not_commute_with_rolls_even_under_circular():
    # 0.1 … 0.6 by weights and depth: the up-sampling drifts, whatever the padding.
    assert 0.05 < _roll_error("align_corners") < 1.0


def test_valid_is_translation_equivariant():
    net, variables, _ = _setup(padding="valid", upsampling="nearest")
    # The scene is its own mirror image far beyond the frame: what lies outside is then known.
    scene = jax.random.normal(jax.random.key(3), (1, 256, 256, 3))
    apply = jax.jit(lambda x: net.apply(variables, x))
    whole = apply(scene)
    for top, left in ((64, 64), (68, 100), (100, 60)):
        window = apply(scene[:, top : top + 64, left : left + 64])
        inner = slice(24, 40)
        expected = whole[:, top : top + 64, left : left + 64][:, inner, inner]
        np.testing.assert_allclose(window[:, inner, inner], expected, atol=1e-4)


def test_valid_never_sees_a_padded_value():
    """A constant image stays constant up to the border, whatever the biases."""
    net, variables, x = _setup(padding="valid", upsampling="half_pixel")
    logits = np.asarray(jax.jit(net.apply)(variables, jnp.full_like(x, 0.3)))
    assert np.ptp(logits) < 1e-4
    zeros = np.asarray(jax.jit(UNet(width=4, depth=2).apply)(variables, jnp.full_like(x, 0.3)))
    assert np.ptp(zeros) > 1e-3


@pytest.mark.parametrize("method", UPSAMPLING_MODES)
def test_upsampling_doubles_and_keeps_constants(method):
    layer = Upsample(method)
    x = jnp.full((1, 4, 6, 8), 2.5)
    variables = layer.init(jax.random.key(0), x, "replicate")
    y = layer.apply(variables, x, "replicate")
    assert y.shape[:3] == (1, 8, 12)
    if method != "transposed":
        np.testing.assert_allclose(y, 2.5, atol=1e-6)


def test_half_pixel_with_edge_padding_equals_jax_image_resize():
    x = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    y = Upsample("half_pixel").apply({}, x, "replicate")
    expected = jax.image.resize(x, (2, 10, 14, 3), "bilinear")
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_align_corners_keeps_corners_and_interpolates_linearly():
    x = jnp.arange(5.0).reshape(1, 5, 1, 1) * jnp.ones((1, 1, 2, 1))
    y = np.asarray(Upsample("align_corners").apply({}, x, "zeros"))[0, :, 0, 0]
    np.testing.assert_allclose(y, np.linspace(0, 4, 10), atol=1e-6)


@pytest.mark.parametrize(
    "options, size, message",
    [
        ({"padding": "mirror"}, 32, "net.padding='mirror'"),
        ({"upsampling": "bilinear"}, 32, "net.upsampling"),
        ({"norm": "layer"}, 32, "net.norm"),
        ({"width": 3}, 32, "net.width=3"),
        ({"depth": 0}, 32, "net.depth=0"),
        ({}, 40, "data.size=40: must be a multiple of 16"),
        ({"padding": "reflect"}, 16, "level 4 of a 16-pixel frame has 1"),
    ],
)
def test_bad_settings_are_named(options, size, message):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        UNet(**{"width": 4, **options}).init(jax.random.key(0), jnp.zeros((1, size, size, 3)))
