"""What masks hold and how a set of them is coded: two values, class indices, labels, probabilities.

`survey_file` looks at one file. `decide` names the coding from what all files hold, or raises an
error with the labels found. `Coding.apply` turns values into class indices by that decision alone.
Predictions get a coding that they share with their truth; others are refused.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.images import LIMIT_PX, Picture, read_file
from jaxseg.errors import JaxsegError, UsageError

LOSSY_REACH = 16  # grey levels that JPEG moves a value of a flat region by, at most
_WHOLE = 1e-3  # a value this near to a whole number is that number
_KEPT_LABELS = 1024  # of one file: a file with more is not a mask
IGNORED = 255  # the class index of pixels that are not judged
MOST_CLASSES = 254
SEVERAL = ("join", "first", "refuse")  # how several masks of one picture are read

_MANY_LEVELS = 16  # of one file: more than labels have, unless they lie in flat regions
_FLAT = 0.6  # of neighbours inside the foreground are equal in label maps, fewer in photographs
_MOST_LABELS = 16  # of a set whose labels are not class indices
_CANONICAL = 32  # a label from here on is not a class index: nobody has so many classes
_ON = (1, 127, 128, 254, 255, 65535)  # labels that mean "foreground" where there is one class
_SMALL = 10  # a label below it is a class index
_THIN = 0.05  # of a label's pixels lie in flat squares, at least, or they are edges of others
_SOFT = 0.1  # of the pixels of a map of two values lie between them, at most
_DRAWN = 0.1  # of the pixels between two values lie in flat squares, fewer where they are blurred


class FileLabels(NamedTuple):
    """What one mask file holds; plain values, so that it can be kept as JSON.

    `counts`, `solid` and `rim` map labels to pixels: all of them, those in flat 2 × 2 squares and
    the outermost of the frame; values in [0, 1] that are not whole are given as shares of 255.
    `levels` is the number of different values, `flat` the share of equal horizontal neighbours
    inside the foreground. `held_by` is "alpha" or "palette" where not the grey values are the
    labels.
    """

    shape: tuple[int, int]
    counts: dict[int, int]
    solid: dict[int, int]
    rim: dict[int, int]
    levels: int
    flat: float
    whole: bool
    lossy: bool
    held_by: str = ""


def survey_file(path: Path, limit_px: int = LIMIT_PX) -> FileLabels:
    """What a mask file holds. Raises JaxsegError naming it, as `label_values` does."""
    picture = read_file(path, limit_px, "mask")
    values, held_by = label_values(picture, path)
    whole = values.dtype.kind in "ui"
    # Values that are not whole are counted as shares of 255, which is precise enough here.
    shown = values if whole else np.round(values * 255).astype(np.uint8)
    squares = shown[1:, 1:]
    same = (squares == shown[:-1, 1:]) & (squares == shown[1:, :-1]) & (squares == shown[:-1, :-1])
    inside = (shown[:, 1:] != 0) | (shown[:, :-1] != 0)
    beside = int(((shown[:, 1:] == shown[:, :-1]) & inside).sum())
    rim = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    counts = _histogram(shown)
    kept = [
        dict(list(part.items())[:_KEPT_LABELS])
        for part in (counts, _histogram(squares[same]), _histogram(rim))
    ]
    return FileLabels(
        shape=(values.shape[0], values.shape[1]),
        counts=kept[0],
        solid=kept[1],
        rim=kept[2],
        levels=len(counts),
        flat=beside / max(int(inside.sum()), 1),
        whole=whole,
        lossy=picture.lossy,
        held_by=held_by,
    )


def label_values(picture: Picture, path: Path) -> tuple[NDArray, str]:
    """(values [H, W] that a mask file holds, "alpha" or "palette" where these hold them).

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
    return pixels, held_by


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
    """(the one channel [H, W] that holds the mask, "alpha" if it is the alpha channel)."""
    n = pixels.shape[-1]
    colours, alpha = (pixels[..., : n - 1], pixels[..., n - 1]) if n in (2, 4) else (pixels, None)
    spread = float((colours.max(-1).astype(np.float64) - colours.min(-1)).max())
    grey = colours[..., 1 if colours.shape[-1] == 3 else 0]
    one_colour = bool((colours == colours[:1, :1]).all())
    if alpha is not None and alpha.min() != alpha.max():
        if one_colour:
            return alpha, "alpha"
        if (colours.any(-1) & (alpha == 0)).any():
            raise JaxsegError(
                f"{path}: colours and alpha hold different masks; save the mask as one grey channel"
            )
    elif alpha is not None and one_colour and not alpha.any() and grey.any():
        return alpha, "alpha"  # a mask in alpha that is empty
    if spread > (LOSSY_REACH if lossy else 0):
        raise JaxsegError(
            f"{path}: a mask in colours, or with one channel a class; save it as one grey channel "
            "of labels"
        )
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
            "probabilities from 0 to 1 (apply the sigmoid to logits)"
        )
    return values.astype(np.float32)


def _histogram(values: NDArray) -> dict[int, int]:
    """{value: how often}, ascending."""
    if values.dtype == np.uint8:  # much faster than np.unique
        counts = np.bincount(values.ravel(), minlength=256)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist()))


def labels_from_json(kept: Mapping[str, Any]) -> FileLabels:
    """The FileLabels whose `_asdict()` was kept; KeyError or TypeError for anything else."""
    values: dict[str, Any] = {name: kept[name] for name in FileLabels._fields}
    for name in ("counts", "solid", "rim"):
        values[name] = {int(label): int(count) for label, count in values[name].items()}
    height, width = values["shape"]
    values["shape"] = (int(height), int(width))
    return FileLabels(**values)


class MaskOptions(NamedTuple):
    """What a user may state about masks, where the files alone leave it open.

    `threshold` in (0, 1]: masks are probabilities, foreground from this share of their full scale
    on. `ignore` is the label of pixels that are not judged. `several` sets how several
    masks of one picture are read (SEVERAL).
    """

    threshold: float | None = None
    ignore: int | None = None
    several: str = "join"

    def check(self) -> "MaskOptions":
        """Returns itself; UsageError for a value that breaks its rule."""
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError(
                f"mask threshold {self.threshold:g}: must be above 0 and at most 1 (audits: "
                "--threshold, --truth_threshold, grids: data.mask_threshold)"
            )
        if self.ignore == 0:
            raise UsageError(
                "ignore label 0: must not be 0, the background (audits: --ignore_label, "
                "grids: data.ignore_label)"
            )
        if self.several not in SEVERAL:
            raise UsageError(f"several masks {self.several!r}: must be one of {', '.join(SEVERAL)}")
        return self


class Coding(NamedTuple):
    """How the values of a set of masks are read.

    `labels` are the values of background, class 1, class 2, …; `cut`, where set, replaces them: a
    value from it on is foreground. `ignore` is the label of pixels that are not judged. `said`
    names the labels found and what they are read as.
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
        """Names of the foreground classes, by their labels where these are not class indices."""
        if self.n_classes == 1 or self.labels == tuple(range(len(self.labels))):
            return class_names(self.n_classes)
        return tuple(f"label {label}" for label in self.labels[1:])

    def apply(self, values: NDArray, path: Path) -> NDArray[np.uint8]:
        """Values [H, W] of a mask as class indices uint8 [H, W], IGNORED where not judged.

        Raises JaxsegError naming `path` for a label that the coding does not have.
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


def list_labels(labels: Iterable[int]) -> str:
    """`0 and 255`, `0, 1 and 2`, or the ends of a long list."""
    named = [str(label) for label in labels]
    if len(named) > 8:
        return f"{', '.join(named[:4])} … {named[-1]} ({len(named)} values)"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


class _Set(NamedTuple):
    """A set of masks: what errors call it, what its files hold, all labels but the ignored one."""

    what: str
    files: Mapping[Path, FileLabels]
    labels: list[int]
    ignore: int | None

    def total(self, field: str = "counts") -> dict[int, int]:
        """Pixels of each label in all files."""
        total: Counter[int] = Counter()
        for one in self.files.values():
            total.update(getattr(one, field))
        return dict(total)

    @property
    def holds_shares(self) -> bool:
        """Whether a file holds values in [0, 1] that are not whole."""
        return not all(one.whole for one in self.files.values())

    @property
    def is_lossy(self) -> bool:
        """Whether a format that moves values explains every file of more than two."""
        moved = [one.lossy for one in self.files.values() if one.levels > 2]
        return bool(moved) and all(moved)

    @property
    def range(self) -> str:
        """The lowest and the highest value, as the files hold them."""
        ends = (self.labels[0], self.labels[-1])
        return " to ".join(f"{v / 255:.3g}" if self.holds_shares else str(v) for v in ends)

    def upper_value(self) -> int:
        """The most frequent value of those in the upper half."""
        total = self.total()
        half = max(total) / 2
        return max((v for v in total if v > half), key=lambda v: (total[v], v))

    def odd_one(self) -> str:
        """A file to look at first, with its labels: one that holds the label of the fewest."""
        holders = [
            [p for p, one in self.files.items() if v in one.counts] for v in self.labels if v
        ]
        path = min(holders, key=len)[0]
        return f"{path} holds {list_labels(v for v in self.labels if v in self.files[path].counts)}"

    def error(self, text: str) -> JaxsegError:
        """The error that begins with the name of the set."""
        return JaxsegError(f"{self.what}: {text}")


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
    masks = _Set(what, found, labels, options.ignore)
    if options.threshold is not None:
        return _thresholded(masks, options.threshold, truth)
    wholes = {one.whole for one in found.values() if one.levels > 2 or not one.whole}
    if len(wholes) > 1:
        parts = [next(str(p) for p, one in found.items() if one.whole == w) for w in (True, False)]
        raise masks.error(
            f"{parts[0]} holds whole labels and {parts[1]} values between 0 and 1; use one for all"
        )
    if wholes == {False} or _is_soft(masks):
        return _soft(masks, truth)
    for path, one in found.items():
        if one.levels >= _MANY_LEVELS and one.flat < _FLAT:
            raise JaxsegError(
                f"{path}: holds {one.levels} grey levels and few flat regions, as a photograph "
                f"does, so it is not a mask; give the folder of the masks as {what}, or a pattern "
                "that only they fit"
            )
    # JPEG keeps two values that lie far apart, and no others.
    lossy = [path for path, one in found.items() if one.lossy and max(one.counts) > 0]
    if lossy and labels and (len(labels) > 2 or labels[-1] < _CANONICAL):
        raise JaxsegError(
            f"{lossy[0]}: JPEG spoils class indices (labels found in {what}: "
            f"{list_labels(labels)}); save masks as png"
        )
    return _labels_coding(masks) if truth is None else _like_truth(masks, truth)


def _is_soft(masks: _Set) -> bool:
    """Whether whole values are two blurred ones: by JPEG, by resizing or as probabilities."""
    labels = masks.labels
    if len(labels) < 3 or labels[-1] < 2 * _CANONICAL or labels[0] < 0:
        return False
    total, top = masks.total(), masks.upper_value()
    above = sum(n for v, n in total.items() if v >= top - LOSSY_REACH)
    between, drawn = (
        sum(n for v, n in counts.items() if LOSSY_REACH < v < top - LOSSY_REACH)
        for counts in (total, masks.total("solid"))
    )
    if drawn > _DRAWN * between:
        return False  # numbers of objects, or a class between two others
    pixels = sum(total.values())
    if masks.is_lossy:
        return between <= min(_SOFT * pixels, above)
    return len(labels) > _MOST_LABELS and between <= 2 * _SOFT * pixels


def _soft(masks: _Set, truth: Coding | None) -> Coding:
    """Two blurred values. Without a threshold only JPEG files and predictions are cut."""
    count = f"{len(masks.labels)} values from {masks.range}"
    if truth is not None and truth.n_classes > 1:
        raise masks.error(
            f"{count}, as probabilities of one class, but the truth has {truth.n_classes} classes; "
            "save class indices"
        )
    if not masks.holds_shares and masks.is_lossy:
        top = masks.upper_value()
        _refuse_other_scale(masks, top / 2)
        said = f"JPEG, values about 0 and {top}, read as background and 1 class from {top / 2:g} on"
        return Coding((0, top), said, top / 2, masks.ignore)
    if truth is not None:
        return _thresholded(masks, 0.5, truth)
    scale = 255 if masks.labels[-1] < 256 else 65535
    name = "probabilities" if masks.holds_shares else f"probabilities × {scale}"
    most = max((one.levels, str(path)) for path, one in masks.files.items())[1]
    raise masks.error(
        f"{count} ({name}, or edges blurred by resizing), such as in {most}; a true mask holds "
        "labels: save them, or give the share from which on a pixel is foreground (audits: "
        "--truth_threshold 0.5, grids: --config.data.mask_threshold=0.5)"
    )


def _thresholded(masks: _Set, threshold: float, truth: Coding | None) -> Coding:
    shares = masks.holds_shares
    highest = masks.labels[-1] if masks.labels else 0
    scale = 1 if shares or highest <= 1 else 255 if highest <= 255 else 65535
    on = threshold * (255 if shares else scale)  # as labels are kept
    if highest < on:
        most = highest / 255 if shares else highest
        raise masks.error(
            f"no pixel reaches the threshold {threshold:g} (of a scale to {scale}); the highest "
            f"value is {most:g}; save labels, or give a lower threshold"
        )
    if truth is None and not shares:
        _refuse_other_scale(masks, on)
    times = "" if scale == 1 else f" × {scale}"
    said = (
        f"{len(masks.labels)} values from {masks.range}, read as probabilities{times}: background "
        f"and, from {threshold:g} on, 1 class"
    )
    return Coding((0, 1), said, threshold * scale, masks.ignore)


def _refuse_other_scale(masks: _Set, on: float) -> None:
    """Raises JaxsegError for files whose only label lies below the cut `on` of higher values."""
    for path, one in masks.files.items():
        held = set(one.counts) - {0, masks.ignore}
        if not one.lossy and len(held) == 1 and min(held) in _ON and min(held) < on:
            most, other = max((max(its.counts), str(place)) for place, its in masks.files.items())
            raise masks.error(
                f"{path} holds {min(held)} but {other} holds values up to {most}; use one scale "
                "for all"
            )


def _labels_coding(masks: _Set) -> Coding:
    """Two values, class indices, or other labels of flat regions."""
    labels, listed = masks.labels, list_labels(masks.labels)
    if not labels:
        raise masks.error(
            f"every pixel of all {len(masks.files)} masks is the ignored {masks.ignore}"
        )
    if labels[0] < 0:
        raise masks.error(f"labels {listed}; a mask holds labels from 0 on")
    if 0 not in labels:
        every = f"labels {listed} without 0"
        if len(labels) == 1:
            every = f"every pixel of all {len(masks.files)} masks is {labels[0]}"
        raise masks.error(f"{every}; 0 must be the background")
    counted = labels == list(range(len(labels)))
    few = len(labels) - 1 <= MOST_CLASSES
    if len(labels) > 2 and not (counted and few and labels[-1] < 2 * _CANONICAL):
        _refuse_two_codings(masks)
        if labels[-1] in (255, 65535) and labels[-2] < _CANONICAL:
            raise masks.error(
                f"labels {listed}: {masks.odd_one()}. {labels[-1]} occurs beside class indices; if "
                "it marks pixels that are not judged, name it (audits: --ignore_label "
                f"{labels[-1]}, grids: --config.data.ignore_label={labels[-1]}), otherwise use one "
                "coding"
            )
        thin = thin_labels(masks.files, labels)
        if not few or (len(labels) > _MOST_LABELS and not counted) or thin:
            why = (
                "neither two values, nor class indices 0, 1, 2, …, nor a few flat labels (numbers "
                "of objects?)"
            )
            if thin:
                why = f"label {thin[0]} lies only along edges, as resizing leaves it"
            # Among labels of classes or objects a threshold would only split low ones from high.
            mend = ", with the class of each object"
            if thin == labels[1:-1]:
                mend = (
                    ", or give the share from which on a pixel is foreground (audits: "
                    "--truth_threshold 0.5, grids: --config.data.mask_threshold=0.5)"
                )
            raise masks.error(
                f"labels {listed}: {why}; {masks.odd_one()}; save background 0 and classes 1, 2, …"
                f"{mend}"
            )
    n = len(labels) - 1
    said = f"labels {listed}, read as background and {_classes(n)}" if n else (
        "only label 0: all masks are empty"
    )  # fmt: skip
    if masks.ignore is not None:
        said += f", {masks.ignore} not judged"
    return Coding(tuple(labels), said, None, masks.ignore)


def _classes(n: int) -> str:
    return f"{n} class" if n == 1 else f"{n} classes"


def _refuse_two_codings(masks: _Set) -> None:
    """Raises JaxsegError where files mark foreground by different labels: {0, 1} and {0, 255}.

    The sign: a label too high for a class index occurs in some files, but never beside the others.
    """
    files, labels = masks.files, masks.labels
    for on in (v for v in labels[1:] if v in _ON):
        others = [v for v in labels[1:] if v != on]
        alone = [path for path, one in files.items() if on in one.counts]
        if any(other in files[path].counts for path in alone for other in others):
            continue
        counted = others == list(range(1, len(others) + 1))
        if counted or max(others) < _SMALL or all(other in _ON for other in others):
            other = next(p for p, one in files.items() if any(v in one.counts for v in others))
            held = [v for v in others if v in files[other].counts]
            raise masks.error(
                f"{alone[0]} holds {on} but {other} holds {list_labels(held)}; use one for all"
            )
    steps = {b - a for a, b in itertools.pairwise(labels)}
    few = len(labels) <= _MOST_LABELS and labels[-1] not in (255, 65535)
    if labels[1] < _SMALL and few and labels[-1] >= _CANONICAL and len(steps) > 1:
        raise masks.error(
            f"labels {list_labels(labels)}: class indices beside {labels[-1]}; {masks.odd_one()}; "
            "save background 0 and classes 1, 2, …"
        )


def thin_labels(files: Mapping[Path, FileLabels], labels: Sequence[int]) -> list[int]:
    """Labels between others that fill no flat square: left by resizing, not drawn."""
    masks = _Set("", files, list(labels), None)
    total, solid = masks.total(), masks.total("solid")
    return [v for v in labels[1:-1] if v in total and solid.get(v, 0) < _THIN * total[v]]


def _like_truth(masks: _Set, truth: Coding) -> Coding:
    """The coding of predictions whose labels fit the truth's."""
    labels = masks.labels
    own = f"labels {list_labels(labels)}" if len(labels) > 1 else f"label {list_labels(labels)}"
    own = own if labels else "no labels"
    if truth.cut is not None:
        truth = truth._replace(labels=(0, 255), cut=None)
    if set(labels) <= set(truth.labels):
        return truth._replace(said=f"{own}, read like those of the truth", ignore=None)
    indices = tuple(range(truth.n_classes + 1))
    # A truth of scaled or grey labels, such as 0, 127 and 255, which are not class indices.
    far = truth.labels[1] >= _CANONICAL if truth.n_classes else True
    counted = truth.labels == indices
    starts_at_0 = labels[0] == 0
    scaled = len(labels) > 1 and labels[1] >= _CANONICAL
    fits: tuple[int, ...] = ()
    if truth.n_classes <= 1 and len(labels) == 2 and starts_at_0:
        if (far or truth.labels[1] == 1) and (labels[1] == 1 or scaled):
            fits = tuple(labels)
    elif far and set(labels) <= set(indices):
        fits = indices
    elif (
        counted
        and starts_at_0
        and (labels == list(range(len(labels))) or (scaled and len(labels) == len(indices)))
    ):
        fits = tuple(labels)  # perhaps classes that the truth happens not to hold
    if not fits:
        hint = ""
        if len(labels) > _MOST_LABELS and truth.n_classes <= 1:
            hint = ", or give --threshold 0.5 where they are probabilities"
        raise masks.error(
            f"{own} do not fit the labels {list_labels(truth.labels)} of the truth; save "
            f"both with the same labels{hint}"
        )
    return Coding(fits, f"{own}, read as background and {_classes(len(fits) - 1)}")


def class_names(n_classes: int) -> tuple[str, ...]:
    """Names of the foreground classes 1..n of masks that carry none."""
    return ("foreground",) if n_classes == 1 else tuple(f"class {i + 1}" for i in range(n_classes))
