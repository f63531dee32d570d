"""What a mask is: one decision over all files of a set, used by every command.

Each file is looked at once (`survey_file`): which labels it holds, in how many pixels, and whether
they look like labels. `decide` then names the coding of the whole set: two values, class indices,
scaled indices, or probabilities; or it refuses, with the labels found. `Coding.apply` turns values
into class indices by that decision alone. Predictions are read by a coding that they share with
their truth, or refused.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.images import LIMIT_PX, Picture, check_same_size, read_file
from jaxseg.errors import JaxsegError, UsageError

IGNORED = 255  # the class index of pixels that are not judged
MOST_CLASSES = 254
SEVERAL = ("join", "first", "refuse")  # what is done with several masks of one picture

_WHOLE = 1e-3  # a value this near to a whole number is that number
_MANY_LEVELS = 16  # of one file: more than labels have, unless they lie in flat regions
_FLAT = 0.6  # of neighbours inside the foreground are equal in label maps, fewer in photographs
_MOST_LABELS = 16  # of a set whose labels are no class indices
_CANONICAL = 32  # a label from here on is no class index that somebody counted up to
_ON = (1, 127, 128, 254, 255, 65535)  # labels that mean "foreground" where there is one class
_SMALL = 10  # a label below it was counted up to
_THIN = 0.05  # of a label's pixels lie in flat squares, at least, or they are edges of others
_NEAR = 16  # grey levels that JPEG moves a value of a flat region by, at most
_SOFT = 0.1  # of the pixels of a map of two values lie between them, at most
_KEPT_LABELS = 1024  # of one file: whatever has more is no mask
_INVERTED_AREA, _INVERTED_RIM, _INVERTED_FILES = 0.5, 0.9, 0.1


class MaskOptions(NamedTuple):
    """What a user may say of masks, where the files alone do not tell.

    `threshold` in (0, 1]: masks are probabilities, foreground from this share of their full scale
    on. `ignore` is the label of pixels that are not judged. `several` says what is done with
    several masks of one picture (SEVERAL).
    """

    threshold: float | None = None
    ignore: int | None = None
    several: str = "join"

    def check(self) -> "MaskOptions":
        """Returns itself; UsageError for a value that breaks its rule."""
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError(f"mask threshold {self.threshold:g}: must be above 0 and at most 1")
        if self.several not in SEVERAL:
            raise UsageError(f"several masks {self.several!r}: must be {', '.join(SEVERAL)}")
        return self


class FileLabels(NamedTuple):
    """What one mask file holds; plain values, so that it can be kept as JSON.

    `counts` and `solid` map labels to pixels, all of them and those in flat 2 × 2 squares; values
    in [0, 1] that are not whole stand as their share of 255. `levels` is the number of different
    values, `flat` the share of equal horizontal neighbours inside the foreground, `rim` the share
    of the frame's outermost pixels that are not 0. `held_by` is "alpha" or "palette" where not the
    grey values are the labels.
    """

    shape: tuple[int, int]
    counts: dict[int, int]
    solid: dict[int, int]
    levels: int
    flat: float
    rim: float
    whole: bool
    lossy: bool
    held_by: str = ""

    @property
    def area(self) -> float:
        """Share of the frame that is not 0."""
        return 1 - self.counts.get(0, 0) / (self.shape[0] * self.shape[1])

    @property
    def looks_inverted(self) -> bool:
        """Whether 0 looks like the object: the rest fills the frame and its rim."""
        return self.area > _INVERTED_AREA and self.rim > _INVERTED_RIM


class Coding(NamedTuple):
    """How the values of a set of masks are read.

    `labels` are the values of background, class 1, class 2, …; `cut`, where set, replaces them: a
    value from it on is foreground. `ignore` is the label of pixels that are not judged. `said`
    tells the labels found and what they are read as.
    """

    labels: tuple[int, ...]
    said: str
    cut: float | None = None
    ignore: int | None = None

    @property
    def n_classes(self) -> int:
        """Number of foreground classes."""
        return 1 if self.cut is not None else len(self.labels) - 1

    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes, by their labels where these are no class indices."""
        if self.n_classes == 1:
            return ("foreground",)
        counted = self.labels == tuple(range(len(self.labels)))
        return tuple(
            f"class {i}" if counted else f"label {label}"
            for i, label in enumerate(self.labels[1:], 1)
        )

    def apply(self, values: NDArray, path: Path) -> NDArray[np.uint8]:
        """Values [H, W] of a mask as class indices uint8 [H, W], IGNORED where not judged.

        Raises JaxsegError naming `path` for a label that the coding does not know.
        """
        if self.cut is not None:
            found = (values >= self.cut).astype(np.uint8)
            return found if self.ignore is None else np.where(values == self.ignore, IGNORED, found)
        known = dict(zip(self.labels, range(len(self.labels))))
        if self.ignore is not None:
            known[self.ignore] = IGNORED
        if values.dtype == np.uint8:
            table = np.full(256, -1, np.int16)
            for label, index in known.items():
                if 0 <= label < 256:
                    table[label] = index
            found = table[values]
        else:
            labels = np.array(sorted(known), np.int64)
            place = np.clip(np.searchsorted(labels, values), 0, len(labels) - 1)
            indices = np.array([known[int(label)] for label in labels], np.int16)
            found = np.where(labels[place] == values, indices[place], np.int16(-1))
        if (found < 0).any():
            strange = int(values[found < 0].ravel()[0])
            raise JaxsegError(
                f"{path}: label {strange}, but the masks of this set hold "
                f"{list_labels(self.labels)}; was the file changed?"
            )
        return found.astype(np.uint8)


class Masks(NamedTuple):
    """A set of masks that has been looked at: `read` by its coding, `line` and `cautions` to say.

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
        """Class indices uint8 [H, W] of one picture's masks; see `read_masks`."""
        return read_masks(paths, self.coding, self.options.several, self.limit_px)


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
      options: what the user has said of them.
      truth: for predictions, the coding of their truth, which theirs must fit.
      limit_px: the largest frame read.
      left_out: a list that gets a line for each picture whose masks cannot be read; without it the
        first of them is raised.
      survey: what looks at one file, by default `survey_file`.
    Raises:
      JaxsegError: a set of no coding that can be named, with the labels found; none can be read.
    """
    survey = survey or (lambda path: survey_file(path, limit_px))
    options.check()
    kept: list[tuple[str, tuple[Path, ...]]] = []
    found: dict[Path, FileLabels] = {}
    for name, paths in items:
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
    line, cautions = _told(what, kept, found, coding, options)
    share = _share(found.values(), coding)
    return Masks(kept, coding, line, cautions, options, limit_px, share)


def survey_file(path: Path, limit_px: int = LIMIT_PX) -> FileLabels:
    """What a mask file holds. Raises JaxsegError naming it, as `label_values` does."""
    values, lossy, held_by = label_values(read_file(path, limit_px, "mask"), path)
    whole = values.dtype.kind in "ui"
    # A share of 255 stands for each value that is not whole: enough to see what they are.
    shown = values if whole else np.round(values * 255).astype(np.uint8)
    squares = shown[1:, 1:]
    same = (squares == shown[:-1, 1:]) & (squares == shown[1:, :-1]) & (squares == shown[:-1, :-1])
    inside = (shown[:, 1:] != 0) | (shown[:, :-1] != 0)
    beside = int(((shown[:, 1:] == shown[:, :-1]) & inside).sum())
    rim = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    counts = _histogram(shown)
    return FileLabels(
        shape=(values.shape[0], values.shape[1]),
        counts=dict(list(counts.items())[:_KEPT_LABELS]),
        solid=dict(list(_histogram(squares[same]).items())[:_KEPT_LABELS]),
        levels=len(counts),
        flat=beside / max(int(inside.sum()), 1),
        rim=float((rim != 0).mean()),
        whole=whole,
        lossy=lossy,
        held_by=held_by,
    )


class LabelValues(NamedTuple):
    """Values [H, W] of a mask; `lossy` where its format may have moved them, `held_by` as above."""

    values: NDArray
    lossy: bool = False
    held_by: str = ""


def label_values(picture: Picture, path: Path) -> LabelValues:
    """The values that a mask file holds.

    Whole values are unsigned or signed integers, nearly whole ones included; others are float32 in
    [0, 1]. Of a palette that is grey its greys are taken, of a coloured one the indices, if 0 is
    black. Where one colour fills the whole frame and alpha varies, the mask is alpha. Raises
    JaxsegError naming the file for colours, for alpha that contradicts them, for values that are
    neither whole nor in [0, 1], and for NaN.
    """
    pixels, held_by = picture.pixels, ""
    if picture.palette is not None:
        pixels, held_by = _of_palette(pixels, picture.palette, path)
    if pixels.ndim == 3:
        pixels, held_by = _one_channel(pixels, picture.lossy, path)
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind == "f":
        pixels = _whole_or_share(pixels, path)
    return LabelValues(pixels, picture.lossy, held_by)


def _of_palette(indices: NDArray, palette: NDArray, path: Path) -> tuple[NDArray[np.uint8], str]:
    used = np.unique(indices)
    colours = palette[used].astype(int)
    if (colours == colours[:, :1]).all():
        return palette[indices, 0], ""
    if 0 in used and palette[0].any():
        raise JaxsegError(
            f"{path}: a palette whose colour 0, the background by its index, is not black but "
            f"{tuple(palette[0].tolist())}; save the mask as one grey channel"
        )
    return indices.astype(np.uint8), "palette"


def _one_channel(pixels: NDArray, lossy: bool, path: Path) -> tuple[NDArray, str]:
    """(the one channel [H, W] that holds the mask, "alpha" where it is that)."""
    n = pixels.shape[-1]
    colours, alpha = (pixels[..., : n - 1], pixels[..., n - 1]) if n in (2, 4) else (pixels, None)
    spread = int((colours.max(-1).astype(np.int64) - colours.min(-1)).max())
    grey = colours[..., 1 if colours.shape[-1] == 3 else 0]
    one_colour = bool((colours == colours[:1, :1]).all())
    if alpha is not None and alpha.min() != alpha.max():
        if one_colour:
            return alpha, "alpha"
        if spread or ((grey != 0) & (alpha == 0)).any():
            raise JaxsegError(
                f"{path}: colours and alpha say different things of the mask; save it as one grey "
                "channel"
            )
    elif alpha is not None and one_colour and not alpha.any() and grey.any():
        return alpha, "alpha"  # a mask in alpha that is empty
    if spread > (_NEAR if lossy else 0):
        raise JaxsegError(f"{path}: a mask in colours; save it as one grey channel of labels")
    return grey, ""


def _whole_or_share(values: NDArray, path: Path) -> NDArray:
    if not np.isfinite(values).all():
        raise JaxsegError(f"{path}: holds NaN or infinite values; a mask holds labels")
    nearest = np.rint(values)
    if (np.abs(values - nearest) <= _WHOLE).all() and np.abs(nearest).max(initial=0) < 2**31:
        return nearest.astype(np.int32)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise JaxsegError(
            f"{path}: values {low:g}..{high:g} that are not whole; a mask holds labels, or "
            "probabilities from 0 to 1"
        )
    return values.astype(np.float32)


def _histogram(values: NDArray) -> dict[int, int]:
    """{value: how often}, ascending."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist()))


def read_masks(
    paths: Sequence[Path], coding: Coding, several: str = "join", limit_px: int = LIMIT_PX
) -> NDArray[np.uint8]:
    """Class indices uint8 [H, W] of one picture's masks, joined: class 0 is where all are 0.

    Where two hold different classes in one pixel the higher stands. With `several` "first" the
    others are not read; "refuse" raises JaxsegError where there are others, and so do masks of
    different sizes and what cannot be read.
    """
    if len(paths) > 1 and several == "refuse":
        raise JaxsegError(
            f"{paths[1]}: another mask of the picture that {paths[0].name} belongs to; say how "
            "several masks are read: join, or first"
        )
    joined: NDArray[np.uint8] | None = None
    for path in paths if several == "join" else paths[:1]:
        values = label_values(read_file(path, limit_px, "mask"), path).values
        mask = coding.apply(values, path)
        if joined is None:
            joined = mask
            continue
        check_same_size(paths[0], joined, path, mask)
        joined = _joined(joined, mask)
    assert joined is not None
    return joined


def _joined(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ignored = (a == IGNORED) | (b == IGNORED)
    classes = np.maximum(np.where(a == IGNORED, 0, a), np.where(b == IGNORED, 0, b))
    return np.where(ignored & (classes == 0), IGNORED, classes).astype(np.uint8)


def not_judged_as_background(
    truth: NDArray[np.uint8], *masks: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], ...]:
    """Truth and predictions with 0 wherever the truth is IGNORED: they then count nowhere."""
    ignored = truth == IGNORED
    if not ignored.any():
        return (truth, *masks)
    return tuple(np.where(ignored, np.uint8(0), mask) for mask in (truth, *masks))


def foreground(masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where class indices [...] say that there is an object: neither background nor IGNORED."""
    return (masks > 0) & (masks != IGNORED)


def list_labels(labels: Iterable[int]) -> str:
    """`0 and 255`, `0, 1 and 2`, or the ends of a long list."""
    named = [str(label) for label in labels]
    if len(named) > 8:
        return f"{', '.join(named[:4])} … {named[-1]} ({len(named)} values)"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def decide(
    what: str,
    found: Mapping[Path, FileLabels],
    options: MaskOptions = MaskOptions(),  # noqa: B008
    truth: Coding | None = None,
) -> Coding:
    """The coding of a set of masks; of predictions, one that fits the coding `truth`.

    Raises JaxsegError with the labels found where no coding can be named.
    """
    labels = sorted({v for one in found.values() for v in one.counts} - {options.ignore})
    wholes = {one.whole for one in found.values() if one.levels > 2 or not one.whole}
    if options.threshold is not None:
        return _thresholded(what, found, labels, options.threshold, options.ignore)
    if len(wholes) > 1:
        parts = [next(str(p) for p, one in found.items() if one.whole == w) for w in (True, False)]
        raise JaxsegError(
            f"{what}: {parts[0]} holds whole labels and {parts[1]} values between 0 and 1; use one "
            "for all"
        )
    if wholes == {False} or _is_soft(found, labels):
        return _soft(what, found, labels, options.ignore, truth)
    _refuse_photographs(what, found)
    _refuse_lossy(what, found, labels)
    if truth is not None:
        return _like_truth(what, labels, truth)
    return _labels_coding(what, found, labels, options.ignore)


def _total(found: Mapping[Path, FileLabels], field: str = "counts") -> dict[int, int]:
    total: dict[int, int] = {}
    for one in found.values():
        for label, count in getattr(one, field).items():
            total[label] = total.get(label, 0) + count
    return total


def _refuse_photographs(what: str, found: Mapping[Path, FileLabels]) -> None:
    for path, one in found.items():
        if one.levels >= _MANY_LEVELS and one.flat < _FLAT:
            raise JaxsegError(
                f"{path}: holds {one.levels} grey levels and few flat regions, as a photograph "
                f"does, so it is no mask; give the folder of the masks as {what}, or a pattern "
                "that only they fit"
            )


def _is_soft(found: Mapping[Path, FileLabels], labels: Sequence[int]) -> bool:
    """Whether whole values are those of two, blurred: by JPEG, by resizing or as probabilities."""
    if len(labels) < 3 or labels[-1] < 2 * _CANONICAL or labels[0] < 0:
        return False
    total = _total(found)
    top = _upper_value(total)
    above = sum(n for v, n in total.items() if v >= top - _NEAR)
    between = sum(n for v, n in total.items() if _NEAR < v < top - _NEAR)
    pixels = sum(total.values())
    if _is_lossy(found):
        return between <= min(_SOFT * pixels, above)
    return len(labels) > _MOST_LABELS and between <= 2 * _SOFT * pixels


def _is_lossy(found: Mapping[Path, FileLabels]) -> bool:
    """Whether a format that moves values explains every file of more than two."""
    moved = [one.lossy for one in found.values() if one.levels > 2]
    return bool(moved) and all(moved)


def _upper_value(total: Mapping[int, int]) -> int:
    """The most frequent value of those in the upper half."""
    highest = max(total)
    return max((v for v in total if v > highest / 2), key=lambda v: (total[v], v))


def _soft(
    what: str,
    found: Mapping[Path, FileLabels],
    labels: Sequence[int],
    ignore: int | None,
    truth: Coding | None,
) -> Coding:
    """Values of two, blurred. Only what JPEG did, and predictions, are cut without being asked."""
    shares = not all(one.whole for one in found.values())
    name = "probabilities" if shares else f"probabilities × {255 if labels[-1] < 256 else 65535}"
    low, high = (v / 255 if shares else v for v in (labels[0], labels[-1]))
    ends = f"{low:.3g} to {high:.3g}"
    if truth is not None and truth.n_classes > 1:
        raise JaxsegError(
            f"{what}: {len(labels)} values from {ends}, as probabilities of one class, but the "
            f"truth has {truth.n_classes} classes; save class indices"
        )
    if not shares and _is_lossy(found):
        top = _upper_value(_total(found))
        said = f"JPEG, values about 0 and {top}, read as background and 1 class from {top / 2:g} on"
        return Coding((0, top), said, top / 2, ignore)
    if truth is not None:
        return _thresholded(what, found, labels, 0.5, ignore)
    most = max((one.levels, str(path)) for path, one in found.items())[1]
    raise JaxsegError(
        f"{what}: {len(labels)} values from {ends} ({name}, or edges blurred by resizing), such as "
        f"in {most}; a true mask holds labels: save it so, or say from which share on a pixel is "
        "foreground (audits: --truth_threshold 0.5, grids: --config.data.mask_threshold=0.5)"
    )


def _thresholded(
    what: str,
    found: Mapping[Path, FileLabels],
    labels: Sequence[int],
    threshold: float,
    ignore: int | None,
) -> Coding:
    shares = not all(one.whole for one in found.values())
    highest = labels[-1] if labels else 0
    scale = 1 if shares or highest <= 1 else 255 if highest <= 255 else 65535
    on = threshold * (255 if shares else scale)  # as labels are kept
    if highest < on:
        most = highest / 255 if shares else highest
        raise JaxsegError(
            f"{what}: no pixel reaches the threshold {threshold:g} (of a scale to {scale}); the "
            f"highest value is {most:g}; save labels, or give a lower threshold"
        )
    times = "" if scale == 1 else f" × {scale}"
    lowest, highest = (v / 255 if shares else v for v in (labels[0], highest))
    levels = f"{len(labels)} values from {lowest:.3g} to {highest:.3g}"
    said = f"{levels}, read as probabilities{times}: background and, from {threshold:g} on, 1 class"
    return Coding((0, 1), said, threshold * scale, ignore)


def _labels_coding(
    what: str, found: Mapping[Path, FileLabels], labels: list[int], ignore: int | None
) -> Coding:
    """Two values, class indices, or other labels of flat regions."""
    if not labels:
        raise JaxsegError(f"{what}: every pixel of all {len(found)} masks is the ignored {ignore}")
    listed = list_labels(labels)
    if labels[0] < 0:
        raise JaxsegError(f"{what}: labels {listed}; a mask holds labels from 0 on")
    if 0 not in labels:
        every = f"every pixel of all {len(found)} masks is {labels[0]}" if len(labels) == 1 else (
            f"labels {listed}, none of them 0"
        )  # fmt: skip
        raise JaxsegError(f"{what}: {every}; 0 must be the background")
    if len(labels) <= 2:
        return _coding(labels, ignore)
    counted = labels == list(range(len(labels)))
    if counted and len(labels) - 1 <= MOST_CLASSES and labels[-1] < 2 * _CANONICAL:
        return _coding(labels, ignore)
    _refuse_two_codings(what, found, labels)
    _refuse_ignore_label(what, found, labels)
    thin = _thin_labels(found, labels)
    if len(labels) - 1 > MOST_CLASSES or (len(labels) > _MOST_LABELS and not counted) or thin:
        why = (
            f"label {thin[0]} lies only along edges, as resizing leaves it, such as in "
            f"{_holder(found, thin[0])}"
        ) if thin else (
            "neither two values, nor class indices 0, 1, 2, …, nor a few flat labels"
        )  # fmt: skip
        raise JaxsegError(
            f"{what}: labels {listed}: {why}; save background 0 and classes 1, 2, …, or say from "
            "which share on a pixel is foreground (audits: --truth_threshold 0.5, grids: "
            "--config.data.mask_threshold=0.5)"
        )
    return _coding(labels, ignore)


def _coding(labels: Sequence[int], ignore: int | None) -> Coding:
    n = len(labels) - 1
    classes = f"{n} class{'es' if n > 1 else ''}" if n else "no class: all are empty"
    said = f"labels {list_labels(labels)}, read as background and {classes}"
    if n == 0:
        said = "label 0 alone: all are empty"
    if ignore is not None:
        said += f", {ignore} not judged"
    return Coding(tuple(labels), said, None, ignore)


def _refuse_lossy(what: str, found: Mapping[Path, FileLabels], labels: list[int]) -> None:
    """JPEG keeps two values that lie far apart, and no others."""
    lossy = [path for path, one in found.items() if one.lossy and max(one.counts) > 0]
    if lossy and (len(labels) > 2 or labels[-1] < _CANONICAL):
        raise JaxsegError(
            f"{lossy[0]}: JPEG spoils class indices (labels found in {what}: "
            f"{list_labels(labels)}); save masks as png"
        )


def _refuse_ignore_label(what: str, found: Mapping[Path, FileLabels], labels: list[int]) -> None:
    rest = labels[:-1]
    if labels[-1] in (255, 65535) and rest[-1] < _CANONICAL:
        raise JaxsegError(
            f"{what}: labels {list_labels(labels)}: {labels[-1]} stands beside class indices "
            f"in {_holder(found, labels[-1])}; if it marks pixels that are not judged, say so "
            f"(audits: --ignore_label {labels[-1]}, grids: "
            f"--config.data.ignore_label={labels[-1]}), otherwise use one coding"
        )


def _refuse_two_codings(what: str, found: Mapping[Path, FileLabels], labels: list[int]) -> None:
    """Refuses files that say "foreground" by different labels: {0, 1} in one, {0, 255} in another.

    They show by a label that nobody counts up to, beside others, but never in one file with them.
    """
    for on in (v for v in labels[1:] if v in _ON):
        others = [v for v in labels[1:] if v != on]
        alone = [path for path, one in found.items() if on in one.counts]
        if any(other in found[path].counts for path in alone for other in others):
            continue
        counted = others == list(range(1, len(others) + 1))
        if counted or max(others) < _SMALL or all(other in _ON for other in others):
            other = next(p for p, one in found.items() if any(v in one.counts for v in others))
            held = [v for v in others if v in found[other].counts]
            raise JaxsegError(
                f"{what}: {alone[0]} holds {on} but {other} holds {list_labels(held)}; use one for "
                "all"
            )
    small = [v for v in labels[1:] if v < _SMALL]
    steps = {b - a for a, b in itertools.pairwise(labels)}
    if small and labels[-1] >= _CANONICAL and len(steps) > 1 and labels[-1] not in (255, 65535):
        raise JaxsegError(
            f"{what}: labels {list_labels(labels)}: class indices beside {labels[-1]} in "
            f"{_holder(found, labels[-1])}; save background 0 and classes 1, 2, …"
        )


def _holder(found: Mapping[Path, FileLabels], label: int) -> Path:
    """The first file that holds a label."""
    return next(path for path, one in found.items() if label in one.counts)


def _thin_labels(found: Mapping[Path, FileLabels], labels: Sequence[int]) -> list[int]:
    """Labels between others that fill no flat square: left by resizing, not drawn."""
    total, solid = _total(found), _total(found, "solid")
    return [v for v in labels[1:-1] if v in total and solid.get(v, 0) < _THIN * total[v]]


def _like_truth(what: str, labels: list[int], truth: Coding) -> Coding:
    """The coding of predictions whose labels fit the truth's."""
    own = f"labels {list_labels(labels)}" if labels else "no labels"
    if truth.cut is not None:
        truth = truth._replace(labels=(0, 255), cut=None)
    if set(labels) <= set(truth.labels):
        return truth._replace(said=f"{own}, read as the truth's", ignore=None)
    indices = tuple(range(truth.n_classes + 1))
    # A truth of scaled or grey labels, such as 0, 127 and 255: nobody counts up to these.
    far = truth.labels[1] >= _CANONICAL if truth.n_classes else True
    counted = truth.labels == indices
    fits = ()
    if truth.n_classes <= 1 and len(labels) == 2 and labels[0] == 0:
        named = far or truth.labels[1] == 1
        if named and (labels[1] == 1 or labels[1] >= _CANONICAL):
            fits = tuple(labels)
    elif far and set(labels) <= set(indices):
        fits = indices
    elif counted and labels[0] == 0 and labels == list(range(len(labels))):
        fits = tuple(labels)  # classes that the truth happens not to hold
    elif counted and labels[0] == 0 and len(labels) == len(indices) and labels[1] >= _CANONICAL:
        fits = tuple(labels)
    if not fits:
        raise JaxsegError(
            f"{what}: {own} fit no coding that the truth's labels {list_labels(truth.labels)} "
            "share; save both with the same labels"
        )
    n = len(fits) - 1
    classes = f"{n} class{'es' if n > 1 else ''}"
    return Coding(fits, f"{own}, read as background and {classes}")


def _share(found: Iterable[FileLabels], coding: Coding) -> float:
    """Mean share of the frame that is foreground."""
    shares = []
    for one in found:
        on = coding.cut
        if on is not None and not one.whole:
            on *= 255
        inside = sum(
            n
            for v, n in one.counts.items()
            if v != coding.ignore and (v >= on if on is not None else v != 0)
        )
        shares.append(inside / (one.shape[0] * one.shape[1]))
    return float(np.mean(shares))


def _told(
    what: str,
    items: Sequence[tuple[str, Sequence[Path]]],
    found: Mapping[Path, FileLabels],
    coding: Coding,
    options: MaskOptions,
) -> tuple[str, list[str]]:
    """The line that says what was taken, and what a reader should bear in mind of it."""
    share = _share(found.values(), coding)
    percent = f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else f"{100 * share:.2g} %"
    files = f"{len(found)} file{'s' if len(found) != 1 else ''}"
    held = sorted({f" (in the {one.held_by})" for one in found.values() if one.held_by})
    line = f"{what}: {files}{''.join(held)}, {coding.said}, {percent} of the frame"
    cautions = []
    inverted = [path for path, one in found.items() if one.looks_inverted and coding.cut is None]
    if coding.n_classes == 1 and len(inverted) >= max(1, _INVERTED_FILES * len(found)):
        cautions.append(
            f"{len(inverted)} of {len(found)} {what} look inverted, such as {inverted[0].name}: "
            "what is not 0 fills most of the frame and its rim. 0 must be the background."
        )
    several = [name for name, paths in items if len(paths) > 1]
    if several:
        how = {
            "join": "they are joined: a pixel of any of them is foreground",
            "first": "the first of each is read",
        }.get(options.several, "refused")
        line += (
            f"; {len(several)} of {len(items)} pictures have several masks ({how.split(':')[0]})"
        )
        cautions.append(
            f"{len(several)} of {len(items)} pictures have several {what}, such as {several[0]}; "
            f"{how}."
        )
    thin = _thin_labels(found, coding.labels) if coding.cut is None and coding.n_classes > 1 else []
    if thin:
        cautions.append(
            f"Label {thin[0]} of the {what} lies only along edges of other labels: were they "
            "resized with interpolation? Labels must be resized by nearest neighbour."
        )
    return line, cautions


def class_names(n_classes: int) -> tuple[str, ...]:
    """Names of the foreground classes 1..n of masks that carry none."""
    return ("foreground",) if n_classes == 1 else tuple(f"class {i + 1}" for i in range(n_classes))


def labels_as_json(labels: FileLabels) -> dict[str, Any]:
    """A FileLabels as JSON keeps it."""
    return labels._asdict()


def labels_from_json(kept: Mapping[str, Any]) -> FileLabels:
    """The FileLabels that `labels_as_json` gave; KeyError or TypeError for anything else."""
    values = {name: kept[name] for name in FileLabels._fields}
    for name in ("counts", "solid"):
        values[name] = {int(label): int(count) for label, count in values[name].items()}
    height, width = values["shape"]
    return FileLabels(**values | {"shape": (int(height), int(width))})
