"""Prepared views: which pieces of a frame, and which versions of it, a store holds.

A view is a name. `full`, `quarter`, `random` and `frame2x` are pieces of the frame as it is; the
others are whole frames with marks of a scanner's screen, which are drawn (and removed) at original
resolution before the frame is resized:

    clean.yellow          the frame as it is
    annotated.yellow      with annotations tied to the structure
    independent.yellow    with annotations anywhere
    restored.yellow       annotated, then what a detector finds is removed by `telea`
    sequence.yellow       STAGES frames of annotating it, from clean to annotated
    train.tied.yellow.telea.drawn
                          for training: [0] as a frame without annotations reaches the network,
                          [1] as one with annotations does

The last part of a training view is `placebo` where the marks' places are removed from frames on
which no mark was ever drawn, because removal itself leaves traces. Where a frame's id names its
plane, the plane's name is written on it, as sonographers do.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.crops import FIXED_VIEWS
from jaxseg.errors import JaxsegError, UsageError, check_choice

ANNOTATED_SETS = ("clean", "annotated", "independent", "restored", "sequence")
TEST_SETS = (*FIXED_VIEWS, *ANNOTATED_SETS)
STAGES = 6
PLACEMENTS = ("tied", "jittered", "independent")
COLOURS = ("yellow", "white", "green")
METHODS = ("telea", "navier_stokes", "black_box", "noise", "bilinear")
NO_REMOVAL = "none"
REMOVALS = (NO_REMOVAL, *METHODS)
_SEED = 20240306  # of all marks: a frame has the same ones in every cell
# Part of a store's name: raise it when marks or removal look different.
_EDITION = "e2"
_HALO = np.ones((3, 3), np.uint8)
Frame = NDArray[np.uint8]


class Marking(NamedTuple):
    """How annotations get onto training frames, and off them again.

    `placement` and `colour` as in `draw_annotations`; `removal` a method of `remove_annotations`,
    or `none`; `drawn` False is the placebo.
    """

    placement: str = "tied"
    colour: str = "yellow"
    removal: str = NO_REMOVAL
    drawn: bool = True


class View(NamedTuple):
    """`boxes` names the fixed boxes that are cut, `count` pieces a frame, at `scale` × data.size.

    `versions(image uint8 [H, W, 3], mask uint8 [H, W], id) -> uint8 [count, H, W, 3]` gives each
    piece's own frame; None where all are cut from the frame as it is.
    """

    boxes: str
    count: int
    scale: int = 1
    versions: Callable[[Frame, Frame, str], Frame] | None = None


def training_view(marking: Marking) -> str:
    """Name of the view that holds training frames without [0] and with [1] annotations.

    Raises UsageError for an unknown setting, and for a placebo without a removal.
    """
    check_choice("annotate.placement", marking.placement, PLACEMENTS)
    check_choice("annotate.colour", marking.colour, COLOURS)
    check_choice("annotate.removal", marking.removal, REMOVALS)
    if not marking.drawn and marking.removal == NO_REMOVAL:
        raise UsageError(
            "annotate.drawn=False: requires a removal, whose placebo it is; set annotate.removal "
            "to one of "
            f"{', '.join(METHODS)}"
        )
    kind = "drawn" if marking.drawn else "placebo"
    return ".".join(("train", marking.placement, marking.colour, marking.removal, kind))


def test_view(test_set: str, colour: str) -> str:
    """Name of the view that holds the items of a test set."""
    check_choice("eval.test_sets", test_set, TEST_SETS)
    return test_set if test_set in FIXED_VIEWS else f"{test_set}.{colour}"


test_view.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]  # not a test


def find_view(name: str, planes: str = "") -> View:
    """The view called `name`; `planes` finds the plane in a frame's id, as for `plane_of`.

    Raises UsageError for an unknown view.
    """
    if name == "frame2x":
        return View("full", 1, scale=2)
    kind, *options = name.split(".")
    if not options:
        check_choice("views", name, (*FIXED_VIEWS, "frame2x"))
        return View(name, FIXED_VIEWS[name])
    if kind == "train":
        placement, colour, removal, drawn = options
        marking = Marking(placement, colour, removal, drawn == "drawn")
        return View("full", 2, versions=partial(_training_versions, marking, planes))
    check_choice("views", kind, ANNOTATED_SETS)
    count = STAGES if kind == "sequence" else 1
    return View("full", count, versions=partial(_test_versions, kind, options[0], planes))


def edition(name: str, planes: str = "") -> str:
    """The view's name on disk; for marked frames it includes the edition of the marks."""
    if "." not in name:
        return name
    return f"{name}.{_EDITION}" + (f".{zlib.crc32(planes.encode()):08x}" if planes else "")


def _test_versions(
    kind: str, colour: str, planes: str, image: Frame, mask: Frame, image_id: str
) -> Frame:
    # Only where marks are drawn: prepared views are read without OpenCV.
    from jaxseg.data.annotations import annotation_sequence, draw_annotations
    from jaxseg.data.annotations.removal import remove_annotations

    options: dict[str, Any] = {
        "seed": _SEED, "image_id": image_id, "colour": colour, "plane": label_of(image_id, planes)
    }  # fmt: skip
    if kind == "clean":
        return image[None]
    if kind == "sequence":
        return annotation_sequence(image, mask, stages=STAGES, **options)[0]
    placement = "independent" if kind == "independent" else "tied"
    marked, _ = draw_annotations(image, mask, placement=placement, **options)
    return (remove_annotations(marked, colour=colour)[0] if kind == "restored" else marked)[None]


def _training_versions(
    marking: Marking, planes: str, image: Frame, mask: Frame, image_id: str
) -> Frame:
    """Removal is applied to every frame, as in use, where nobody knows which are annotated."""
    import cv2

    from jaxseg.data.annotations import draw_annotations
    from jaxseg.data.annotations.removal import remove_annotations

    marked, where = draw_annotations(
        image,
        mask,
        seed=_SEED,
        image_id=image_id,
        placement=marking.placement,
        colour=marking.colour,
        plane=label_of(image_id, planes),
    )
    if marking.removal == NO_REMOVAL:
        return np.stack([image, marked])
    remove = partial(remove_annotations, method=marking.removal, colour=marking.colour)
    if marking.drawn:
        return np.stack([remove(image)[0], remove(marked)[0]])
    spots = cv2.dilate(where.astype(np.uint8), _HALO) > 0
    return np.stack([image, remove(image, mask=spots)[0]])


FIELD = "data.planes"


def plane_of(ids: Iterable[str], pattern: str) -> list[str]:
    """The plane of every id: the one group of the regular expression, found anywhere in the id.

    `""` is for data of one plane and gives `""` for every id. Raises UsageError for a pattern
    that is not a regular expression or has not one group, JaxsegError for an id in which it is not
    found or its group is empty.
    """
    if not pattern:
        return ["" for _ in ids]
    expression, planes = _compiled(pattern), []
    for name in ids:
        match = expression.search(name)
        if not match or not match[1]:
            raise JaxsegError(
                f"{FIELD}={pattern!r}: finds no plane in the id {name!r}; correct the pattern or "
                "rename the frame"
            )
        planes.append(match[1])
    return planes


def label_of(image_id: str, pattern: str) -> str:
    """The plane to write on a frame; empty where the id does not name one."""
    match = _compiled(pattern).search(image_id) if pattern else None
    return (match and match[1]) or ""


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{FIELD}={pattern!r}: not a regular expression ({error})") from error
    if expression.groups != 1:
        raise UsageError(
            f"{FIELD}={pattern!r}: must hold one (group), the plane's name, "
            f"holds {expression.groups}"
        )
    return expression


def check_planes(train_planes: Sequence[str], test_planes: Sequence[str]) -> None:
    """Raises JaxsegError for a plane that has training frames but no test frame."""
    for plane, frames in sorted(Counter(train_planes).items()):
        if plane not in test_planes:
            there = ", ".join(sorted(set(test_planes))) or "none"
            raise JaxsegError(
                f"{FIELD}: plane {plane!r} has {frames} training frames but no test frame "
                f"(planes tested: {there}); add some or take another data.test_split"
            )
