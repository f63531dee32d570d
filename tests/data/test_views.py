"""Prepared views of annotation studies: drawn and removed at original resolution, then resized."""

import cv2
import numpy as np
import pytest

from jaxseg.data import annotations, views
from jaxseg.data.annotations import removal
from jaxseg.data.phantoms.ultrasound import draw_frame
from jaxseg.data.pipeline import cut
from jaxseg.data.prepare import prepare_views
from jaxseg.data.views import (
    Marking,
    check_planes,
    edition,
    find_view,
    label_of,
    plane_of,
    training_view,
)
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.progress import silent

SIDE, SIZE = 96, 32
WHOLE = [0.0, 0.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    for part in ("images", "masks"):
        (root / part).mkdir()
    for i in range(3):
        image, mask = draw_frame(0, i, SIDE)
        cv2.imwrite(str(root / "images" / f"f{i}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"f{i}.png"), mask)
    return root


def prepared(root, *names):
    return prepare_views("folders", "train", size=SIZE, views=names, manual_dir=root,
                         data_dir=root.parent / "cache", progress=silent)  # fmt: skip


def test_names_are_those_of_the_functions():
    # Written out in views, so that prepared frames are read without OpenCV.
    assert views.PLACEMENTS == annotations.PLACEMENTS
    assert tuple(removal.COLOURS) == views.COLOURS
    assert tuple(removal.METHODS) == views.METHODS


def test_marks_are_drawn_at_original_resolution(root):
    store = prepared(root, "annotated.yellow")["annotated.yellow"]
    for row, name in enumerate(store.ids):
        image, mask = draw_frame(0, int(name[1:]), SIDE)
        marked, _ = annotations.draw_annotations(image, mask, seed=views._SEED, image_id=name)
        expected, labels = cut(marked, mask, np.array(WHOLE), SIZE)
        assert (
            np.abs(store.images[row, 0].astype(int) - expected).max() <= 2
        )  # bicubic overshoot at the marks
        np.testing.assert_array_equal(store.masks[row, 0], labels)


def test_a_sequence_goes_from_the_clean_to_the_annotated_frame(root):
    stores = prepared(root, "clean.yellow", "annotated.yellow", "sequence.yellow")
    stages = stores["sequence.yellow"].images
    assert stages.shape[1] == views.STAGES
    np.testing.assert_array_equal(stages[:, :1], stores["clean.yellow"].images)
    np.testing.assert_array_equal(stages[:, -1:], stores["annotated.yellow"].images)


def test_training_views_hold_a_version_without_and_one_with_marks(root):
    plain, removed, placebo = (
        training_view(m)
        for m in (Marking(), Marking(removal="telea"), Marking(removal="telea", drawn=False))
    )
    stores = prepared(root, "clean.yellow", "annotated.yellow", plain, removed, placebo)
    clean = stores["clean.yellow"].images[:, 0].astype(int)
    without, marked = np.moveaxis(stores[plain].images, 1, 0).astype(int)
    np.testing.assert_array_equal(without, clean)
    np.testing.assert_array_equal(marked, stores["annotated.yellow"].images[:, 0])
    cleaned = stores[removed].images[:, 1].astype(int)
    # Restored frames are nearer to the clean ones, and a placebo nearer than marks are, yet traced.
    assert np.abs(cleaned - clean).mean() < 0.5 * np.abs(marked - clean).mean()
    np.testing.assert_array_equal(stores[placebo].images[:, 0], clean)
    traces = np.abs(stores[placebo].images[:, 1].astype(int) - clean).mean()
    assert 0 < traces < 0.5 * np.abs(marked - clean).mean()


def test_a_plane_named_by_the_id_is_written_on_the_frame():
    image, mask = draw_frame(0, 2, SIDE)
    named, other, unnamed = (
        find_view("annotated.yellow", "^([a-z]+)_").versions(image, mask, name)[0]
        for name in ("femur_1", "cervix_1", "7_1")
    )
    options = {"seed": views._SEED, "image_id": "femur_1"}
    for plane, drawn in (
        ("femur", named),
        ("", find_view("annotated.yellow").versions(image, mask, "femur_1")[0]),
    ):
        expected, _ = annotations.draw_annotations(image, mask, plane=plane, **options)
        np.testing.assert_array_equal(drawn, expected)
    assert (named != other).any() and (named != unnamed).any()


def test_names_on_disk_say_how_marks_looked():
    assert edition("full") == edition("full", "(x)") == "full"
    names = [edition("annotated.white", pattern) for pattern in ("", "^(a)", "^(b)")]
    assert len({"annotated.white", *names}) == 4


@pytest.mark.parametrize("name", ["ful", "anotated.yellow"])
def test_an_unknown_view_names_the_nearest(name):
    with pytest.raises(UsageError, match="did you mean"):
        find_view(name)


def test_the_group_is_the_plane():
    ids = ["head_0_0000", "abdomen_0_0001", "head_0_0004"]
    assert plane_of(ids, r"^([a-z]+)_") == ["head", "abdomen", "head"]
    assert plane_of(["p12-femur-3.png"], r"-(femur|head)(?:-|$)") == ["femur"]


def test_no_pattern_is_one_plane():
    assert plane_of(["010_HC", "any"], "") == ["", ""]
    check_planes(["", ""], [""])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("([a-z]+", r"data\.planes='\(\[a-z\]\+': not a regular expression"),
        ("[a-z]+", r"must hold one \(group\).*holds 0"),
        ("([a-z]+)_([0-9])", r"must hold one \(group\).*holds 2"),
    ],
)
def test_a_wrong_pattern_is_refused(pattern, words):
    with pytest.raises(UsageError, match=words) as caught:
        plane_of(["head_0_0000"], pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["^([a-z]+)_", "([a-z]*)HC", "(x)?_HC"])
def test_an_id_without_a_plane_is_named(pattern):
    with pytest.raises(JaxsegError, match=r"finds no plane in the id '010_HC'"):
        plane_of(["head_HC"] * (pattern == "^([a-z]+)_") + ["010_HC"], pattern)


def test_a_frame_without_a_plane_gets_no_label():
    pattern = "^([a-z]+)_"
    assert [label_of(name, pattern) for name in ("head_0_0000", "010_HC")] == ["head", ""]
    assert label_of("head_0_0000", "") == ""


def test_a_plane_that_is_trained_on_must_be_tested():
    check_planes(["head", "femur"], ["femur", "head", "cervix"])
    with pytest.raises(JaxsegError, match="plane 'femur' has 2 training frames but no test frame"):
        check_planes(["head", "femur", "femur"], ["head", "head"])
    with pytest.raises(JaxsegError, match=r"planes tested: none"):
        check_planes(["head"], [])
