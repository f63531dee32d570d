"""What one mask file holds: its labels, in how many pixels, and whether they look like labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.images import LIMIT_PX, Picture, read_file
from jaxseg.errors import JaxsegError

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
