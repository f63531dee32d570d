"""Which annotated test frames are scored, and which are shown: chosen without any prediction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError, UsageError, check_choice
from jaxseg.grid.evaluate import TestSet

CLEAN = "clean"
_MOST_EXAMPLES = 4
EXAMPLE_RULE = (
    "up to 4 of the scored frames whose truth holds a structure: as many of each of the first 4 "
    "planes, evenly spaced in rank of annotation area (where one, the lower median); of each the "
    "class with the largest area in the truth; chosen by truth and annotations alone"
)


class AnnotatedFrames(NamedTuple):
    """Frames with annotations in them, in ascending order.

    frame int32 [n] index in the test set, images uint8 [n, H, W, 3], annotated bool [n, H, W],
    masks uint8 [n, H, W] class indices, planes [n] names.
    """

    frame: np.ndarray
    images: np.ndarray
    annotated: np.ndarray
    masks: np.ndarray
    planes: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """Share of annotation pixels, float32 [n]."""
        return self.annotated.mean((1, 2), dtype=np.float32)


def annotated_frames(
    test: Mapping[str, TestSet], test_set: str, planes: Sequence[str] | None, most: int
) -> AnnotatedFrames:
    """The first frames of every plane in turn that hold annotations, `most` of them at most.

    Annotation pixels are those in which a frame of `test_set` differs from the same frame of set
    `clean`, at the network's resolution: where the frames were resized, a mark's blurred rim too.

    Args:
        test: test sets, `clean` and `test_set` among them, with one item a frame.
        test_set: the set whose frames are taken.
        planes: the plane of every frame; None or empty where there is one.
        most: at least 1.

    Raises:
        UsageError: a set that is not there, or `most` below 1.
        JaxsegError: sets that do not match, or none of whose frames differ.
    """
    if most < 1:
        raise UsageError(f"frames={most}: must be at least 1")
    shown = test[check_choice("test_set", test_set, test)]
    annotated = _annotation_pixels(test[check_choice("test_set", CLEAN, test)], shown, test_set)
    names = np.asarray(planes)[shown.image] if planes else np.full(len(annotated), "")
    found = np.flatnonzero(annotated.any((1, 2)))
    if not len(found):
        raise JaxsegError(
            f"test set {test_set!r}: no frame differs from its clean one, there are no annotations "
            "to score; name a test set that has some"
        )
    rows = np.sort(found[_in_turn(names[found])[:most]])
    frame = shown.image[rows].astype(np.int32)
    return AnnotatedFrames(
        frame, shown.images[rows], annotated[rows], shown.masks[rows], names[rows]
    )


def _annotation_pixels(clean: TestSet, shown: TestSet, name: str) -> np.ndarray:
    if clean.images.shape != shown.images.shape or (clean.image != shown.image).any():
        raise JaxsegError(
            f"test set {name!r}: its images {shown.images.shape} must be the frames of {CLEAN!r}, "
            f"{clean.images.shape}, in the same order; prepare both from one split"
        )
    return (clean.images != shown.images).any(-1)


def _in_turn(planes: np.ndarray) -> np.ndarray:
    """Positions such that every plane has its first frame before any has its second."""
    nth = np.zeros(len(planes), int)
    for plane in set(planes):
        nth[planes == plane] = np.arange((planes == plane).sum())
    return np.argsort(nth, kind="stable")


def choose_examples(shown: AnnotatedFrames) -> list[int]:
    """Positions among `shown`, ascending, of the frames that `EXAMPLE_RULE` picks."""
    rows = np.flatnonzero(shown.masks.any((1, 2)))
    rows = rows if len(rows) else np.arange(len(shown.masks))
    planes = list(dict.fromkeys(shown.planes[rows]))[:_MOST_EXAMPLES]
    each = _MOST_EXAMPLES // len(planes)
    picks: set[int] = set()
    for plane in planes:
        members = rows[shown.planes[rows] == plane]
        ranked = members[np.argsort(shown.area[members], kind="stable")]
        picks |= {int(ranked[(len(ranked) - 1) * (i + 1) // (each + 1)]) for i in range(each)}
    return sorted(picks)


def largest_class(mask: np.ndarray, classes: int) -> int:
    """The foreground class 1 … `classes` with most pixels of a mask [H, W]; 1 where it is empty."""
    return 1 + int(np.argmax(np.bincount(mask.ravel(), minlength=classes + 1)[1:]))
