"""The border's reach: counted by the architecture, measured on networks and planted models."""

import jax
import numpy as np
import pytest

from jaxseg.metrics.bands import border_depth
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.features.measures import random_variables
from jaxseg.studies.models import callable_model, network_model
from jaxseg.studies.shift import border as r
from jaxseg.studies.shift.border import other_padding


def photos(n=3, side=64):
    """Blobs and grain, so that every scale has something to see."""
    rng = np.random.default_rng(5)
    coarse = jax.image.resize(rng.uniform(0, 255, (n, 9, 9, 3)), (n, side, side, 3), "cubic")
    return np.clip(coarse + rng.normal(0, 40, (n, side, side, 3)), 0, 255).astype(np.uint8)


def measured(net):
    variables = random_variables(net, 0, photos(4, 32))
    model = network_model("net", net, variables, 16)
    theory = r.theoretical_reach(net)
    side = r.measuring_side(model, theory)
    margin = -(-theory // model.factor) * model.factor
    return theory, r.surroundings_profile(model, photos(), margin, side), (model, variables)


@pytest.mark.parametrize(
    "depth, upsampling, px",
    [(1, "nearest", 8), (2, "nearest", 22), (4, "nearest", 94), (4, "transposed", 94),
     (4, "half_pixel", 109), (4, "align_corners", 109)],
)  # fmt: skip
def test_theoretical_reach_by_hand(depth, upsampling, px):
    """Rows out of reach shrink by 2 a block; nearest: 2 → 3 → 4 → 4 → 4 → 10 → 22 → 46 → 94."""
    assert r.theoretical_reach(Network.of(UNet(depth=depth, upsampling=upsampling))) == px


@pytest.mark.parametrize(
    "padding, upsampling, depth",
    [("valid", "nearest", 2), ("valid", "half_pixel", 1), ("valid", "transposed", 1),
     ("zeros", "half_pixel", 1), ("circular", "half_pixel", 1)],
)  # fmt: skip
def test_measured_reach_equals_the_theoretical_one(padding, upsampling, depth):
    net = Network.of(UNet(width=4, depth=depth, padding=padding, upsampling=upsampling))
    theory, profile, _ = measured(net)
    assert r.full_reach(profile) == theory
    assert 0 < r.noticeable_reach(profile) <= theory


def test_aligned_corners_reach_everywhere_but_padding_alone_does_not():
    net = Network.of(UNet(width=4, depth=1, padding="zeros", upsampling="align_corners"))
    theory, profile, (model, variables) = measured(net)
    side = 2 * profile.rms.shape[1]
    assert r.full_reach(profile) == side // 2 > theory
    other = other_padding(net, 16)
    swapped = network_model("other", other, variables, 16)
    assert r.full_reach(r.padding_profile(model, swapped, photos(), side)) == theory


@pytest.mark.parametrize("k", [0, 1, 7])
def test_what_a_model_erases_at_the_border_is_its_reach(k):
    def erase(images):
        return (images[..., 0] > 100) * (border_depth(images.shape[1:3]) >= k).astype(np.uint8)

    model = callable_model("eraser", erase, size=32)
    profile = r.surroundings_profile(model, photos(), 16, 32)
    assert r.full_reach(profile) == r.noticeable_reach(profile) == k
    assert profile.rms.shape == (3, 16)


def test_the_profile_is_the_root_mean_square_by_ring():
    y = np.arange(16)[:, None] + np.zeros(16)
    responses = iter([np.zeros((1, 16, 16, 1)), np.pad(y, 8)[None, ..., None]])
    model = callable_model("two", lambda _: None, size=16)
    model = model._replace(respond=lambda _: next(responses).astype(np.float32))
    profile = r.surroundings_profile(model, photos(1), 8, 16)
    depth = border_depth((16, 16))
    for d in range(8):
        ring = y[depth == d]
        assert profile.rms[0, d] == pytest.approx(np.sqrt(np.mean(ring**2)))
        assert profile.largest[0, d] == ring.max()
    assert profile.deviation[0] == pytest.approx(y.std()) and profile.scale[0] == 15


@pytest.mark.parametrize("side, margin", [(64, 8), (32, 8), (33, 24), (16, 100)])
def test_surroundings_are_the_images_own_while_it_lasts_then_mirrored(side, margin):
    image = photos(1, side)[0]
    wide = r.centre_with_surroundings(image, 16, margin)
    assert wide.shape == (16 + 2 * margin, 16 + 2 * margin, 3)
    start = (side - 16) // 2
    inner = wide[margin : margin + 16, margin : margin + 16]
    np.testing.assert_array_equal(inner, image[start : start + 16, start : start + 16])
    if start >= margin:
        np.testing.assert_array_equal(
            wide, image[start - margin : start + 16 + margin, start - margin : start + 16 + margin]
        )
