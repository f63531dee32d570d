"""Cutting on the host, on the device and by TensorFlow, and PIL as oracle.

Host and TensorFlow agree bit for bit, the device to one grey level; masks are equal everywhere.
"""

import platform
from functools import partial

import cv2
import jax
import numpy as np
import pytest
from data_oracles import draw_pair, pil_cut

from jaxseg.data.crops import (
    POLICIES,
    QUARTERS,
    WHOLE,
    Stream,
    crop_box,
    epoch_plan,
    pixel_box,
    stream_rows,
)
from jaxseg.data.cuts import cut, cut_batch, nearest_pixels, resize_weights

N = 8
BOXES = np.concatenate([QUARTERS, crop_box("random", np.random.default_rng(0).random((6, 4)))])


@pytest.mark.parametrize("size", [16, 64])  # smaller and larger than the crops
def test_cut_agrees_with_pil(size):
    image, mask = draw_pair(0, 71, 93)
    for box in BOXES:
        pixels, labels = cut(image, mask, box, size)
        expected, expected_labels = pil_cut(image, mask, box, size)
        assert np.abs(pixels.astype(int) - expected).max() <= 1
        np.testing.assert_array_equal(labels, expected_labels)
        assert pixels.dtype == labels.dtype == np.uint8


def test_cut_gives_tensorflows_pixels():
    """Prepared data of earlier versions was cut by TensorFlow: numbers must not change.

    Within one grey level is what is asked for. On x86 no pixel differs; elsewhere compilers may
    fuse TensorFlow's products and sums.
    """
    pytest.importorskip("tensorflow")
    from jaxseg.data.pipeline import cut as tensorflow_cut

    rng, different = np.random.default_rng(0), 0
    for _ in range(60):
        height, width, size = rng.integers(1, 300), rng.integers(1, 300), int(rng.integers(1, 120))
        image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        mask = rng.integers(0, 5, (height, width)).astype(np.uint8)
        box = np.sort(rng.random((2, 2)), axis=0).ravel()
        pixels, labels = cut(image, mask, box, size)
        expected, expected_labels = (
            part.numpy() for part in tensorflow_cut(image, mask, box, size)
        )
        assert np.abs(pixels.astype(int) - expected).max() <= 1
        np.testing.assert_array_equal(labels, expected_labels)
        different += int((pixels != expected).sum())
    assert different == 0 or platform.machine() not in ("x86_64", "AMD64")


def test_bicubic_overshoot_is_clipped():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 255
    pixels = cut(image, image[..., 0], [0, 0, 1, 1], 32)[0]
    assert pixels[:, :8].max() < 30 and pixels[:, -8:].min() > 225


def test_class_indices_are_never_blended():
    mask = np.random.default_rng(0).choice([0, 3, 7], (40, 40)).astype(np.uint8)
    image = np.repeat(mask[..., None], 3, -1)
    assert set(np.unique(cut(image, mask, [0.1, 0.1, 0.9, 0.9], 23)[1])) == {0, 3, 7}


def _both(images, masks, boxes, size):
    """((images, masks) of the device, of the host) for one box an image."""
    bounds = pixel_box(boxes, *masks.shape[1:])
    device = jax.jit(partial(cut_batch, size=size))(images, masks, bounds)
    host = [cut(*row, size) for row in zip(images, masks, boxes)]
    return [np.asarray(a) for a in device], [np.stack(part) for part in zip(*host)]


def _assert_agree(images, masks, boxes, size):
    (pixels, labels), (expected, expected_labels) = _both(images, masks, boxes, size)
    assert pixels.dtype == labels.dtype == np.uint8
    apart = np.abs(pixels.astype(int) - expected)
    assert apart.max() <= 1 and apart.mean() < 1e-3  # ties of rounding, and those rarely
    np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("frame", "size"), [((48, 48), 24), ((71, 93), 16), ((40, 36), 44)])
def test_cuts_agree_under_every_policy(policy, frame, size):
    pairs = [draw_pair(index, *frame) for index in range(N)]
    images, masks = (np.stack(part) for part in zip(*pairs))
    boxes = crop_box(policy, np.random.default_rng(0).random((N, 4)))
    _assert_agree(images, masks, boxes, size)


def test_cuts_agree_on_noise_that_overshoots():
    rng = np.random.default_rng(0)
    images = 255 * rng.integers(0, 2, (N, 32, 32, 3)).astype(np.uint8)
    masks = rng.integers(0, 5, (N, 32, 32)).astype(np.uint8)
    for policy in ("random", "off_center"):
        _assert_agree(images, masks, crop_box(policy, rng.random((N, 4))), 16)


def test_cuts_agree_on_real_images(real_data):
    paths = sorted((real_data / "isic2017").rglob("ISIC_*.jpg"))[:N]
    images = np.stack([cv2.resize(cv2.imread(str(p)), (64, 64)) for p in paths])
    masks = (images[..., 0] > 100).astype(np.uint8)
    boxes = crop_box("random", np.random.default_rng(1).random((len(paths), 4)))
    _assert_agree(images, masks, boxes, 32)


def test_a_box_of_the_size_asked_for_is_copied():
    image, mask = draw_pair(0, 32, 32)
    pixels, labels = cut_batch(image[None], mask[None], np.array([[3, 9, 19, 25]]), 16)
    np.testing.assert_array_equal(pixels[0], image[3:19, 9:25])
    np.testing.assert_array_equal(labels[0], mask[3:19, 9:25])


def test_nothing_outside_the_box_is_seen():
    image, mask = draw_pair(0, 40, 40)
    other = np.full_like(image, 255)
    other[5:35, 5:35] = image[5:35, 5:35]
    bounds = np.array([[5, 5, 35, 35]] * 2)
    pixels, _ = cut_batch(np.stack([image, other]), np.stack([mask, mask]), bounds, 16)
    np.testing.assert_array_equal(pixels[0], pixels[1])
    weights = np.asarray(resize_weights(bounds[:, 0], bounds[:, 2], 40, 16))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert not weights[..., :5].any() and not weights[..., 35:].any()


@pytest.mark.parametrize("size", [16, 48, 100])
def test_nearest_pixels_are_those_of_the_host(size):
    for n in (*range(1, 70), 128, 255, 256):
        ramp = np.arange(n, dtype=np.uint8)[:, None]
        expected = cut(np.repeat(ramp[..., None], 3, -1), ramp, [0, 0, 1, 1], size)[1][:, 0]
        got = nearest_pixels(np.array([0]), np.array([n]), size)[0]
        np.testing.assert_array_equal(got, expected, err_msg=f"{n} -> {size}")


@pytest.mark.parametrize("policy", POLICIES)
def test_stream_rows_are_the_plan(policy):
    rows = stream_rows(Stream(policy, 3), 11, 16, 2)
    order, boxes, views = epoch_plan(policy, 11, 3, 2)
    np.testing.assert_array_equal(rows[:, 0], order)
    np.testing.assert_array_equal(rows[:, 1], views[order])
    side = 16 if policy in ("center", "quarter") else 32
    np.testing.assert_array_equal(rows[:, 2:], pixel_box(boxes, side, side)[order])
    assert policy != "center" or (rows[:, 2:] == WHOLE * 16).all()
