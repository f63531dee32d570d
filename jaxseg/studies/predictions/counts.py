"""One pass over truths and predictions of any origin that keeps counts per image and band.

The position-only baseline, a fixed mask, is counted in the same bands.
"""

import functools
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics.bands import N_RINGS, border_depth, centre_rings
from jaxseg.studies.fixed_mask import FULL, GRID, cover, halves, split_half_masks

BORDER_PX = 8
N_BORDER = 16  # Rings by distance to the border: 8 px each reach the centre of a 256 frame.


class PairCounts(NamedTuple):
    """What `count_predictions` keeps; counts end in (tp, fp, fn), classes are foreground 1..C.

    ids, shapes: of the images, in the order they came; (height, width).
    centre: int32 [images, models, 13, C, 3], by `centre_rings`, innermost first.
    border: int32 [images, models, 16, C, 3], rings of `border_px` of depth, outermost first; the
      last holds all that lies deeper.
    depth: int64 [models, depths, C, 3], summed over images, by single px of depth.
    nearest: int64 [images], depth of the outermost true pixel; -1 where the truth is empty.
    disagreement: float64 [images], share of the px within `border_px` of the border on which the
      predictions differ among each other, or from the truth where there is one model.
    covers: for each class, each image's truth on the grid of `fixed_mask.cover`, compressed (None:
      not there).
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


def count_predictions(
    items: Iterable[tuple[Any, ...]],
    names: Sequence[str],
    *,
    border_px: int = BORDER_PX,
    scale_to: int | None = None,
    left_out: list[str] | None = None,
) -> PairCounts:
    """Counts of every model on every image, by distance from the centre and from the border.

    About 2 kB are kept of an image with one model and one class; the masks are dropped.

    Args:
      items: (id, truth, prediction of model 1, of model 2, …): masks uint8 or bool [H, W] of class
        indices, 0 the background. H and W may differ between images, not within one.
      names: one a model, all different.
      border_px: width of the border zone and of the rings by distance to the border.
      scale_to: distances to the border are px of each frame, or of a frame of this side to which
        each is stretched, as when a network saw all frames resized to it.
      left_out: a list that `items` adds a line to for each file it cannot read; items that do not
        fit add theirs, and the result holds it.
    Raises:
      UsageError: an item without one mask a model, masks that are not integers [H, W], names that
        are equal, border_px below 1 or scale_to below 2.
      JaxsegError: no item can be used, or every truth is empty.
    """
    if not names or len(set(names)) < len(names):
        raise UsageError(f"names={list(names)}: must be one a model, all different")
    if border_px < 1:
        raise UsageError(f"border_px={border_px}: must be at least 1 px")
    left_out = [] if left_out is None else left_out
    ids, centre, border, nearest, disagreement, covers, shapes = [], [], [], [], [], [], []
    depth = np.zeros((len(names), 0, 0, 3), np.int64)
    for name, truth, *predictions in items:
        misfits = _misfits(name, truth, predictions, names)
        if misfits:
            left_out.append(misfits[0])
            continue
        counts = _by_place(truth, predictions, scale_to)
        by_depth = counts.sum(axis=2)
        ring = np.minimum(np.arange(by_depth.shape[1]) // border_px, N_BORDER - 1)
        by_border = np.zeros((len(counts), N_BORDER, *by_depth.shape[2:]), np.int32)
        np.add.at(by_border.swapaxes(0, 1), ring, by_depth.swapaxes(0, 1))
        true = by_depth[0][..., [0, 2]].any(axis=(1, 2))
        ids.append(name)
        shapes.append(truth.shape)
        centre.append(counts.sum(axis=1).astype(np.int32))
        border.append(by_border)
        shape = np.maximum(depth.shape, by_depth.shape)
        depth = _padded(depth, shape) + _padded(by_depth, shape)
        nearest.append(int(np.argmax(true)) if true.any() else -1)
        zone = places(truth.shape, scale_to)[0].reshape(truth.shape) < border_px * N_RINGS
        compared, *others = predictions if len(predictions) > 1 else [truth, *predictions]
        differ = np.any([(mask != compared)[zone] for mask in others], axis=0)
        disagreement.append(float(differ.mean()))
        classes = [truth == c + 1 for c in range(counts.shape[3])]
        covers.append([zlib.compress(cover(m).tobytes(), 1) if m.any() else None for m in classes])
    if not ids:
        first = f"; the first of {len(left_out)} left out: {left_out[0]}" if left_out else ""
        raise JaxsegError(f"predictions: no pair of truth and prediction can be used{first}")
    if max(nearest) < 0:
        raise JaxsegError(f"truth: all {len(ids)} masks are empty; there is nothing to find")
    n_classes = depth.shape[2]
    return PairCounts(
        ids=ids,
        names=list(names),
        centre=np.stack([_padded(one, (*one.shape[:2], n_classes, 3)) for one in centre]),
        border=np.stack([_padded(one, (*one.shape[:2], n_classes, 3)) for one in border]),
        depth=depth,
        nearest=np.array(nearest),
        disagreement=np.array(disagreement),
        covers=[[one[c] if c < len(one) else None for one in covers] for c in range(n_classes)],
        shapes=shapes,
        border_px=border_px,
        scale_to=scale_to,
        left_out=left_out,
    )


# Few are kept: the map of a 12-megapixel frame takes 48 MB.
@functools.lru_cache(maxsize=4)
def places(shape: tuple[int, int], scale_to: int | None = None) -> tuple[np.ndarray, int]:
    """(depth * 13 + ring of every pixel: int32 [H * W], number of depths), remembered by shape."""
    depth = border_depth(shape, scale_to)
    return (depth * N_RINGS + centre_rings(shape)).ravel(), int(depth.max()) + 1


def baseline_counts(counts: PairCounts) -> np.ndarray | None:
    """Counts of the best fixed masks: int32 [images, 13 + 16 rings, C, 3], those by centre first.

    A mask a class, fitted on one half of the images and scored on the other (`fixed_mask`). It
    predicts only classes that an image holds, so that images without an object do not lower its
    score. Cells of the grid belong to the ring of their centre and count as H * W / GRID^2 px.
    None when no class has an object in both halves.
    """
    found = np.zeros((len(counts.ids), N_RINGS + N_BORDER, len(counts.covers), 3), np.int32)
    has_mask = False
    for c, of_class in enumerate(counts.covers):
        if {half for half, stored in zip(halves(), of_class) if stored} != {0, 1}:
            continue
        has_mask = True
        masks = [one.mask for one in split_half_masks(lambda c=c: map(_unpacked, counts.covers[c]))]
        for i, (half, stored) in enumerate(zip(halves(), of_class)):
            if stored is None:
                continue
            share, mask = _unpacked(stored) / FULL, masks[half]
            kinds = [share * mask, (1 - share) * mask, share * ~mask]
            px = np.prod(counts.shapes[i]) / GRID**2
            centre, border = _cell_rings(counts.shapes[i], counts.border_px, counts.scale_to)
            for k, kind in enumerate(kinds):
                by_centre = np.bincount(centre, kind.ravel(), minlength=N_RINGS)
                by_border = np.bincount(border, kind.ravel(), minlength=N_BORDER)
                found[i, :, c, k] = np.rint(px * np.concatenate([by_centre, by_border]))
    return found if has_mask else None


@functools.lru_cache(maxsize=256)
def _cell_rings(shape: tuple[int, int], border_px: int, scale_to: int | None):
    """Rings by centre and by border of the pixels in the middle of the cells: int [g * g] each."""
    rows, columns = (((np.arange(GRID) + 0.5) * side / GRID).astype(int) for side in shape)
    place = places(shape, scale_to)[0].reshape(shape)[np.ix_(rows, columns)].ravel()
    depth, ring = np.divmod(place, N_RINGS)
    return ring, np.minimum(depth // border_px, N_BORDER - 1)


def _unpacked(stored: bytes | None) -> np.ndarray:
    whole = zlib.decompress(stored) if stored else bytes(GRID**2)
    return np.frombuffer(whole, np.uint8).reshape(GRID, GRID)


def _by_place(truth: np.ndarray, predictions: Sequence[np.ndarray], scale_to: int | None):
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


def _padded(counts: np.ndarray, shape: tuple[int, ...] | np.ndarray) -> np.ndarray:
    """Counts filled up with zeros at the end of each axis."""
    return np.pad(counts, [(0, n - m) for n, m in zip(shape, counts.shape)])


def _misfits(
    name: str, truth: np.ndarray, predictions: Sequence[np.ndarray], names: Sequence[str]
) -> list[str]:
    """A line for each prediction of another size than its truth; UsageError for other faults."""
    if len(predictions) != len(names):
        raise UsageError(f"{name}: {len(predictions)} predictions for {len(names)} models")
    for mask in (truth, *predictions):
        if mask.ndim != 2 or 0 in mask.shape or mask.dtype.kind not in "bu":
            raise UsageError(
                f"{name}: mask of shape {mask.shape} and dtype {mask.dtype} must be class indices "
                "[H, W], bool or unsigned"
            )
    return [
        f"{name}: prediction of {model} has {mask.shape[0]}×{mask.shape[1]} pixels, its truth "
        f"{truth.shape[0]}×{truth.shape[1]}; the sizes must agree"
        for model, mask in zip(names, predictions)
        if mask.shape != truth.shape
    ]
