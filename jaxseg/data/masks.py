"""Masks, as every command reads them: the whole set is inspected, then read mask by mask.

All files of a set are looked at once (`mask_labels`), which decides how they are read
(`mask_coding`); a line to print and cautions state the decision.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.images import LIMIT_PX, check_same_size, read_file
from jaxseg.data.mask_coding import (
    IGNORED,
    LOSSY_REACH,
    Coding,
    FileLabels,
    MaskOptions,
    decide,
    label_values,
    survey_file,
    thin_labels,
)
from jaxseg.errors import JaxsegError

_INVERTED_FILES = 0.1  # share of a set from which on a caution reports masks that look inverted
_INVERTED_AREA, _INVERTED_RIM = 0.5, 0.9  # of the frame and its rim, which one class fills


class Masks(NamedTuple):
    """A set of masks that was inspected: `read` by its coding, `line` and `cautions` to print.

    `items` are (name, files) of the pictures whose masks can be read; `share` is the mean share of
    the frame that is foreground.
    """

    items: list[tuple[str, tuple[Path, ...]]]
    coding: Coding
    line: str
    cautions: list[str]
    options: MaskOptions
    limit_px: int
    share: float

    def read(self, paths: Sequence[Path]) -> NDArray[np.uint8]:
        """Class indices uint8 [H, W] of one picture's masks, joined: class 0 is where all are 0.

        Where two hold different classes in one pixel the higher is taken; only the first is read
        where `options.several` is "first". Raises JaxsegError for masks of different sizes, for
        what cannot be read, and for a second mask where `options.several` is "refuse".
        """
        if self.options.several == "refuse":
            _refuse_several(paths)
        joined = self._read_one(paths[0])
        for path in paths[1:] if self.options.several == "join" else ():
            mask = self._read_one(path)
            check_same_size(paths[0], joined, path, mask)
            ignored = (joined == IGNORED) | (mask == IGNORED)
            classes = np.maximum(*(np.where(m == IGNORED, 0, m) for m in (joined, mask)))
            joined = np.where(ignored & (classes == 0), IGNORED, classes).astype(np.uint8)
        return joined

    def _read_one(self, path: Path) -> NDArray[np.uint8]:
        values, _ = label_values(read_file(path, self.limit_px, "mask"), path)
        return self.coding.apply(values, path)


def look_at(
    what: str,
    items: Iterable[tuple[str, Sequence[Path]]],
    options: MaskOptions = MaskOptions(),  # noqa: B008
    *,
    truth: Coding | None = None,
    limit_px: int = LIMIT_PX,
    left_out: list[str] | None = None,
    survey: Callable[[Path], FileLabels] | None = None,
) -> Masks:
    """Looks at all masks of a set and decides how they are read.

    Args:
      what: what the set is called in errors and in its line, such as `masks` or a folder.
      items: (name, mask files) of each picture.
      options: what the user has stated about them.
      truth: for predictions, the coding of their truth, which theirs must fit.
      limit_px: the largest frame read.
      left_out: a list that gets a line for each picture whose masks cannot be read; without it the
        first of them is raised.
      survey: what looks at one file, by default `survey_file`.
    Raises:
      JaxsegError: a set of no coding that can be named, with the labels found; none can be read;
        several masks of a picture where `options.several` is `refuse`.
    """
    survey = survey or (lambda path: survey_file(path, limit_px))
    options.check()
    kept: list[tuple[str, tuple[Path, ...]]] = []
    found: dict[Path, FileLabels] = {}
    for name, paths in items:
        if options.several == "refuse":
            _refuse_several(paths)
        try:
            seen = {path: survey(path) for path in paths}
        except JaxsegError as error:
            if left_out is None:
                raise
            left_out.append(str(error))
            continue
        kept.append((name, tuple(paths)))
        found |= seen
    if not found:
        first = f"; {left_out[0]}" if left_out else ""
        raise JaxsegError(f"{what}: none of its files can be read as a mask{first}")
    coding = decide(what, found, options, truth)
    shares = [
        sum(one.counts.get(v, 0) for labels in _by_class(one, coding) for v in labels)
        / (one.shape[0] * one.shape[1])
        for one in found.values()
    ]
    share = float(np.mean(shares))
    percent = f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else f"{100 * share:.2g} %"
    files = f"{len(found)} file{'s' if len(found) != 1 else ''}"
    held = sorted({f" (in the {one.held_by})" for one in found.values() if one.held_by})
    line = f"{what}: {files}{''.join(held)}, {coding.said}, {percent} of the frame"
    cautions = _cautions(found, coding, predicted=truth is not None)
    several = [name for name, paths in kept if len(paths) > 1]
    if several:
        count = f"{len(several)} of {len(kept)} pictures have several masks"
        how = "the first of each is read"
        more = ""
        if options.several == "join":
            how, more = "they are joined", ": a pixel of any of them is foreground"
        line += f"; {count} ({how})"
        cautions.append(f"{count}, such as {several[0]}; {how}{more}.")
    thin = thin_labels(found, coding.labels) if coding.cut is None and coding.n_classes > 1 else []
    if thin:
        cautions.append(
            f"Label {thin[0]} of the masks lies only along edges of other labels: were they "
            "resized with interpolation? Labels must be resized by nearest neighbour."
        )
    return Masks(kept, coding, line, cautions, options, limit_px, share)


def _refuse_several(paths: Sequence[Path]) -> None:
    """Raises JaxsegError where a picture has several masks."""
    if len(paths) > 1:
        raise JaxsegError(
            f"{paths[1]}: a second mask of the picture that {paths[0].name} belongs to; set how "
            "several masks are read (audits: --several_masks, grids: data.several_masks): join or "
            "first"
        )


def not_judged_as_background(
    truth: NDArray[np.uint8], *masks: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], ...]:
    """Truth and predictions with 0 wherever the truth is IGNORED: they then count nowhere."""
    ignored = truth == IGNORED
    if not ignored.any():
        return (truth, *masks)
    return tuple(np.where(ignored, np.uint8(0), mask) for mask in (truth, *masks))


def foreground(masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where class indices [...] are those of an object: neither background nor IGNORED."""
    return (masks > 0) & (masks != IGNORED)


def _by_class(one: FileLabels, coding: Coding) -> list[list[int]]:
    """The labels that a file holds of each foreground class."""
    if coding.cut is None:
        return [[label] for label in coding.labels[1:] if label in one.counts]
    on = coding.cut if one.whole else coding.cut * 255
    return [[v for v in one.counts if v >= on and v != coding.ignore]]


def _cautions(found: Mapping[Path, FileLabels], coding: Coding, *, predicted: bool) -> list[str]:
    """What limits the use of masks, by their labels alone."""
    cautions: list[str] = []
    filled: dict[Path, list[int]] = {}  # labels that fill most of the frame, as a background does
    unreached: list[Path] = []
    for path, one in found.items():
        classes, size = _by_class(one, coding), one.shape[0] * one.shape[1]
        for labels in classes:
            area, rim = (sum(c.get(v, 0) for v in labels) for c in (one.counts, one.rim))
            if area > _INVERTED_AREA * size and rim > _INVERTED_RIM * sum(one.rim.values()):
                filled.setdefault(path, labels)
        # Values above 0 of which the cut makes none foreground. Of predicted probabilities only
        # files count that hold 0 and 1 where others reach 255: a model may find nothing.
        top = max(one.counts.keys() - {coding.ignore}, default=0)
        if (
            coding.cut is not None
            and not any(classes)
            and (one.whole and top == 1 if predicted else top > (LOSSY_REACH if one.lossy else 0))
        ):
            unreached.append(path)
    if len(filled) >= max(1, _INVERTED_FILES * len(found)):
        path, labels = next(iter(filled.items()))
        which = "what is not 0" if coding.n_classes == 1 else f"label {labels[0]}"
        cautions.append(
            f"{len(filled)} of {len(found)} masks look inverted, such as {path.name}: {which} "
            "fills most of the frame and its rim. 0 must be the background."
        )
    if unreached:
        cautions.append(
            f"{len(unreached)} of {len(found)} masks hold values above 0, but none reaches "
            f"the threshold, such as {unreached[0].name}: they count as empty."
        )
    if coding.ignore is not None and not any(coding.ignore in one.counts for one in found.values()):
        cautions.append(f"No mask holds the ignore label {coding.ignore}.")
    return cautions
