import numpy as np
import pytest

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid.evaluate import TestSet
from jaxseg.studies.annotations.grid_saliency import (
    annotated_frames,
    choose_examples,
    largest_class,
)

SIZE = 8


def _sets(areas, masks=None):
    """Clean and annotated frames, in which so many pixels differ in the blue channel alone."""
    n = len(areas)
    clean = np.full((n, SIZE, SIZE, 3), 100, np.uint8)
    marked = clean.copy()
    for i, area in enumerate(areas):
        rows, columns = np.unravel_index(np.arange(area), (SIZE, SIZE))
        marked[i, rows, columns, 2] = 101
    masks = np.ones((n, SIZE, SIZE), np.uint8) if masks is None else masks
    image = np.arange(n, dtype=np.int32)
    return {
        "clean": TestSet(clean, masks, image),
        "annotated": TestSet(marked, masks, image),
    }


def test_annotation_pixels_are_those_that_differ():
    shown = annotated_frames(_sets([3, 0, 7]), "annotated", None, 10)
    assert shown.frame.tolist() == [0, 2] and shown.frame.dtype == np.int32
    assert shown.annotated.sum((1, 2)).tolist() == [3, 7]
    np.testing.assert_allclose(shown.area, [3 / 64, 7 / 64])
    assert shown.area.dtype == np.float32


def test_planes_take_turns():
    planes = ["head"] * 5 + ["femur"] * 2 + ["cervix"]
    pick = lambda most: annotated_frames(_sets([1] * 8), "annotated", planes, most).frame.tolist()  # noqa: E731
    assert pick(3) == [0, 5, 7]
    assert pick(6) == [0, 1, 2, 5, 6, 7]
    assert pick(99) == list(range(8))


def test_examples_are_the_median_of_each_plane_or_spread_over_one():
    areas = [5, 1, 3, 9, 7, 2, 4, 6]
    planes = ["head", "abdomen", "femur", "cervix"] * 2
    two = choose_examples(annotated_frames(_sets(areas), "annotated", planes, 8))
    assert two == [0, 1, 2, 7]  # the smaller of each plane's two
    one = choose_examples(annotated_frames(_sets(areas), "annotated", None, 8))
    assert sorted(np.array(areas)[one]) == [2, 3, 5, 6]


def test_examples_hold_a_structure_where_any_does():
    masks = np.zeros((5, SIZE, SIZE), np.uint8)
    masks[3, 2:4, 2:4] = 2
    assert choose_examples(annotated_frames(_sets([2] * 5, masks), "annotated", None, 5)) == [3]
    empty = annotated_frames(_sets([2] * 5, 0 * masks), "annotated", None, 5)
    assert len(choose_examples(empty)) == 4


def test_largest_class():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    assert largest_class(mask, 3) == 1
    mask[0], mask[1:4], mask[5] = 1, 3, 2
    assert largest_class(mask, 3) == 3


def test_what_cannot_be_scored_is_refused_in_one_line():
    sets = _sets([1, 2])
    with pytest.raises(UsageError, match="frames=0: must be at least 1"):
        annotated_frames(sets, "annotated", None, 0)
    with pytest.raises(UsageError, match=r"test_set='anotated': .* did you mean 'annotated'"):
        annotated_frames(sets, "anotated", None, 4)
    with pytest.raises(JaxsegError, match="no frame differs from its clean one"):
        annotated_frames(_sets([0, 0]), "annotated", None, 4)
    other = sets | {"annotated": _sets([1, 2, 3])["annotated"]}
    with pytest.raises(JaxsegError, match="must be the frames of 'clean'"):
        annotated_frames(other, "annotated", None, 4)
