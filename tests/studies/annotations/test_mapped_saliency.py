import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.grid.train import normalise
from jaxseg.nets.padding import padding_code
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.annotations import grid_saliency
from jaxseg.studies.annotations.gradcam import (
    control_variables,
    pixels_of_interest,
    pointing_game,
    saliency_share,
    seg_grad_cam,
)
from jaxseg.studies.annotations.grid_saliency import score_cells

SIZE = 16
MODES = ("zeros", "reflect", "circular")


@pytest.fixture(scope="module")
def frames():
    """Five frames of grey noise with a yellow mark: images uint8 and annotated bool."""
    grey = np.random.default_rng(0).integers(0, 120, (5, SIZE, SIZE, 1), np.uint8)
    images, annotated = np.repeat(grey, 3, axis=-1), np.zeros((5, SIZE, SIZE), bool)
    for i in range(5):
        spot = (i, slice(2 + i, 4 + i), slice(4, 9))
        images[spot], annotated[spot] = (255, 255, 0), True
    return images, annotated


@pytest.fixture(scope="module")
def cells():
    net = UNet(classes=2, width=2, depth=1)
    init = jax.jit(lambda seed: net.init(jax.random.key(seed), jnp.zeros((1, SIZE, SIZE, 3))))
    return net, [jax.device_get(init(seed)) for seed in range(3)]


@pytest.mark.parametrize("per_device", [1, 2])
def test_cells_and_batches_of_frames_score_as_each_alone(frames, cells, per_device, monkeypatch):
    monkeypatch.setattr(grid_saliency, "_cells_per_device", lambda: per_device)
    monkeypatch.setattr(grid_saliency, "_VALUES", 2 * per_device * 2 * SIZE**2)  # two at a time
    (net, variables), (images, annotated) = cells, frames
    codes = [padding_code(mode) for mode in MODES]
    options = {"codes": codes, "kept": [1, 4], "tolerance": 1.5}
    scores = score_cells(Network.of(net), iter(variables), [0, 1, 2], images, annotated, **options)
    assert scores.share.shape == (3, 5, 2) and scores.maps.shape == (3, 2, 2, SIZE, SIZE)
    for i, (tree, code) in enumerate(zip(variables, codes)):
        for name, expected in _alone(net, tree, i, code, images, annotated).items():
            got = getattr(scores, name)[i]
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, atol=1e-4, err_msg=name)


@functools.partial(jax.jit, static_argnums=0)
def _ask(net, variables, weights, code, images):
    x = normalise(images)
    pixels = pixels_of_interest(net.apply(variables, x, padding_code=code))
    return seg_grad_cam(Network.of(net), weights, x, pixels=pixels, padding_code=code)


def _alone(net, variables, seed, code, images, annotated):
    """What a cell scores, by the functions of one cell on all frames at once."""
    maps = _ask(net, variables, variables, code, images)
    random = _ask(net, variables, control_variables(Network.of(net), seed, SIZE), code, images)
    marks = annotated[:, None]
    return {
        "share": saliency_share(maps, marks),
        "hit": pointing_game(maps, marks, 1.5),
        "random_share": saliency_share(random, marks),
        "random_hit": pointing_game(random, marks, 1.5),
        "maps": maps[np.array([1, 4])],
    }


def test_a_network_that_reads_the_marks_colour_is_found_out(frames):
    net = UNet(classes=1, width=4, depth=1, norm="none", upsampling="nearest")
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))
    params = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes["params"])
    params["inc"]["conv1"]["kernel"][1, 1, :3, 0] = (1, 0, -1)  # red minus blue: yellow, not grey
    for block, conv in (("inc", "conv2"), ("up1", "conv1"), ("up1", "conv2")):
        params[block][conv]["kernel"][1, 1, 0, 0] = 1
    params["outc"]["kernel"][0, 0] = 1
    cells = [{"params": params, "batch_stats": {}}] * 4
    scores = score_cells(Network.of(net), cells, range(4), *frames, layer="inc")
    np.testing.assert_array_equal(scores.share, 1)
    np.testing.assert_array_equal(scores.hit, 1)
    assert np.nanmean(scores.random_share) < 0.5


def test_a_class_that_is_not_predicted_has_no_score(frames, cells):
    net, (variables, *_) = cells
    head = variables["params"]["outc"]
    bias = head["bias"] + np.array([0, -1e3], np.float32)
    params = variables["params"] | {"outc": head | {"bias": bias}}
    scores = score_cells(Network.of(net), [variables | {"params": params}], [0], *frames)
    for share, hit in ((scores.share, scores.hit), (scores.random_share, scores.random_hit)):
        assert np.isnan(share[..., 1]).all() and (hit[..., 1] == -1).all()
    assert scores.maps.shape == (1, 0, 2, SIZE, SIZE)
