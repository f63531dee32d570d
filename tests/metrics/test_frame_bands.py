"""Bands of frames of any shape equal the square ones, and mean the same at every size."""

import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.metrics.bands import (
    RING_EDGES,
    border_depth,
    border_rings,
    centre_rings,
    square_ring_edges,
    square_rings,
)


@pytest.mark.parametrize("size", [26, 64, 100, 128, 150, 256, 512])
def test_rings_equal_the_papers_scaled_rings(size):
    np.testing.assert_array_equal(centre_rings((size, size)), square_rings(size, 10 * size / 256))


def test_edges_are_the_papers():
    np.testing.assert_array_equal(RING_EDGES, square_ring_edges(256, 10))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_depth_equals_rings_of_one_pixel(size):
    np.testing.assert_array_equal(border_depth((size, size)), border_rings(size, 1))


@pytest.mark.parametrize("shape", [(48, 64), (61, 40), (5, 9)])
def test_rings_are_fractions_of_the_frame(shape):
    ring, depth = centre_rings(shape), border_depth(shape)
    for h, w in np.random.default_rng(0).integers(0, shape, (50, 2)):
        share = min(min(h, shape[0] - 1 - h) / shape[0], min(w, shape[1] - 1 - w) / shape[1])
        assert ring[h, w] == max(0, 12 - int(share * 25.6 + 1e-9))
        assert depth[h, w] == min(h, shape[0] - 1 - h, w, shape[1] - 1 - w)


@pytest.mark.parametrize("times", [2, 3])
def test_an_enlarged_frame_has_enlarged_rings(times):
    # 5 and 10 px a ring: where the width is not whole, the finer frame cuts more finely.
    small, large = (128, 256), (128 * times, 256 * times)
    for of_small, of_large in (
        (centre_rings(small), centre_rings(large)),
        (border_depth(small, 64), border_depth(large, 64)),
    ):
        np.testing.assert_array_equal(of_small.repeat(times, 0).repeat(times, 1), of_large)


def test_scaled_depths_by_hand():
    # Stretched to 8 px every pixel of 4 covers two; its inner side decides.
    np.testing.assert_array_equal(border_depth((4, 4), 8)[1], [1, 3, 3, 1])
    # Shrunk to 4 px two pixels of 8 share one.
    np.testing.assert_array_equal(border_depth((8, 8), 4)[3], [0, 0, 1, 1, 1, 1, 0, 0])


def test_a_frame_of_one_pixel_is_refused_as_scale():
    with pytest.raises(UsageError, match="scale_to=1"):
        border_depth((8, 8), 1)


def test_border_depth_counts_whole_pixels_to_the_nearest_side():
    expected = [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 2, 1, 0], [0, 1, 1, 1, 0], [0] * 5]
    np.testing.assert_array_equal(border_depth((5, 5)), expected)
