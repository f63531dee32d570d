"""What a set of masks is taken for: decided over all files, named or refused."""

import cv2
import numpy as np
import PIL.Image
import pytest

from jaxseg.data.mask_coding import (
    MaskOptions,
    class_names,
    labels_from_json,
    survey_file,
)
from jaxseg.data.masks import IGNORED, foreground, look_at, not_judged_as_background
from jaxseg.errors import JaxsegError, UsageError

RNG = np.random.default_rng(0)
SIDE = 48


def disc(y, x, r):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= r * r


ONE = disc(20, 22, 9)
TWO = np.where(disc(34, 34, 7), 2, np.where(ONE, 1, 0)).astype(np.uint8)


def write(folder, name, values):
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".jpg":
        PIL.Image.fromarray(values).save(path, quality=95)
    else:
        PIL.Image.fromarray(values).save(path)
    return path


def taken(folder, *files, options=MaskOptions(), truth=None):  # noqa: B008
    """`look_at` of files (name, values) written to a folder, and what it reads of the first."""
    paths = [write(folder, name, values) for name, values in files]
    found = look_at("masks", [(p.stem, (p,)) for p in paths], options, truth=truth)
    return found, found.read(paths[:1])


@pytest.mark.parametrize("on", [1, 3, 38, 128, 254, 255])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "npy"])
def test_two_values_are_background_and_one_class(tmp_path, on, suffix):
    found, mask = taken(tmp_path, (f"a.{suffix}", (ONE * on).astype(np.uint8)))
    np.testing.assert_array_equal(mask, ONE)
    percent = f"{100 * ONE.mean():.0f} %"
    said = f"masks: 1 file, labels 0 and {on}, read as background and 1 class, {percent} of"
    assert found.line.startswith(said)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ((0, 1, 2), "labels 0, 1 and 2, read as background and 2 classes"),
        ((0, 127, 255), "labels 0, 127 and 255, read as background and 2 classes"),
        ((0, 38, 75), "labels 0, 38 and 75, read as background and 2 classes"),
        ((0, 1, 4), "labels 0, 1 and 4, read as background and 2 classes"),
    ],
)
def test_labels_of_flat_regions_are_classes_in_their_order(tmp_path, labels, said):
    values = np.array(labels, np.uint8)[TWO]
    found, mask = taken(tmp_path, ("a.png", values), ("b.png", 0 * values))
    np.testing.assert_array_equal(mask, TWO)
    assert said in found.line and found.coding.labels == labels
    names = found.coding.class_names()
    counted = labels == (0, 1, 2)
    assert names == (("class 1", "class 2") if counted else tuple(f"label {v}" for v in labels[1:]))


@pytest.mark.parametrize(
    "values",
    [
        ONE,
        ONE.astype(np.int64),
        ONE * np.float32(1.00000006),
        ONE * 0.9996,
        ONE[None],
        ONE[..., None],
        np.repeat(ONE[..., None].astype(np.uint8), 3, -1),
        (ONE * 65535).astype(np.uint16),
    ],
)
def test_arrays_of_any_number_type(tmp_path, values):
    _, mask = taken(tmp_path, ("a.npy", values))
    np.testing.assert_array_equal(mask, ONE)


@pytest.mark.parametrize("mode", ["1", "L", "P2", "P4", "I;16"])
def test_bits_a_pixel_do_not_matter(tmp_path, mode):
    """1 bit, 8 bits, palettes of 2 and 4 bits, 16 bits."""
    path = tmp_path / "a.png"
    if mode.startswith("P"):
        picture = PIL.Image.fromarray(TWO, mode="P")
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        picture.save(path, bits=int(mode[1]))
        expected = TWO
    else:
        values = ONE if mode == "1" else (ONE * 255).astype(np.uint16 if "16" in mode else np.uint8)
        PIL.Image.fromarray(values).save(path)
        expected = ONE
    found = look_at("masks", [("a", (path,))])
    np.testing.assert_array_equal(found.read([path]), expected)
    assert ("(in the palette)" in found.line) == mode.startswith("P")


def test_a_grey_palette_is_read_by_its_greys_whatever_their_order(tmp_path):
    picture = PIL.Image.fromarray((~ONE).astype(np.uint8), mode="P")  # index 0 is the object
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "a.png")
    found = look_at("masks", [("a", (tmp_path / "a.png",))])
    np.testing.assert_array_equal(found.read([tmp_path / "a.png"]), ONE)


def test_a_coloured_palette_whose_background_is_not_black_is_refused(tmp_path):
    picture = PIL.Image.fromarray(TWO, mode="P")
    picture.putpalette([9, 200, 9, 128, 0, 0, 0, 0, 0])
    picture.save(tmp_path / "a.png")
    with pytest.raises(JaxsegError, match=r"a\.png: a palette whose colour 0"):
        survey_file(tmp_path / "a.png")


def rgba(colour, alpha):
    colour = np.broadcast_to(np.asarray(colour, np.uint8), (SIDE, SIDE, 3))
    return np.dstack([colour, alpha]).astype(np.uint8)


def test_a_mask_may_lie_in_alpha_or_have_one_that_says_nothing(tmp_path):
    white = rgba((255, 255, 255), ONE * 255)
    grey = rgba(np.repeat((ONE * 255)[..., None], 3, -1), np.full((SIDE, SIDE), 255))
    cut_out = rgba(np.repeat((ONE * 255)[..., None], 3, -1), ONE * 255)
    for name, values in (("a", white), ("b", grey), ("c", cut_out)):
        _, mask = taken(tmp_path / name, ("a.png", values), ("e.png", 0 * white))
        np.testing.assert_array_equal(mask, ONE, name)
    assert (
        "1 file (in the alpha), labels 0 and 255" in taken(tmp_path / "f", ("a.png", white))[0].line
    )
    contradicts = rgba(np.repeat((ONE * 255)[..., None], 3, -1), ~ONE * 255)
    with pytest.raises(JaxsegError, match=r"a\.png: colours and alpha hold different masks"):
        taken(tmp_path / "d", ("a.png", contradicts))


def test_jpeg_keeps_two_values_and_no_indices(tmp_path):
    found, mask = taken(tmp_path / "a", ("a.jpg", (ONE * 255).astype(np.uint8)))
    np.testing.assert_array_equal(mask, ONE)
    assert "JPEG, values about 0 and 25" in found.line or "labels 0 and 255" in found.line
    _, mask = taken(tmp_path / "b", ("a.jpg", (ONE * 128).astype(np.uint8)))
    np.testing.assert_array_equal(mask, ONE)
    with pytest.raises(JaxsegError, match=r"a\.jpg: JPEG spoils class indices \(labels found in"):
        taken(tmp_path / "c", ("a.jpg", TWO))
    with pytest.raises(JaxsegError, match="JPEG spoils class indices"):
        taken(tmp_path / "d", ("a.jpg", (ONE * 2).astype(np.uint8)))


def soft(mask, sigma=2.0, top=249):
    return (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma) * top).astype(np.uint8)


def photograph(seed=0, top=240):
    """Speckle over a smooth scene, which stays below 255 and is dark at its rim."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.uniform(0, 1, (6, 6)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    speckle = rng.rayleigh(0.6, (SIDE, SIDE))
    return np.clip(scene * speckle * top, 0, top).astype(np.uint8)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (photograph(), "grey levels and few flat regions, as a photograph"),
        (np.maximum(photograph(1) - 20, 0).astype(np.uint8) % 200, "as a photograph"),
        (soft(ONE), "edges blurred by resizing"),
        (soft(ONE, 1.0), "a true mask holds labels"),
        (ONE * np.float32(0.7), "values from 0 to 0.698"),
        (ONE * 7.5, "values 0..7.5 that are not whole"),
        (np.where(ONE, np.nan, 0), "NaN"),
        (ONE * -1.0, "labels -1 and 0; a mask holds labels from 0 on"),
        (np.full((SIDE, SIDE), 255, np.uint8), "every pixel of all 1 masks is 255"),
        ((TWO + 1).astype(np.uint8), "labels 1, 2 and 3 without 0"),
        (np.array([0, 1, 255], np.uint8)[TWO], "255 occurs beside class indices.*--ignore_label"),
        (np.array([0, 2, 90], np.uint8)[TWO], "class indices beside 90"),
        (cv2.resize(TWO * 100, (24, 24), interpolation=cv2.INTER_AREA), "only along edges"),
        (np.dstack([ONE * 255, ONE * 9, ONE]).astype(np.uint8), "a mask in colours"),
        (np.dstack([ONE * 255, 0 * ONE, 0 * ONE, ONE * 255]).astype(np.uint8), "a mask in colours"),
        (np.dstack([~ONE, ONE, ONE]) * np.float32(0.9), "with one channel a class"),
        (ONE * np.float32(9) - np.float32(4.5), "apply the sigmoid to logits"),
    ],
)
def test_what_is_not_a_mask_is_refused_with_what_it_holds(tmp_path, values, words):
    suffix = "png" if values.dtype == np.uint8 else "npy"
    with pytest.raises(JaxsegError, match=words) as caught:
        taken(tmp_path, (f"a.{suffix}", values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (ONE * 255, ONE * 1, r"b\.npy holds 1 but .*a\.npy holds 255; use one for all"),
        (ONE * 255, ONE * 128, "holds 128 but .* holds 255; use one for all|holds 255 but"),
        (ONE * 255, TWO, "holds 255 but .*b.npy holds 1 and 2; use one for all"),
        (ONE * 255, ONE * 2, "holds 255 but .*b.npy holds 2; use one for all"),
        (ONE * 255, ONE * np.float32(0.4), "whole labels and .* values between 0 and 1"),
    ],
)
def test_files_of_one_set_share_a_coding(tmp_path, a, b, words):
    a = TWO * 1 if words.startswith("whole") else a
    with pytest.raises(JaxsegError, match=words):
        taken(tmp_path, ("a.npy", a), ("b.npy", b))


@pytest.mark.parametrize("top", [200, 300, 5000])
def test_numbers_of_objects_are_refused_without_a_threshold_that_would_drop_some(tmp_path, top):
    numbers = np.zeros((SIDE, SIDE), np.uint16)
    for k in range(25):
        numbers[9 * (k // 5) + 1 : 9 * (k // 5) + 8, 9 * (k % 5) + 1 : 9 * (k % 5) + 8] = (
            1 + k * (top - 1) // 24
        )
    values = numbers.astype(np.uint8) if top < 256 else numbers
    with pytest.raises(
        JaxsegError, match=r"numbers of objects.*with the class of each object"
    ) as caught:
        taken(tmp_path, ("a.png", values))
    assert "threshold" not in str(caught.value)
    true, _ = taken(tmp_path / "t", ("a.png", (ONE * 255).astype(np.uint8)))
    with pytest.raises(JaxsegError, match=r"do not fit the labels .* give --threshold"):
        taken(tmp_path / "p", ("a.png", values), truth=true.coding)


def test_a_class_between_two_others_is_not_cut_away(tmp_path):
    three = np.zeros((128, 128), np.uint8)
    three[20:52, 20:52], three[70:100, 70:110] = 128, 255
    with pytest.raises(JaxsegError, match=r"JPEG spoils|as a photograph"):
        taken(tmp_path, ("a.jpg", three))
    blurred = cv2.GaussianBlur(three, (0, 0), 1)
    with pytest.raises(JaxsegError) as caught:
        taken(tmp_path, ("a.png", blurred))
    assert "threshold" not in str(caught.value)


SCALES = {
    "jpeg": (MaskOptions(), "b.jpg", (ONE * 255).astype(np.uint8)),
    "soft": (MaskOptions(threshold=0.5), "b.png", cv2.GaussianBlur(
        (ONE * 255).astype(np.uint8), (0, 0), 2)),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCALES)
def test_labels_below_the_cut_of_other_files_are_not_empty_masks(tmp_path, kind):
    options, *other = SCALES[kind]
    with pytest.raises(JaxsegError, match=r"a\.png holds 1 but .*b\.\w+ holds values up to 25"):
        taken(tmp_path, ("a.png", ONE * np.uint8(1)), other, options=options)
    low = ("a.png", ONE * np.uint8(38))
    found, mask = taken(tmp_path / "low", low, other, options=MaskOptions(threshold=0.5))
    assert not mask.any() and "1 of 2 masks hold values above 0, but none" in found.cautions[0]


def test_predictions_of_two_scales_are_reported(tmp_path):
    true, _ = taken(tmp_path / "t", ("a.png", (ONE * 255).astype(np.uint8)))
    files = ("a.png", ONE * np.uint8(1)), ("b.png", soft(ONE, top=250))
    found, _ = taken(tmp_path / "p", *files, truth=true.coding)
    assert "such as a.png: they count as empty" in found.cautions[0]
    unsure = ("a.png", soft(ONE, top=90)), ("b.png", soft(ONE, top=250))
    assert taken(tmp_path / "q", *unsure, truth=true.coding)[0].cautions == []


def test_soft_masks_are_cut_where_the_user_says(tmp_path):
    options = MaskOptions(threshold=0.5)
    found, mask = taken(tmp_path, ("a.png", soft(ONE, top=255)), options=options)
    np.testing.assert_array_equal(mask, soft(ONE, top=255) >= 127.5)
    assert "read as probabilities × 255: background and, from 0.5 on, 1 class" in found.line
    shares = cv2.GaussianBlur(ONE.astype(np.float32), (0, 0), 2)
    _, mask = taken(tmp_path / "b", ("a.npy", shares), options=MaskOptions(threshold=0.25))
    np.testing.assert_array_equal(mask, shares >= 0.25)
    with pytest.raises(JaxsegError, match="no pixel reaches the threshold 1"):
        taken(tmp_path / "c", ("a.npy", shares * 0.5), options=MaskOptions(threshold=1.0))
    for wrong in (MaskOptions(threshold=1.5), MaskOptions(threshold=0), MaskOptions(several="no")):
        with pytest.raises(UsageError):
            wrong.check()


def test_an_ignored_label_is_not_judged(tmp_path):
    values = np.array([0, 1, 255], np.uint8)[TWO]
    found, mask = taken(tmp_path, ("a.png", values), options=MaskOptions(ignore=255))
    np.testing.assert_array_equal(mask, np.array([0, 1, IGNORED])[TWO])
    assert "255 not judged" in found.line and found.share == pytest.approx((TWO == 1).mean())
    assert found.cautions == []
    absent, _ = taken(tmp_path / "b", ("a.png", TWO), options=MaskOptions(ignore=7))
    assert "No mask holds the ignore label 7" in absent.cautions[0]
    with pytest.raises(UsageError, match="ignore label 0: must not be 0, the background"):
        MaskOptions(ignore=0).check()
    truth, predicted = not_judged_as_background(mask, np.ones_like(mask))
    assert not truth[TWO == 2].any() and not predicted[TWO == 2].any()
    np.testing.assert_array_equal(predicted[TWO < 2], 1)
    assert not foreground(mask)[TWO == 2].any()


def test_inverted_masks_are_reported(tmp_path):
    found, _ = taken(tmp_path, ("a.png", (~ONE * 255).astype(np.uint8)))
    assert "1 of 1 masks look inverted, such as a.png" in found.cautions[0]
    usual, _ = taken(tmp_path / "b", ("a.png", (ONE * 255).astype(np.uint8)))
    assert usual.cautions == []
    found, _ = taken(tmp_path / "c", ("a.jpg", (~ONE * 255).astype(np.uint8)))
    assert "look inverted" in found.cautions[0]
    # A disc of an eye with its cup: 128 and 0 on a background of 255.
    found, _ = taken(tmp_path / "d", ("a.png", np.array([255, 128, 0], np.uint8)[TWO]))
    assert "label 255 fills most of the frame and its rim" in found.cautions[0]
    rim = np.where(TWO == 1, 1, 255).astype(np.uint8)
    rim[5:9, 5:9] = 0
    unlabelled, _ = taken(tmp_path / "e", ("a.png", rim), options=MaskOptions(ignore=255))
    assert unlabelled.cautions == []


TRUTHS = {"binary": ONE * 255, "indices": TWO, "scaled": np.array([0, 127, 255])[TWO]}


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        *(("binary", ONE * on, ONE) for on in (1, 128, 254, 255)),
        ("binary", soft(ONE, top=250), soft(ONE, top=250) >= 127.5),
        ("binary", cv2.GaussianBlur(ONE.astype(np.float32), (0, 0), 1), ONE),
        ("binary", ONE * 0, ONE * 0),
        ("indices", TWO, TWO),
        ("indices", ONE * 1, ONE),  # a class that was never predicted
        ("indices", np.array([0, 127, 255])[TWO], TWO),
        ("scaled", TWO, TWO),
        ("scaled", np.array([0, 0, 255])[TWO], np.array([0, 0, 2])[TWO]),
    ],
)
def test_predictions_share_a_coding_with_their_truth(tmp_path, truth, predicted, expected):
    true, _ = taken(tmp_path / "t", ("a.npy", TRUTHS[truth]))
    found, mask = taken(tmp_path / "p", ("a.npy", predicted), truth=true.coding)
    if predicted.dtype == np.float32:
        assert "probabilities" in found.line
        expected = predicted >= 0.5
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("truth", "predicted", "words"),
    [
        ("binary", TWO, "labels 0, 1 and 2 do not fit the labels 0 and 255 of the truth"),
        ("binary", ONE * 2, "labels 0 and 2 do not fit"),
        ("indices", ONE * 255, "labels 0 and 255 do not fit"),
        ("indices", np.array([0, 1, 5])[TWO], "labels 0, 1 and 5 do not fit"),
        ("indices", soft(ONE, top=250), "probabilities of one class, but the truth has 2"),
        ("binary", photograph(), "as a photograph"),
    ],
)
def test_predictions_of_another_coding_are_refused_with_both(tmp_path, truth, predicted, words):
    true, _ = taken(tmp_path / "t", ("a.npy", TRUTHS[truth]))
    with pytest.raises(JaxsegError, match=words):
        taken(tmp_path / "p", ("a.npy", predicted), truth=true.coding)


def test_several_masks_of_a_picture_are_joined_or_as_asked(tmp_path):
    paths = [write(tmp_path, f"{k}.png", (m * 255).astype(np.uint8))
             for k, m in enumerate((ONE, disc(40, 40, 4)))]  # fmt: skip
    found = look_at("masks", [("a", paths)])
    np.testing.assert_array_equal(found.read(paths), ONE | disc(40, 40, 4))
    assert "1 of 1 pictures have several masks (they are joined)" in found.line
    assert "joined" in found.cautions[0]
    first = found._replace(options=MaskOptions(several="first"))
    np.testing.assert_array_equal(first.read(paths), ONE)
    with pytest.raises(JaxsegError, match=r"1\.png: a second mask of the picture.*--several_masks"):
        look_at("masks", [("a", paths)], MaskOptions(several="refuse"))
    small = write(tmp_path, "2.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(JaxsegError, match=r"2\.png: 9×9 pixels but"):
        found.read([paths[0], small])


def test_masks_that_cannot_be_read_are_left_out_or_raised(tmp_path):
    good, bad = write(tmp_path, "a.png", (ONE * 255).astype(np.uint8)), tmp_path / "b.png"
    bad.write_bytes(b"")
    left_out = []
    items = [("a", (good,)), ("b", (bad,))]
    found = look_at("masks", items, left_out=left_out)
    assert [name for name, _ in found.items] == ["a"]
    assert len(left_out) == 1 and str(bad) in left_out[0]
    with pytest.raises(JaxsegError, match=r"b\.png: is empty"):
        look_at("masks", items)
    with pytest.raises(JaxsegError, match=r"none of its files can be read as a mask; .*b\.png"):
        look_at("masks", items[1:], left_out=[])


def test_a_file_that_changes_after_it_was_looked_at_is_named(tmp_path):
    found, _ = taken(tmp_path, ("a.png", (ONE * 255).astype(np.uint8)))
    path = write(tmp_path, "a.png", (ONE * 7).astype(np.uint8))
    with pytest.raises(JaxsegError, match=r"a\.png: label 7, but the masks of this set hold 0 and"):
        found.read([path])


def test_what_a_file_holds_survives_json(tmp_path):
    import json

    seen = survey_file(write(tmp_path, "a.png", TWO))
    again = labels_from_json(json.loads(json.dumps(seen._asdict())))
    assert again == seen
    assert sum(seen.counts.values()) == SIDE * SIDE and seen.levels == 3
    assert sum(seen.rim.values()) == 4 * SIDE


def test_real_photographs_are_not_masks_and_real_masks_are(real_data):
    if not (real_data / "busi").is_dir():
        pytest.skip("BUSI is not there")
    pictures = sorted((real_data / "busi/images").iterdir())
    for path in pictures:
        with pytest.raises(JaxsegError):
            look_at("masks", [(path.stem, (path,))])
    own = sorted((real_data / "busi/masks").iterdir())
    assert look_at("masks", [(path.stem, (path,)) for path in own]).coding.labels == (0, 255)


def test_class_names():
    assert class_names(1) == ("foreground",)
    assert class_names(2) == ("class 1", "class 2")
