"""Planted models whose behaviour under shifts is known."""

import numpy as np
import pytest

from jaxseg.errors import JaxsegError
from jaxseg.metrics.bands import border_depth
from jaxseg.studies.models import callable_model
from jaxseg.studies.shift import moving
from jaxseg.studies.shift.moving import reference_plan, same_scale_plan

SIZE = 48
PLAN = same_scale_plan(SIZE, 16, 8)


def scenes(n=6, side=2 * SIZE, radius=20, classes=1):
    """Bright discs near the middle of dark frames; the brightness is 100 · class."""
    y, x = np.mgrid[:side, :side]
    for k in range(n):
        rng = np.random.default_rng(k)
        middle = side / 2 + rng.uniform(-4, 4, 2)
        inside = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2
        truth = inside.astype(np.uint8) * (1 + k % classes)
        yield f"scene{k}", np.repeat(truth[..., None] * 100, 3, axis=-1), truth


def looks(images):
    return np.rint(images[..., 0] / 100).astype(np.uint8)


def erased(images, k):
    return looks(images) * (border_depth(images.shape[1:3]) >= k)


def fixed_place(images):
    disc = border_depth(images.shape[1:3]) >= 14
    return np.broadcast_to(disc, images.shape[:3]).astype(np.uint8)


def model(predict, classes=1):
    return callable_model("planted", predict, size=SIZE, classes=classes)


def test_a_model_that_goes_by_looks_loses_nothing_wherever_the_window_is():
    moved = moving.move_windows(model(looks), PLAN, scenes(), reach=5)
    np.testing.assert_array_equal(moved.dice, 1)
    np.testing.assert_array_equal(moved.errors["all"], 0)
    assert moving.dice_lost(moved) == (0, 0, 0, 6)
    assert moved.ids == [f"scene{k}" for k in range(6)]


def test_resizing_alone_costs_a_model_that_goes_by_looks_next_to_nothing():
    moved = moving.move_windows(model(looks), reference_plan(SIZE), scenes(side=256, radius=50))
    assert moved.dice.min() > 0.95
    assert not moved.logits and not moved.aligned.any()


def test_a_model_blind_at_the_border_differs_within_its_reach_and_nowhere_else():
    k = 10
    moved = moving.move_windows(model(lambda x: erased(x, k)), PLAN, scenes(), reach=k)
    others = PLAN.offsets != 0
    np.testing.assert_array_equal(np.nan_to_num(moved.errors["beyond"]), 0)
    assert (moved.errors["near"][:, others] > 0.05).all()
    low = moving.dice_lost(moved).low
    assert low > 0.1


def test_the_dice_of_a_window_is_the_overlap_on_the_common_part_by_hand():
    k, (name, image, truth) = 12, next(iter(scenes()))
    moved = moving.move_windows(model(lambda x: erased(x, k)), PLAN, [(name, image, truth)])
    common = truth[PLAN.common, PLAN.common] > 0
    for origin, found in zip(PLAN.origins, moved.dice[0]):
        rows = np.arange(PLAN.common.start, PLAN.common.stop) - origin
        kept = (rows >= k) & (rows < SIZE - k)
        hit = (common & np.outer(kept, kept)).sum()
        assert found == pytest.approx(2 * hit / (hit + common.sum()))


def test_a_model_that_knows_places_only_is_told_by_errors_of_its_masks():
    moved = moving.move_windows(model(fixed_place), PLAN, scenes())
    # Two discs of side 20 that lie 8 px apart along both axes share 12 × 12 pixels.
    near_centre = PLAN.offsets == 8
    np.testing.assert_allclose(moved.errors["all"][:, near_centre], 1 - 12**2 / 20**2)
    assert np.isnan(moved.errors["near"]).all(), "the reach is not known"


def test_dice_is_a_mean_over_the_classes_that_are_there():
    moved = moving.move_windows(model(looks, classes=2), PLAN, scenes(classes=2))
    np.testing.assert_array_equal(moved.dice, 1)
    one = moving.move_windows(model(lambda x: np.minimum(looks(x), 1), 2), PLAN, scenes(classes=2))
    # Class 2 is called 1: both classes score 0 there.
    np.testing.assert_array_equal(one.dice[1::2], 0)
    np.testing.assert_array_equal(one.dice[::2], 1)


def test_frames_without_an_object_have_no_score_and_are_left_out():
    empty = ("empty", np.zeros((96, 96, 3), np.uint8), np.zeros((96, 96), np.uint8))
    moved = moving.move_windows(model(looks), PLAN, [*scenes(3), empty])
    assert np.isnan(moved.dice[3]).all()
    assert {e.n_images for e in moving.dice_by_offset(moved)} == {3}
    assert moving.dice_by_offset(moved)[0].value == 1


def test_the_strip_shows_the_image_whose_object_fills_half_of_the_common_part():
    side = 2 * SIZE
    part = PLAN.common
    frames = []
    for share in (0.2, 0.55, 0.9):
        truth = np.zeros((side, side), np.uint8)
        width = part.stop - part.start
        truth[part.start : part.start + round(share * width), part] = 1
        frames.append((f"{share}", np.repeat(truth[..., None] * 100, 3, -1), truth))
    strip = moving.move_windows(model(looks), PLAN, frames).strip
    assert strip.id == "0.55" and strip.share == pytest.approx(0.55, abs=0.05)
    np.testing.assert_array_equal(strip.predictions, strip.truth)


def test_frames_are_taken_one_by_one():
    held = []

    def stream():
        for frame in scenes(4):
            held.append(frame[0])
            yield frame
            assert len(held) <= 4 and held[-1] == frame[0]

    moving.move_windows(model(looks), PLAN, stream())


def test_no_frames_at_all_are_an_error():
    with pytest.raises(JaxsegError, match="no image could be used"):
        moving.move_windows(model(looks), PLAN, [])
