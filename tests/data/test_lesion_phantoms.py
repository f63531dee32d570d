"""Phantom frames: determinism, statistics close to ISIC 2017's, decoys, and the TFDS builder."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxseg.data.phantoms.lesions import draw_lesion
from jaxseg.errors import UsageError

FRAMES = 400


@pytest.fixture(scope="module")
def frames() -> tuple[np.ndarray, np.ndarray]:
    images, masks = zip(*(draw_lesion(7, index) for index in range(FRAMES)))
    return np.stack(images), np.stack(masks)


def border(stack: np.ndarray) -> np.ndarray:
    """The outermost pixels of [n, h, w, ...], flattened to [n, pixels, ...]."""
    sides = [stack[:, 0], stack[:, -1], stack[:, 1:-1, 0], stack[:, 1:-1, -1]]
    return np.concatenate(sides, axis=1)


def test_types_and_one_lesion_in_every_frame(frames):
    images, masks = frames
    assert images.shape == (FRAMES, 128, 128, 3) and images.dtype == np.uint8
    assert masks.shape == (FRAMES, 128, 128) and masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1}
    assert masks.sum((1, 2)).min() >= 100
    main_part = []
    for mask in masks:
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        main_part.append(stats[1:, cv2.CC_STAT_AREA].max() / mask.sum())
    assert min(main_part) > 0.9


def test_a_frame_depends_on_its_arguments_alone(frames):
    images, masks = frames
    np.random.seed(0)
    image, mask = draw_lesion(7, 5)
    np.testing.assert_array_equal(image, images[5])
    np.testing.assert_array_equal(mask, masks[5])
    for seed, index in [(8, 5), (7, 6), (5, 7)]:
        assert np.mean(draw_lesion(seed, index)[0] != image) > 0.5


def test_other_sizes_show_the_same_scene():
    for index in range(12):
        large, large_mask = draw_lesion(1, index, size=128)
        small, small_mask = draw_lesion(1, index, size=64)
        shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
        shrunk_mask = cv2.resize(large_mask, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(float) - small).mean() < 8
        assert abs(float(shrunk_mask.mean()) - small_mask.mean()) < 0.03


def test_place_and_area_are_those_of_isic_2017(frames):
    _, masks = frames
    axis = (np.arange(128) + 0.5) / 128
    area = masks.mean((1, 2))
    x = (masks.mean(1) @ axis) / masks.mean(1).sum(1)
    y = (masks.mean(2) @ axis) / masks.mean(2).sum(1)
    assert x.mean() == pytest.approx(0.494, abs=0.015)
    assert y.mean() == pytest.approx(0.505, abs=0.015)
    assert x.std() == pytest.approx(0.053, abs=0.015)
    assert y.std() == pytest.approx(0.059, abs=0.015)
    assert np.median(area) == pytest.approx(0.13, abs=0.03)
    assert np.log(area).std() == pytest.approx(1.0, abs=0.2)
    assert border(masks).any(1).mean() < 0.12


def test_quarters_bring_the_lesion_to_the_border_of_the_crop(frames):
    _, masks = frames
    quarters = np.concatenate([masks[:, r : r + 64, c : c + 64] for r in (0, 64) for c in (0, 64)])
    assert border(masks).mean() < 0.03
    assert border(quarters).mean() > 8 * border(masks).mean()


def test_lesions_are_mostly_darker_than_the_skin_but_some_only_just(frames):
    images, masks = frames
    grey = images.mean(3)
    ratio = [np.median(g[m == 1]) / np.median(g[m == 0]) for g, m in zip(grey, masks)]
    low, median, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    assert low < 0.55 and 0.65 < median < 0.85 and high > 0.9


def test_decoys_as_dark_as_the_lesion_lie_clear_of_it(frames):
    """Compact blobs near the lesion's darkness: in over half of the frames that can be judged.

    Without decoys the same rule finds other things (dark corners, blue ink) in about a quarter.
    """
    found = []
    for image, mask in zip(*frames):
        green = cv2.medianBlur(np.ascontiguousarray(image[..., 1]), 5)
        skin, lesion = np.median(green[mask == 0]), np.median(green[mask == 1])
        if lesion > 0.65 * skin:
            continue  # too faint to tell from shade
        dark = (green < 0.4 * skin + 0.6 * lesion) & (green > 0.3 * lesion)
        dark &= cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0
        opened = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9)))
        found.append(opened.any())
    assert len(found) > 50
    assert np.mean(found) > 0.55


def test_no_mark_lies_along_the_border_of_every_frame(frames):
    images, _ = frames
    dark = border(images.mean(3) < 50)
    assert dark.mean() < 0.15
    assert (~dark.any(1)).mean() > 0.4


@pytest.mark.parametrize("arguments", [(-1, 0), (0, -1), (0, 0, 16)])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(UsageError, match="size must be at least 32"):
        draw_lesion(*arguments)


def test_drawing_does_not_import_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "from jaxseg.data.phantoms.lesions import draw_lesion; draw_lesion(0, 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_builder_serves_the_drawn_frames(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    from jaxseg.data.builders import LesionPhantoms

    few = {"train": (0, 6), "validation": (1, 2), "test": (2, 3)}
    monkeypatch.setattr(LesionPhantoms, "SPLITS", few)
    builder = LesionPhantoms(data_dir=tmp_path)
    assert str(builder.info.full_name) == "lesion_phantoms/1.0.0"
    builder.download_and_prepare()
    assert {k: v.num_examples for k, v in builder.info.splits.items()} == {
        k: count for k, (_, count) in few.items()
    }
    frames = tfds.load("lesion_phantoms:1.0.0", split="train[:4]", data_dir=tmp_path)
    examples = list(tfds.as_numpy(frames))
    assert len(examples) == 4
    for index, example in enumerate(examples):
        image, mask = draw_lesion(0, index)
        np.testing.assert_array_equal(example["image"], image)
        np.testing.assert_array_equal(example["mask"][..., 0], mask)
        assert example["id"] == f"phantom_0_{index:04d}".encode()


def test_splits_are_large_enough_and_share_no_seed():
    from jaxseg.data.builders import LesionPhantoms

    splits = LesionPhantoms.SPLITS
    assert {split: count for split, (_, count) in splits.items()} == {
        "train": 800,
        "validation": 100,
        "test": 200,
    }
    assert len({seed for seed, _ in splits.values()}) == 3
