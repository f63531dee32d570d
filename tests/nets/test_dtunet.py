from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.dtunet import DTUNet, TopologyUNet, fuse
from jaxseg.nets.layers import UPSAMPLING_MODES
from jaxseg.nets.padding import PADDING_MODES, padding_code

SIZE = 16


def _net(**options):
    return DTUNet(**{"width": 2, "depth": 2, "upsampling": "nearest", **options})


def _images(size=SIZE):
    return jnp.tanh(jax.random.normal(jax.random.key(1), (2, size, size, 3)))


def _variables(net):
    """Random weights without compiling an initialisation; moments and scales are 1."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0), _images())
    return jax.tree.map(
        lambda a: (
            0.5 * rng.normal(size=a.shape).astype("f") if a.ndim > 1 else np.ones(a.shape, "f")
        ),
        shapes,
    )


def _parameters(net):
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    return {name: sum(a.size for a in jax.tree.leaves(tree)) for name, tree in shapes.items()}


def _double(inside, outside):
    """Parameters of two 3×3 convolutions with bias, each with scale and shift behind it."""
    return 9 * (inside + outside) * outside + 6 * outside


def test_default_parameter_count():
    encoder = _double(2, 64) + _double(64, 128) + _double(128, 256) + _double(256, 512)
    decoder = _double(512 + 256, 256) + _double(256 + 128, 128) + _double(128 + 64, 64)
    assert _parameters(DTUNet()) == {
        "texture": 17_267_393, "topology": encoder + decoder + 65
    }  # fmt: skip
    assert sum(_parameters(DTUNet()).values()) == 25_055_362


@pytest.mark.parametrize("upsampling", UPSAMPLING_MODES)
@pytest.mark.parametrize("padding", PADDING_MODES)
def test_every_map_has_the_size_of_the_image(padding, upsampling):
    net = _net(classes=3, padding=padding, upsampling=upsampling, depth=3)
    maps, _ = jax.eval_shape(
        partial(net.init_with_output, method="maps"), jax.random.key(0), _images(32)
    )
    assert maps.coarse.shape == maps.fused.shape == (2, 32, 32, 3)
    assert maps.structure.shape == (2, 32, 32, 1)
    assert maps.embedding.shape[-1] == 16 and maps.embedding.ndim == 4
    assert {a.dtype for a in maps} == {jnp.dtype("float32")}


def test_half_precision_computes_but_does_not_answer_in_bfloat16():
    net = _net(dtype="bfloat16")
    maps, variables = jax.eval_shape(
        partial(net.init_with_output, method="maps"), jax.random.key(0), _images()
    )
    assert {a.dtype for a in jax.tree.leaves((maps, variables))} == {jnp.dtype("float32")}


def test_the_call_is_the_fusion_and_the_topology_network_sees_the_coarse_map_alone():
    net = _net(classes=2)
    variables = _variables(net)
    maps, logits = jax.jit(
        lambda *a: (net.apply(*a, method="maps"), net.apply(*a))
    )(variables, _images())  # fmt: skip
    np.testing.assert_array_equal(logits, maps.fused)
    scores = np.concatenate([np.zeros_like(maps.structure), maps.coarse], -1)
    probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    own = {name: tree["topology"] for name, tree in variables.items()}
    alone = TopologyUNet(width=2, upsampling="nearest").apply
    structure, embedding, encoded = jax.jit(
        lambda p: (*alone(own, p), net.apply(variables, p, method="embed"))
    )(probabilities)
    np.testing.assert_allclose(structure, maps.structure, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(embedding, maps.embedding, rtol=1e-3, atol=1e-2)
    np.testing.assert_array_equal(encoded, embedding)
    assert embedding.shape == (2, SIZE // 8, SIZE // 8, 16)


@pytest.mark.parametrize("classes", [1, 3])
def test_fusion_is_the_papers_formula(classes):
    rng = np.random.default_rng(0)
    coarse = 3 * rng.normal(size=(2, 5, 5, classes))
    structure = 3 * rng.normal(size=(2, 5, 5, 1))
    scores = np.concatenate([np.zeros_like(structure), coarse], -1)
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    s = 1 / (1 + np.exp(-structure))
    bg, fg = (p[..., :1] + 1 - s) / 2, (p[..., 1:] + s) / 2
    fused = fuse(jnp.asarray(coarse, jnp.float32), jnp.asarray(structure, jnp.float32))
    np.testing.assert_allclose(fused, np.log(fg / bg), atol=1e-5)
    chosen = np.argmax(np.concatenate([np.zeros_like(bg), fused], -1), -1)
    np.testing.assert_array_equal(chosen, np.argmax(np.concatenate([bg, fg], -1), -1))
    if classes == 1:  # the two maps are averaged
        np.testing.assert_allclose(jax.nn.sigmoid(fused), (p[..., 1:] + s) / 2, atol=1e-6)


def test_fusion_and_its_gradient_stay_finite_where_probabilities_underflow():
    coarse, structure = (
        jnp.asarray([[500.0], [-500.0], [0.0]]),
        jnp.asarray([[500.0], [-500], [900]]),
    )
    assert np.isfinite(np.asarray(fuse(coarse, structure))).all()
    grads = jax.grad(lambda *a: fuse(*a).sum(), (0, 1))(coarse, structure)
    assert all(np.isfinite(np.asarray(g)).all() for g in grads)


def test_padding_reaches_both_networks():
    """Circular padding with nearest up-sampling commutes with rolls by a coarsest pixel."""
    net, images = _net(), _images(32)
    variables = _variables(net)

    @jax.jit
    def maps(images, code):
        options = {"train": True, "mutable": ["batch_stats"], "method": "maps"}
        return net.apply(variables, images, padding_code=code, **options)[0]

    here = maps(images, padding_code("circular"))
    moved = maps(jnp.roll(images, (8, 16), (1, 2)), padding_code("circular"))
    zeros = maps(images, padding_code("zeros"))
    for name in ("coarse", "structure"):
        expected = jnp.roll(getattr(here, name), (8, 16), (1, 2))
        np.testing.assert_allclose(getattr(moved, name), expected, atol=2e-4)
        assert np.abs(getattr(zeros, name) - getattr(here, name)).max() > 0.01


@pytest.mark.parametrize(
    "options, size, message",
    [
        ({"depth": 2}, 20, r"data\.size=20: must be a multiple of 8 under net\.name='dtunet'"),
        ({"depth": 4}, 24, r"data\.size=24: must be a multiple of 16 = 2\*\*net\.depth"),
        ({"padding": "reflect", "depth": 1}, 8, r"padding='reflect': .* level 3 of a 8-pixel"),
        ({"norm": "instance"}, 16, r"net\.norm='instance': must be one of"),
    ],
)
def test_settings_that_cannot_be_served_are_named(options, size, message):
    with pytest.raises(UsageError, match=message):
        jax.eval_shape(_net(**options).init, jax.random.key(0), _images(size))
