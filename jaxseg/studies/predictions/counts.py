"""One pass over truths and predictions of any origin that keeps counts per image and band."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.studies.predictions.fixed_mask import cover
from jaxseg.studies.predictions.frame_bands import N_RINGS, places

BORDER_PX = 8
N_BORDER = 16  # Rings by distance to the border: 8 px each reach the centre of a 256 frame.


class PairCounts(NamedTuple):
    """What `count_predictions` keeps; counts end in (tp, fp, fn), classes are foreground 1..C.

    ids: [images], in the order they came.
    names: [models].
    centre: int32 [images, models, 13, C, 3], by `centre_rings`, innermost first.
    border: int32 [images, models, 16, C, 3], rings of `border_px` of depth, outermost first; the
      last holds all that lies deeper.
    depth: int64 [models, depths, C, 3], summed over images, by single px of depth.
    nearest: int64 [images], depth of the outermost true pixel; -1 where the truth is empty.
    disagreement: float64 [images], share of the px within `border_px` of the border on which the
      predictions differ among each other, or from the truth where there is one model.
    covers: for each class, each image's truth as `packed` (None: not there).
    shapes: (height, width) of each image.
    border_px, scale_to: as given.
    left_out: one line for each item that could not be used.
    """

    ids: list[str]
    names: list[str]
    centre: np.ndarray
    border: np.ndarray
    depth: np.ndarray
    nearest: np.ndarray
    disagreement: np.ndarray
    covers: list[list[bytes | None]]
    shapes: list[tuple[int, int]]
    border_px: int
    scale_to: int | None
    left_out: list[str]


class _Image(NamedTuple):
    id: str
    centre: np.ndarray
    border: np.ndarray
    nearest: int
    disagreement: float
    covers: list[bytes | None]
    shape: tuple[int, int]


def count_predictions(
    items: Iterable[tuple[Any, ...]],
    names: Sequence[str],
    *,
    border_px: int = BORDER_PX,
    scale_to: int | None = None,
    left_out: list[str] | None = None,
) -> PairCounts:
    """Counts of every model on every image, by distance from the centre and from the border.

    Memory: about 2 kB an image with one model and one class, of which some 300 bytes are the truth
    on a 64 x 64 grid, compressed, for the position-only baseline. The masks themselves are dropped.

    Args:
      items: (id, truth, prediction of model 1, of model 2, …): masks uint8 or bool [H, W] of class
        indices, 0 the background. H and W may differ between images, not within one.
      names: one a model, all different.
      border_px: width of the border zone and of the rings by distance to the border.
      scale_to: None measures distances to the border in px of each frame, as a network's padding
        reaches them when it saw the frames as they are. A number measures in px of a frame of that
        side to which each frame is stretched, as when a network saw all frames resized to it.
      left_out: a list that `items` adds a line to for each file it cannot read; those of items
        that do not fit are added to it, and the result holds it.
    Raises:
      UsageError: an item without one mask a model, masks that are not integers [H, W], names that
        are equal, border_px below 1 or scale_to below 2.
      JaxsegError: no item can be used, or every truth is empty.
    """
    _check(names, border_px)
    images, left_out = [], [] if left_out is None else left_out
    depth = np.zeros((len(names), 0, 0, 3), np.int64)
    for name, truth, *predictions in items:
        _check_masks(name, [truth, *predictions], names)
        if problem := _misfit(name, truth, predictions, names):
            left_out.append(problem)
            continue
        counts = _by_place(truth, predictions, scale_to)
        depth = _add(depth, counts.sum(axis=2))
        images.append(_image(name, truth, predictions, counts, border_px, scale_to))
    _check_found(images, left_out)
    every = _columns(images, depth.shape[2])
    return PairCounts(
        names=list(names),
        depth=depth,
        border_px=border_px,
        scale_to=scale_to,
        left_out=left_out,
        **every,
    )


def packed(mask: np.ndarray) -> bytes | None:
    """The cover of a mask bool [H, W] (`fixed_mask.cover`), compressed; None for an empty one."""
    return zlib.compress(cover(mask).tobytes(), 1) if mask.any() else None


def _image(name, truth, predictions, counts, border_px, scale_to) -> _Image:
    """Counts [models, depths, rings, classes, 3] as what is kept of one image."""
    by_depth = counts.sum(axis=2)
    ring = np.minimum(np.arange(by_depth.shape[1]) // border_px, N_BORDER - 1)
    border = np.zeros((len(counts), N_BORDER, *by_depth.shape[2:]), np.int32)
    np.add.at(border.swapaxes(0, 1), ring, by_depth.swapaxes(0, 1))
    true = by_depth[0][..., [0, 2]].any(axis=(1, 2))
    return _Image(
        id=name,
        centre=counts.sum(axis=1).astype(np.int32),
        border=border,
        nearest=int(np.argmax(true)) if true.any() else -1,
        disagreement=_disagreement(truth, predictions, border_px, scale_to),
        covers=[packed(truth == c + 1) for c in range(counts.shape[3])],
        shape=truth.shape,
    )


def _by_place(truth, predictions, scale_to) -> np.ndarray:
    """int64 [models, depths, rings, classes, 3] of one image."""
    place, n_depths = places(truth.shape, scale_to)
    kinds = 1 + max(int(mask.max()) for mask in (truth, *predictions))

    def by_class(mask: np.ndarray) -> np.ndarray:
        inside = np.flatnonzero(mask.ravel() != 0)  # of bool: four times as fast as of uint8
        code = place[inside] * kinds + mask.ravel()[inside]
        found = np.bincount(code, minlength=n_depths * N_RINGS * kinds)
        return found.reshape(n_depths, N_RINGS, kinds)[..., 1:]

    true, counts = by_class(truth), []
    for prediction in predictions:
        hit, chosen = by_class(truth * (truth == prediction)), by_class(prediction)
        counts.append(np.stack([hit, chosen - hit, true - hit], axis=-1))
    return np.stack(counts)


def _columns(images: Sequence[_Image], n_classes: int) -> dict[str, Any]:
    """The fields of PairCounts that have an entry an image, filled up to `n_classes`."""

    def widened(counts: np.ndarray) -> np.ndarray:
        return np.pad(counts, [(0, 0), (0, 0), (0, n_classes - counts.shape[2]), (0, 0)])

    return {
        "ids": [image.id for image in images],
        "centre": np.stack([widened(image.centre) for image in images]),
        "border": np.stack([widened(image.border) for image in images]),
        "nearest": np.array([image.nearest for image in images]),
        "disagreement": np.array([image.disagreement for image in images]),
        "covers": [
            [image.covers[c] if c < len(image.covers) else None for image in images]
            for c in range(n_classes)
        ],
        "shapes": [image.shape for image in images],
    }


def _disagreement(truth, predictions, border_px, scale_to) -> float:
    place, _ = places(truth.shape, scale_to)
    zone = (place < border_px * N_RINGS).reshape(truth.shape)
    first, *others = predictions if len(predictions) > 1 else [truth, *predictions]
    return float(np.any([(mask != first)[zone] for mask in others], axis=0).mean())


def _add(total: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Sum of two arrays of which either may be shorter on any axis."""
    shape = np.maximum(total.shape, more.shape)
    if tuple(shape) != total.shape:
        total = np.pad(total, [(0, n - m) for n, m in zip(shape, total.shape)])
    total[tuple(slice(n) for n in more.shape)] += more
    return total


def _misfit(name, truth, predictions, names) -> str | None:
    for model, mask in zip(names, predictions):
        if mask.shape != truth.shape:
            return (
                f"{name}: prediction of {model} has {mask.shape[0]}×{mask.shape[1]} pixels, its "
                f"truth {truth.shape[0]}×{truth.shape[1]}; the sizes must agree"
            )
    return None


def _check(names: Sequence[str], border_px: int) -> None:
    if not names or len(set(names)) < len(names):
        raise UsageError(f"names={list(names)}: must be one a model, all different")
    if border_px < 1:
        raise UsageError(f"border_px={border_px}: must be at least 1 px")


def _check_found(images: Sequence[_Image], left_out: Sequence[str]) -> None:
    if not images:
        first = f"; the first of {len(left_out)} left out: {left_out[0]}" if left_out else ""
        raise JaxsegError(f"predictions: no pair of truth and prediction can be used{first}")
    if all(image.nearest < 0 for image in images):
        raise JaxsegError(f"truth: all {len(images)} masks are empty; there is nothing to find")


def _check_masks(name: str, masks: Sequence[np.ndarray], names: Sequence[str]) -> None:
    if len(masks) != 1 + len(names):
        raise UsageError(f"{name}: {len(masks) - 1} predictions for {len(names)} models")
    for mask in masks:
        if mask.ndim != 2 or 0 in mask.shape or mask.dtype.kind not in "bu":
            raise UsageError(
                f"{name}: mask of shape {mask.shape} and dtype {mask.dtype} must be class indices "
                "[H, W], bool or unsigned"
            )
