import jax
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.annotations.gradcam import (
    control_variables,
    pointing_game,
    saliency_share,
)


def _frame(*pixels, size=8):
    """Float [size, size], 0 but for (row, column, value)."""
    frame = np.zeros((size, size), np.float32)
    for row, column, value in pixels:
        frame[row, column] = value
    return frame


def test_share_of_mass_by_hand():
    maps = np.stack([_frame((1, 1, 1.0), (2, 5, 0.5), (7, 7, 0.5)), _frame(), _frame((0, 0, 0.1))])
    annotated = _frame((1, 1, 1), (7, 7, 1)) > 0
    share = saliency_share(maps, annotated[None])
    np.testing.assert_allclose(share, [0.75, np.nan, 0.0])


def test_share_of_an_even_map_is_the_annotations_area():
    annotated = np.random.default_rng(0).random((5, 1, 16, 16)) < 0.1
    share = saliency_share(np.full((5, 2, 16, 16), 0.3, np.float32), annotated)
    np.testing.assert_allclose(share, np.repeat(annotated.mean((2, 3)), 2, axis=1), rtol=1e-5)


def test_pointing_game_by_hand():
    annotated = (_frame((1, 1, 1), (6, 6, 1)) > 0)[None]
    off, on = _frame((1, 2, 1.0), (1, 1, 0.9)), _frame((6, 6, 0.4), (0, 7, 0.3))
    tied = _frame((3, 3, 1.0), (6, 6, 1.0))
    hit = pointing_game(np.stack([off, on, tied, _frame()]), annotated)
    assert hit.dtype == np.int8 and hit.tolist() == [0, 1, 1, -1]


def test_tolerance_is_a_distance_in_pixels():
    annotated = (_frame((4, 4, 1)) > 0)[None]
    straight, diagonal = _frame((4, 6, 1.0)), _frame((6, 6, 1.0))
    for tolerance, expected in [(0, [0, 0]), (1.9, [0, 0]), (2, [1, 0]), (2.9, [1, 1])]:
        hit = pointing_game(np.stack([straight, diagonal]), annotated, tolerance)
        assert hit.tolist() == expected, tolerance
    far = pointing_game(_frame((0, 0, 1.0), size=16), _frame((15, 15, 1), size=16) > 0, 20)
    assert far == 0  # 21.2 px; a disc beyond the frame finds nothing
    with pytest.raises(UsageError, match="tolerance=-1: must be 0 or more"):
        pointing_game(straight, annotated[0], -1)


def test_control_weights_are_fresh_and_the_same_every_time():
    net = UNet(width=2, depth=1)
    draw = jax.jit(lambda seed: control_variables(Network.of(net), seed, 8))
    first, again, other = draw(0), draw(0), draw(1)
    begun = net.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    kernels = [tree["params"]["inc"]["conv1"]["kernel"] for tree in (first, again, other, begun)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert all(np.abs(kernels[0] - kernel).min() > 0 for kernel in kernels[2:])
