"""Cutting and training batches: PIL as oracle, epochs that can be entered anywhere."""

import numpy as np
import pytest
from data_oracles import draw_pair, pil_cut

from jaxseg.data.crops import POLICIES, QUARTERS, Stream, crop_box, epoch_plan
from jaxseg.data.pipeline import cut, steps_per_epoch, tensorflow, train_batches
from jaxseg.data.store import Prepared
from jaxseg.errors import UsageError

pytest.importorskip("tensorflow")
N, SIZE = 11, 16
BOXES = np.concatenate([QUARTERS, crop_box("random", np.random.default_rng(0).random((6, 4)))])


@pytest.fixture(scope="module")
def stores():
    """Four views of eleven drawn images, as prepared ones would be."""
    pairs = [draw_pair(index, 70, 90) for index in range(N)]
    views = {}
    for view, boxes, side in [
        ("full", [[0, 0, 1, 1]], SIZE),
        ("quarter", QUARTERS, SIZE),
        ("frame2x", [[0, 0, 1, 1]], 2 * SIZE),
    ]:
        cuts = [[pil_cut(*pair, box, side) for box in boxes] for pair in pairs]
        views[view] = Prepared(
            np.array([[c[0] for c in row] for row in cuts]),
            np.array([[c[1] for c in row] for row in cuts]),
            tuple(map(str, range(N))),
            ("lesion",),
        )
    return views


def test_cut_is_the_same_inside_tf_data():
    tf = tensorflow()
    image, mask = draw_pair(0, 71, 93)
    dataset = tf.data.Dataset.from_tensor_slices(BOXES).map(lambda box: cut(image, mask, box, SIZE))
    for box, (pixels, labels) in zip(BOXES, dataset, strict=True):
        eager_pixels, eager_labels = cut(image, mask, box, SIZE)
        np.testing.assert_array_equal(pixels, eager_pixels)
        np.testing.assert_array_equal(labels, eager_labels)


@pytest.mark.parametrize("policy", POLICIES)
def test_batches_are_the_plan(stores, policy):
    batches = list(train_batches(stores, Stream(policy, 5), 4, 0, 2))
    assert len(batches) == 2 * steps_per_epoch(N, 4) == 4
    for step, (images, masks) in enumerate(batches):
        assert images.shape == (4, SIZE, SIZE, 3) and masks.shape == (4, SIZE, SIZE)
        assert images.dtype == masks.dtype == np.uint8
        order, boxes, views = epoch_plan(policy, N, 5, step // 2)
        for row, index in enumerate(order[step % 2 * 4 :][:4]):
            if policy in ("center", "quarter"):
                store = stores["full" if policy == "center" else "quarter"]
                expected = store.images[index, views[index]], store.masks[index, views[index]]
            else:
                frame = stores["frame2x"]
                expected = pil_cut(frame.images[index, 0], frame.masks[index, 0], boxes[index], 16)
            assert np.abs(images[row].astype(int) - expected[0]).max() <= 1
            np.testing.assert_array_equal(masks[row], expected[1])


@pytest.mark.parametrize("policy", ["center", "quarter", "random"])
def test_resuming_at_an_epoch_is_bit_identical(stores, policy):
    whole = list(train_batches(stores, Stream(policy, 1), 4, 0, 4))
    resumed = list(train_batches(stores, Stream(policy, 1), 4, 2, 4))
    assert len(resumed) == 4
    for before, after in zip(whole[4:], resumed, strict=True):
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.parametrize("policy", ["center", "random"])
@pytest.mark.parametrize("step", [1, 2])
def test_resuming_inside_an_epoch_is_bit_identical(stores, policy, step):
    whole = list(train_batches(stores, Stream(policy, 1), 4, 0, 4))
    resumed = list(train_batches(stores, Stream(policy, 1), 4, 2, 4, step))
    assert len(resumed) == 4 - step
    for before, after in zip(whole[4 + step :], resumed, strict=True):
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(before[1], after[1])


def test_half_size_crops_of_the_double_frame_are_not_resampled(stores):
    (images, masks), *_ = train_batches(stores, Stream("center_same_scale", 0), 4, 0, 1)
    order = epoch_plan("center_same_scale", N, 0, 0)[0][:4]
    middle = slice(SIZE // 2, SIZE // 2 + SIZE)
    np.testing.assert_array_equal(images, stores["frame2x"].images[order, 0, middle, middle])
    np.testing.assert_array_equal(masks, stores["frame2x"].masks[order, 0, middle, middle])


def test_a_finished_run_has_no_batches_left(stores):
    assert list(train_batches(stores, Stream("center", 0), 4, 3, 3)) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((Stream("centre", 0), 4, 0, 1), "data.crop='centre'"),
        ((Stream("random", 0), 4, 0, 1), "requires view 'frame2x', got"),
        ((Stream("center", 0), 12, 0, 1), "optim.batch_size=12: must be from 1 to the 11"),
        ((Stream("center", 0), 0, 0, 1), "optim.batch_size=0"),
        ((Stream("center", -1), 4, 0, 1), "data_seed=-1"),
        ((Stream("center", 0), 4, 2, 1), "start_epoch=2: must be from 0 to epochs=1"),
        ((Stream("center", 0), 4, 0, 1, 3), "start_step=3: must be from 0 to the epoch's 2 steps"),
    ],
)
def test_wrong_arguments_are_named_at_the_call(stores, arguments, words):
    with pytest.raises(UsageError, match=words):
        train_batches({"full": stores["full"]}, *arguments)
