import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.studies.shift import moving as w

PLANS = [w.reference_plan(48)] + [
    w.same_scale_plan(size, factor)
    for size, factor in ((32, 4), (48, 16), (64, 16), (256, 16), (9, 1))
]


def test_the_reference_moves_150_of_256_pixels_by_12_from_0_to_96():
    plan = w.reference_plan(64)
    assert plan.origins == (0, 12, 24, 36, 48, 60, 72, 84, 96)
    assert (plan.frame, plan.window, plan.common) == (256, 150, slice(96, 150))
    assert plan.offsets[plan.centre] == 0 and set(np.abs(plan.offsets)) == {0, 12, 24, 36, 48}


@pytest.mark.parametrize("plan", PLANS)
def test_windows_lie_in_the_frame_and_share_a_third_of_their_side(plan):
    assert min(plan.origins) >= 0 and max(plan.origins) + plan.window <= plan.frame
    assert plan.common.stop - plan.common.start >= plan.window // 3
    assert list(plan.offsets) == sorted(-plan.offsets)
    assert 3 <= len(plan.origins) <= 13


@pytest.mark.parametrize("size, factor", [(32, 4), (48, 16), (64, 16), (128, 16), (256, 16)])
def test_by_default_some_windows_meet_the_pooling_grid_and_some_do_not(size, factor):
    aligned = w.same_scale_plan(size, factor).offsets % factor == 0
    assert 1 < aligned.sum() < len(aligned)


@pytest.mark.parametrize("plan", PLANS)
def test_overlap_and_common_part_name_the_same_pixels_of_the_frame(plan):
    pixels = np.arange(plan.frame**2, dtype=np.int64).reshape(plan.frame, plan.frame)
    cut = w.cut_windows(plan, pixels)
    for k in range(len(plan.origins)):
        here, there = w.overlap(plan, k)
        np.testing.assert_array_equal(cut[k][here], cut[plan.centre][there])
        shared = plan.window - abs(plan.offsets[k])
        assert cut[k][here].shape == (shared, shared)
        common = pixels[plan.common, plan.common]
        np.testing.assert_array_equal(cut[k][w.common_part(plan, k)], common)


def test_a_step_that_leaves_no_second_window_is_refused():
    assert w.same_scale_plan(48, 16, 5).offsets.tolist() == [-15, -10, -5, 0, 5, 10, 15]
    for step in (0, 17):
        with pytest.raises(UsageError, match=f"step={step}: must be 1 to 16 pixels"):
            w.same_scale_plan(48, 16, step)


def test_frames_are_squashed_and_masks_keep_their_classes():
    truth = np.zeros((40, 80), np.uint8)
    truth[:20], truth[20:, 40:] = 3, 7
    image = np.repeat(truth[..., None] * 10, 3, axis=-1)
    small, mask = w.square_frame(image, truth, 20)
    assert small.shape == (20, 20, 3) and mask.shape == (20, 20)
    assert set(np.unique(mask)) == {0, 3, 7}
    np.testing.assert_array_equal(mask[:10], 3)
    np.testing.assert_array_equal(small[..., 0], mask * 10)


def test_masks_go_back_to_the_windows_pixels():
    plan = w.reference_plan(50)
    mask = np.random.default_rng(0).integers(0, 2, (1, 50, 50), np.uint8)
    back = w.back_to_window(plan, mask)
    np.testing.assert_array_equal(back, np.kron(mask, np.ones((1, 3, 3), np.uint8)))
