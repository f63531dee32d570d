"""Crop policies as properties of their boxes and of the epochs drawn from them."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from jaxseg.data.crops import (
    POLICIES,
    QUARTERS,
    Stream,
    annotated_images,
    crop_box,
    epoch_plan,
    fixed_boxes,
    pixel_box,
    store_view,
    stream_plan,
    stream_rows,
)
from jaxseg.errors import UsageError

EXTREMES = np.stack(np.meshgrid(*[[0.0, 0.25, 0.5, np.nextafter(1.0, 0.0)]] * 4), -1).reshape(-1, 4)
DRAWS = np.concatenate([EXTREMES, np.random.default_rng(0).random((4000, 4))])


def center_and_side(boxes):
    side = boxes[..., 2:] - boxes[..., :2]
    np.testing.assert_allclose(side[..., 0], side[..., 1], atol=1e-12)
    return (boxes[..., 2:] + boxes[..., :2]) / 2, side[..., 0]


@pytest.mark.parametrize("policy", POLICIES)
def test_boxes_are_square_in_fractions_and_inside_the_frame(policy):
    boxes = crop_box(policy, DRAWS)
    assert boxes.shape == DRAWS.shape and boxes.dtype == np.float64
    assert (boxes >= 0).all() and (boxes <= 1).all()
    _, side = center_and_side(boxes)
    low, high = {"center": (1, 1), "random": (0.5, 1), "off_center": (0.5, 0.75)}.get(
        policy, (0.5, 0.5)
    )
    assert side.min() >= low - 1e-12 and side.max() <= high + 1e-12
    if low < high:
        np.testing.assert_allclose(side[-4000:].mean(), (low + high) / 2, atol=0.01)


@pytest.mark.parametrize("policy", ["off_center", "off_center_same_scale"])
def test_off_center_boxes_fill_the_outer_ring_uniformly(policy):
    center, side = center_and_side(crop_box(policy, DRAWS))
    reach = np.abs(center - 0.5).max(-1) / ((1 - side) / 2)
    assert reach.min() >= 0.5 - 1e-9 and reach.max() <= 1 + 1e-9
    # Uniform over the ring's area: P(reach < r) = (r² - 1/4) / (3/4).
    np.testing.assert_allclose((reach[-4000:] < 0.8).mean(), (0.64 - 0.25) / 0.75, atol=0.03)
    signs = np.sign(center[-4000:] - 0.5)
    np.testing.assert_allclose(signs.mean(0), 0, atol=0.05)


def test_random_boxes_reach_every_corner():
    center, side = center_and_side(crop_box("random_same_scale", DRAWS[-4000:]))
    np.testing.assert_allclose(side, 0.5)
    np.testing.assert_allclose(center.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(center.std(0), 0.5 / np.sqrt(12), atol=0.01)


def test_quarters_partition_an_odd_frame_at_half_rounded_down():
    pixels = pixel_box(QUARTERS, 7, 9)
    assert pixels.tolist() == [[0, 0, 3, 4], [0, 4, 3, 9], [3, 0, 7, 4], [3, 4, 7, 9]]
    covered = np.zeros((7, 9), int)
    for y0, x0, y1, x1 in pixels:
        covered[y0:y1, x0:x1] += 1
    assert (covered == 1).all()


def test_half_size_boxes_are_exactly_half_the_pixels():
    pixels = pixel_box(crop_box("random_same_scale", DRAWS), 128, 128)
    assert ((pixels[:, 2:] - pixels[:, :2]) == 64).all()
    assert pixels.min() >= 0 and pixels.max() <= 128


def test_pixel_boxes_hold_at_least_one_pixel():
    pixels = pixel_box(crop_box("quarter", DRAWS), 1, 1)
    assert (pixels == [0, 0, 1, 1]).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_crop_box_is_vectorised(policy):
    draws = DRAWS[:24].reshape(2, 3, 4, 4)
    single = np.stack([crop_box(policy, d) for d in draws.reshape(-1, 4)])
    np.testing.assert_array_equal(crop_box(policy, draws).reshape(-1, 4), single)


@pytest.mark.parametrize("policy", POLICIES)
def test_epochs_are_reproducible_permutations(policy):
    order, boxes, views = epoch_plan(policy, 50, 3, 7)
    again = epoch_plan(policy, 50, 3, 7)
    for first, second in zip((order, boxes, views), again, strict=True):
        np.testing.assert_array_equal(first, second)
    assert sorted(order) == list(range(50))
    assert order.dtype == np.int32 and views.dtype == np.int32 and boxes.shape == (50, 4)


def test_seed_and_epoch_both_change_the_plan():
    plans = [epoch_plan("random", 50, *key) for key in [(0, 0), (0, 1), (1, 0)]]
    for a in range(3):
        for b in range(a):
            assert (plans[a][0] != plans[b][0]).any()
            assert (plans[a][1] != plans[b][1]).any()


def test_every_policy_sees_the_same_images_in_the_same_order():
    orders = [epoch_plan(policy, 50, 3, 7)[0] for policy in POLICIES]
    assert all((order == orders[0]).all() for order in orders)


def test_boxes_belong_to_the_image_index_not_to_the_data_set_size():
    few, many = epoch_plan("random", 10, 3, 7), epoch_plan("random", 50, 3, 7)
    np.testing.assert_array_equal(few[1], many[1][:10])


def test_quarter_views_name_the_quarter_that_the_box_cuts():
    _, boxes, views = epoch_plan("quarter", 400, 0, 0)
    np.testing.assert_array_equal(boxes, QUARTERS[views])
    assert np.bincount(views, minlength=4).min() > 60


def test_fixed_boxes():
    assert fixed_boxes("full", 3).tolist() == [[[0, 0, 1, 1]]] * 3
    np.testing.assert_array_equal(fixed_boxes("quarter", 2)[1], QUARTERS)
    random = fixed_boxes("random", 6)
    assert random.shape == (6, 4, 4)
    np.testing.assert_array_equal(random[:2], fixed_boxes("random", 2))
    assert len(np.unique(random.reshape(-1, 4), axis=0)) == 24


def test_store_views_cover_the_policies():
    assert {store_view(policy) for policy in POLICIES} == {"full", "quarter", "frame2x"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: crop_box("centre", DRAWS), "data.crop='centre'.*did you mean 'center'"),
        (lambda: crop_box("random", DRAWS[:, :3]), "must hold 4 draws"),
        (lambda: crop_box("random", np.ones(4)), r"^draws: every draw must lie in \[0, 1\)"),
        (lambda: crop_box("random", -DRAWS[1:2]), r"must lie in \[0, 1\)"),
        (lambda: store_view("centre"), "^data.crop='centre'.*did you mean 'center'"),
        (lambda: epoch_plan("centre", 4, 0, 0), "^data.crop='centre'"),
        (lambda: epoch_plan("center", -4, 0, 0), "^n_images=-4"),
        (lambda: epoch_plan("center", 4, -1, 0), "^data_seed=-1"),
        (lambda: epoch_plan("center", 4, 0, -1), "^epoch=-1"),
        (lambda: fixed_boxes("quarters", 4), "eval.test_sets='quarters'.*'quarter'"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_crops_need_no_tensorflow():
    blocked = "import sys; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None"
    subprocess.run([sys.executable, "-c", f"{blocked}; import jaxseg.data.crops"], check=True)


@pytest.mark.parametrize("policy", POLICIES)
def test_views_are_given_under_quarter_alone(policy):
    views = epoch_plan(policy, 40, 0, 0)[2]
    assert views.any() == (policy == "quarter")


@pytest.mark.parametrize("policy", ["random", "off_center"])
def test_size_and_place_of_a_box_are_drawn_apart(policy):
    center, side = center_and_side(crop_box(policy, DRAWS[-4000:]))
    place = (center - 0.5) / ((1 - side) / 2)[:, None]  # of the room that the size leaves
    for drawn in (*place.T, *np.abs(place).T):
        assert abs(np.corrcoef(side, drawn)[0, 1]) < 0.05


def test_off_center_boxes_lie_as_often_at_each_side_and_anywhere_along_it():
    center, side = center_and_side(crop_box("off_center_same_scale", DRAWS[-4000:]))
    place = (center - 0.5) / ((1 - side) / 2)[:, None]
    far = np.abs(place).argmax(axis=1)
    away, along = np.take_along_axis(place, np.stack([far, 1 - far], axis=1), axis=1).T
    counts = np.bincount(2 * far + (away > 0), minlength=4)
    np.testing.assert_allclose(counts / counts.sum(), 0.25, atol=0.03)
    np.testing.assert_allclose(np.std(along / np.abs(away)), 1 / np.sqrt(3), atol=0.02)
    assert abs(np.corrcoef(np.abs(away), along / np.abs(away))[0, 1]) < 0.05


def test_pixel_boxes_beyond_the_last_pixel_hold_it_and_keep_leading_axes():
    np.testing.assert_array_equal(pixel_box([1.0, 1.0, 1.0, 1.0], 5, 7), [4, 6, 5, 7])
    boxes = fixed_boxes("random", 3)
    flat = pixel_box(boxes.reshape(-1, 4), 31, 17)
    np.testing.assert_array_equal(pixel_box(boxes, 31, 17), flat.reshape(3, 4, 4))


def test_whole_numbers_are_draws_too():
    np.testing.assert_array_equal(crop_box("random", [0, 0, 0, 0]), [0, 0, 0.5, 0.5])
    np.testing.assert_array_equal(pixel_box([0, 0, 1, 1], 5, 7), [0, 0, 5, 7])


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
