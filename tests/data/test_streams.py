"""Streams: which images are annotated is a nested, seeded, exact share."""

import itertools

import numpy as np
import pytest

from jaxseg.data.crops import epoch_plan
from jaxseg.data.streams import Stream, annotated_images, stream_plan, stream_rows
from jaxseg.errors import UsageError

SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("n", [1, 7, 40])
def test_the_share_is_exact(n, share):
    assert annotated_images(n, 3, share).sum() == round(share * n)


def test_a_higher_contamination_keeps_the_images_of_a_lower_one():
    sets = [annotated_images(50, 3, share) for share in SHARES]
    for few, many in itertools.pairwise(sets):
        assert not (few & ~many).any()


def test_seeds_annotate_different_images_and_one_seed_the_same():
    drawn = [annotated_images(50, seed, 0.5) for seed in (0, 1, 0)]
    assert (drawn[0] != drawn[1]).any() and (drawn[0] == drawn[2]).all()


def test_an_image_is_the_same_version_in_every_epoch_and_orders_stay_paired():
    clean = Stream("center", 4, "train.tied.yellow.none.drawn", 0.0)
    half = clean._replace(contamination=0.5)
    for epoch in range(3):
        order, _, versions = stream_plan(half, 20, epoch)
        np.testing.assert_array_equal(versions, annotated_images(20, 4, 0.5))
        np.testing.assert_array_equal(order, epoch_plan("center", 20, 4, epoch)[0])
        assert not stream_plan(clean, 20, epoch)[2].any()


def test_rows_take_whole_frames_of_the_version():
    rows = stream_rows(Stream("center", 4, "train.tied.yellow.none.drawn", 0.5), 20, 16, 1)
    np.testing.assert_array_equal(rows[:, 1], annotated_images(20, 4, 0.5)[rows[:, 0]])
    assert (rows[:, 2:] == [0, 0, 16, 16]).all()


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_a_share_outside_its_range_is_named(share):
    with pytest.raises(UsageError, match=r"annotate.contamination=.*must be from 0 to 1"):
        annotated_images(10, 0, share)
