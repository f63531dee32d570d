"""The coding of a set of masks: two values, class indices, other labels, or probabilities.

`decide` names it from what all files hold, or refuses with the labels found. `Coding.apply` turns
values into class indices by that decision alone. Predictions get a coding that they share with
their truth, or are refused.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.images import LIMIT_PX, Picture, read_file
from jaxseg.errors import JaxsegError, UsageError

LOSSY_REACH = 16  # grey levels that JPEG moves a value of a flat region by, at most
_WHOLE = 1e-3  # a value this near to a whole number is that number
_KEPT_LABELS = 1024  # of one file: whatever has more is no mask


class FileLabels(NamedTuple):
    """What one mask file holds; plain values, so that it can be kept as JSON.

    `counts`, `solid` and `rim` map labels to pixels: all of them, those in flat 2 × 2 squares and
    the outermost of the frame; values in [0, 1] that are not whole stand as their share of 255.
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
        rim=dict(list(_histogram(rim).items())[:_KEPT_LABELS]),
        levels=len(counts),
        flat=beside / max(int(inside.sum()), 1),
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
    spread = float((colours.max(-1).astype(np.float64) - colours.min(-1)).max())
    grey = colours[..., 1 if colours.shape[-1] == 3 else 0]
    one_colour = bool((colours == colours[:1, :1]).all())
    if alpha is not None and alpha.min() != alpha.max():
        if one_colour:
            return alpha, "alpha"
        if (colours.any(-1) & (alpha == 0)).any():
            raise JaxsegError(
                f"{path}: colours and alpha say different things of the mask; save it as one grey "
                "channel"
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
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist()))


def labels_as_json(labels: FileLabels) -> dict[str, Any]:
    """A FileLabels as JSON keeps it."""
    return labels._asdict()


def labels_from_json(kept: Mapping[str, Any]) -> FileLabels:
    """The FileLabels that `labels_as_json` gave; KeyError or TypeError for anything else."""
    values: dict[str, Any] = {name: kept[name] for name in FileLabels._fields}
    for name in ("counts", "solid", "rim"):
        values[name] = {int(label): int(count) for label, count in values[name].items()}
    height, width = values["shape"]
    values["shape"] = (int(height), int(width))
    return FileLabels(**values)


IGNORED = 255  # the class index of pixels that are not judged
MOST_CLASSES = 254
SEVERAL = ("join", "first", "refuse")  # what is done with several masks of one picture

_MANY_LEVELS = 16  # of one file: more than labels have, unless they lie in flat regions
_FLAT = 0.6  # of neighbours inside the foreground are equal in label maps, fewer in photographs
_MOST_LABELS = 16  # of a set whose labels are no class indices
_CANONICAL = 32  # a label from here on is no class index that somebody counted up to
_ON = (1, 127, 128, 254, 255, 65535)  # labels that mean "foreground" where there is one class
_SMALL = 10  # a label below it was counted up to
_THIN = 0.05  # of a label's pixels lie in flat squares, at least, or they are edges of others
_SOFT = 0.1  # of the pixels of a map of two values lie between them, at most
_DRAWN = 0.1  # of the pixels between two values lie in flat squares, fewer where they are blurred


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
            raise UsageError(
                f"mask threshold {self.threshold:g}: must be above 0 and at most 1 (audits: "
                "--threshold, --truth_threshold, grids: data.mask_threshold)"
            )
        if self.ignore == 0:
            raise UsageError(
                "ignore label 0: must be another one, 0 is the background (audits: --ignore_label, "
                "grids: data.ignore_label)"
            )
        if self.several not in SEVERAL:
            raise UsageError(f"several masks {self.several!r}: must be {', '.join(SEVERAL)}")
        return self


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
        return _thresholded(what, found, labels, options.threshold, options.ignore, truth)
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
    total, solid = _total(found), _total(found, "solid")
    top = _upper_value(total)
    above = sum(n for v, n in total.items() if v >= top - LOSSY_REACH)
    between = sum(n for v, n in total.items() if LOSSY_REACH < v < top - LOSSY_REACH)
    drawn = sum(n for v, n in solid.items() if LOSSY_REACH < v < top - LOSSY_REACH)
    if drawn > _DRAWN * between:
        return False  # numbers of objects, or a class between two others
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
    ends = _ends(labels, shares)
    if truth is not None and truth.n_classes > 1:
        raise JaxsegError(
            f"{what}: {len(labels)} values from {ends}, as probabilities of one class, but the "
            f"truth has {truth.n_classes} classes; save class indices"
        )
    if not shares and _is_lossy(found):
        top = _upper_value(_total(found))
        _refuse_other_scale(what, found, top / 2, ignore)
        said = f"JPEG, values about 0 and {top}, read as background and 1 class from {top / 2:g} on"
        return Coding((0, top), said, top / 2, ignore)
    if truth is not None:
        return _thresholded(what, found, labels, 0.5, ignore, truth)
    most = max((one.levels, str(path)) for path, one in found.items())[1]
    raise JaxsegError(
        f"{what}: {len(labels)} values from {ends} ({name}, or edges blurred by resizing), such as "
        f"in {most}; a true mask holds labels: save it so, or say from which share on a pixel is "
        "foreground (audits: --truth_threshold 0.5, grids: --config.data.mask_threshold=0.5)"
    )


def _ends(labels: Sequence[int], shares: bool) -> str:
    """The lowest and the highest value, as they stand in the files."""
    low, high = (f"{v / 255:.3g}" if shares else str(v) for v in (labels[0], labels[-1]))
    return f"{low} to {high}"


def _thresholded(
    what: str,
    found: Mapping[Path, FileLabels],
    labels: Sequence[int],
    threshold: float,
    ignore: int | None,
    truth: Coding | None,
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
    if truth is None and not shares:
        _refuse_other_scale(what, found, on, ignore)
    times = "" if scale == 1 else f" × {scale}"
    levels = f"{len(labels)} values from {_ends(labels, shares)}"
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
    thin = thin_labels(found, labels)
    if len(labels) - 1 > MOST_CLASSES or (len(labels) > _MOST_LABELS and not counted) or thin:
        why = (
            f"label {thin[0]} lies only along edges, as resizing leaves it; "
            f"{_odd_one(found, labels)}"
        ) if thin else (
            "neither two values, nor class indices 0, 1, 2, …, nor a few flat labels (numbers of "
            f"objects?); {_odd_one(found, labels)}"
        )  # fmt: skip
        # Among labels of classes or objects a share would tell those below it from those above.
        mend = (
            ", or say from which share on a pixel is foreground (audits: --truth_threshold 0.5, "
            "grids: --config.data.mask_threshold=0.5)"
        ) if thin == labels[1:-1] else ", each object by its class"  # fmt: skip
        raise JaxsegError(
            f"{what}: labels {listed}: {why}; save background 0 and classes 1, 2, …{mend}"
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
    if lossy and labels and (len(labels) > 2 or labels[-1] < _CANONICAL):
        raise JaxsegError(
            f"{lossy[0]}: JPEG spoils class indices (labels found in {what}: "
            f"{list_labels(labels)}); save masks as png"
        )


def _refuse_ignore_label(what: str, found: Mapping[Path, FileLabels], labels: list[int]) -> None:
    rest = labels[:-1]
    if labels[-1] in (255, 65535) and rest[-1] < _CANONICAL:
        raise JaxsegError(
            f"{what}: labels {list_labels(labels)}: {_odd_one(found, labels)}. "
            f"{labels[-1]} stands beside class indices; if it marks pixels that are not judged, "
            f"say so (audits: --ignore_label {labels[-1]}, grids: "
            f"--config.data.ignore_label={labels[-1]}), otherwise use one coding"
        )


def _refuse_other_scale(
    what: str, found: Mapping[Path, FileLabels], on: float, ignore: int | None
) -> None:
    """Refuses files whose one label lies below the cut `on` of a set of higher values."""
    for path, one in found.items():
        held = set(one.counts) - {0, ignore}
        if not one.lossy and len(held) == 1 and min(held) in _ON and min(held) < on:
            most, other = max((max(its.counts), str(place)) for place, its in found.items())
            raise JaxsegError(
                f"{what}: {path} holds {min(held)} but {other} holds values up to {most}; use one "
                "scale for all"
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
    few = len(labels) <= _MOST_LABELS and labels[-1] not in (255, 65535)
    if small and few and labels[-1] >= _CANONICAL and len(steps) > 1:
        raise JaxsegError(
            f"{what}: labels {list_labels(labels)}: class indices beside {labels[-1]}; "
            f"{_odd_one(found, labels)}; save background 0 and classes 1, 2, …"
        )


def _odd_one(found: Mapping[Path, FileLabels], labels: Sequence[int]) -> str:
    """A file to look at first, with its labels: one that holds the label of the fewest files."""
    files = {v: [path for path, one in found.items() if v in one.counts] for v in labels if v}
    path = min(files.values(), key=len)[0]
    held = [v for v in labels if v in found[path].counts]
    return f"{path} holds {list_labels(held)}"


def thin_labels(found: Mapping[Path, FileLabels], labels: Sequence[int]) -> list[int]:
    """Labels between others that fill no flat square: left by resizing, not drawn."""
    total, solid = _total(found), _total(found, "solid")
    return [v for v in labels[1:-1] if v in total and solid.get(v, 0) < _THIN * total[v]]


def _like_truth(what: str, labels: list[int], truth: Coding) -> Coding:
    """The coding of predictions whose labels fit the truth's."""
    own = f"label{'s' if len(labels) > 1 else ''} {list_labels(labels)}" if labels else "no labels"
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
        many = len(labels) > _MOST_LABELS and truth.n_classes <= 1
        hint = ", or give --threshold 0.5 where they are probabilities" if many else ""
        raise JaxsegError(
            f"{what}: {own} fit no coding that the truth's labels {list_labels(truth.labels)} "
            f"share; save both with the same labels{hint}"
        )
    n = len(fits) - 1
    classes = f"{n} class{'es' if n > 1 else ''}"
    return Coding(fits, f"{own}, read as background and {classes}")


def class_names(n_classes: int) -> tuple[str, ...]:
    """Names of the foreground classes 1..n of masks that carry none."""
    return ("foreground",) if n_classes == 1 else tuple(f"class {i + 1}" for i in range(n_classes))
