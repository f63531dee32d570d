import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.grid.train import normalise
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.features import measures as a

NET = Network.of(UNet(width=4, depth=1, padding="circular", upsampling="nearest"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)


def test_layers_are_named_from_image_to_logits():
    net = Network.of(UNet(width=4, depth=2))
    assert net.blocks(16) == ["inc", "down1", "down2", "up1", "up2"]
    assert [net.layers(16)[name].stride[0] for name in net.blocks(16)] == [1, 2, 4, 2, 1]


def test_the_last_layer_is_what_the_logits_are_read_from(images):
    variables = a.random_variables(NET, 0, images)
    maps = a.activations(NET, variables, NET.blocks(16), images)
    assert {k: v.shape for k, v in maps.items()} == {
        "inc": (8, 16, 16, 4), "down1": (8, 8, 8, 4), "up1": (8, 16, 16, 4),
    }  # fmt: skip
    assert all((v >= 0).all() and v.dtype == np.float32 for v in maps.values())
    head = variables["params"]["outc"]
    logits = maps["up1"] @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    expected = jax.jit(NET.logits)(variables, normalise(jnp.asarray(images)))
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_an_unknown_layer_is_refused_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"layer='dwon1': must be one of inc, down1, up1.*'down1'"):
        a.activations(NET, {}, ["dwon1"], np.zeros((1, 16, 16, 3), np.uint8))


def test_random_networks_have_the_moments_of_their_images(images):
    """So that they do to these images what batch normalisation does in training."""
    variables = a.random_variables(NET, 3, images)
    x = normalise(jnp.asarray(images))
    fresh = jax.tree.map(np.asarray, variables)
    options = {"train": True, "mutable": ["batch_stats"]}
    trained, _ = jax.jit(lambda v: NET.module.apply(v, x, **options))(fresh)
    still = jax.jit(lambda v: NET.logits(v, x))(fresh)
    np.testing.assert_allclose(still, trained, atol=0.02)  # the variances differ by n / (n - 1)
    other = a.random_variables(NET, 4, images)
    assert not np.allclose(other["params"]["outc"]["kernel"], fresh["params"]["outc"]["kernel"])


def test_a_network_without_batch_moments_is_fresh_and_nothing_else(images):
    net = Network.of(UNet(width=4, depth=1, norm="none"))
    assert list(a.random_variables(net, 0, images)) == ["params"]


def test_distances_are_in_pixels_of_the_frame():
    np.testing.assert_allclose(a.border_distance((4, 4), 1, 4)[1], [0.5, 1.5, 1.5, 0.5])
    np.testing.assert_allclose(a.border_distance((2, 2), 4, 8), 2)
    # Maps of `valid` networks go beyond the frame: those features are left out.
    maps = np.arange(36.0, dtype=np.float32).reshape(1, 6, 6, 1)
    features, distance = a.inner_features(maps, 1, 4)
    assert features[0, :, 0].tolist() == [
        7,
        8,
        9,
        10,
        13,
        14,
        15,
        16,
        19,
        20,
        21,
        22,
        25,
        26,
        27,
        28,
    ]
    assert distance.min() == 0.5 and distance.max() == 1.5


def test_rolled_images_keep_their_pixels_and_lose_their_place(images):
    rolled = a.rolled_at_random(images, 1)
    assert not np.array_equal(rolled, images)
    for one, other in zip(rolled, images):
        np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(other, axis=None))
    np.testing.assert_array_equal(rolled, a.rolled_at_random(images, 1))


def test_principal_directions_equal_a_singular_value_decomposition():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 5)) * [5, 3, 2, 1, 0.1] + 4).astype(np.float32)
    target = x[:, 0] - x[:, 1] + x[:, 2]
    found = a.principal_directions(a.moments(x, target))
    centred = x - x.mean(0, dtype=np.float64)
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.axes), np.abs(vectors[:3].T), atol=1e-6)
    np.testing.assert_allclose(found.shares, values[:3] ** 2 / (values**2).sum(), rtol=1e-6)
    scores = a.project(x, found)
    assert all(np.corrcoef(scores[:, k], target)[0, 1] > 0 for k in range(3))


def test_fewer_than_three_channels_leave_components_empty():
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    found = a.principal_directions(a.moments(x, x[:, 0].astype(float)))
    assert found.axes.shape == (2, 3) and found.shares[2] == 0
    np.testing.assert_array_equal(a.project(x, found)[:, 2], 0)
