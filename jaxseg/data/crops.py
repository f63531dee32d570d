"""Crop policies: one table, boxes as fractions of the frame, no images and no TensorFlow.

A box is (y0, x0, y1, x1), float64 fractions of the frame in [0, 1]. Policies differ in where the
box lies and in how much of the frame it holds; a half-size box also zooms 2×. The
`…_same_scale` controls hold the zoom at the quarter crop's 2×, so that position and zoom can be
separated. Each row names the policy to compare with and what the comparison then shows:

| policy                  | box side  | position          | against             | shows           |
|-------------------------|-----------|-------------------|---------------------|-----------------|
| `center`                | 1         | whole frame       |                     | the baseline    |
| `center_same_scale`     | 1/2       | central           | `center`            | zoom            |
| `quarter`               | 1/2       | one of 4 quarters | `center`            | zoom + position |
| `quarter`               |           |                   | `center_same_scale` | position        |
| `random`                | 1/2 … 1   | anywhere inside   | `center`            | zoom + position |
| `random_same_scale`     | 1/2       | anywhere inside   | `center_same_scale` | position        |
| `off_center`            | 1/2 … 3/4 | outer places only | `center`            | zoom + position |
| `off_center_same_scale` | 1/2       | outer places only | `center_same_scale` | position        |

`center` and `quarter` are the paper's (Lin, Weng et al., arXiv 2403.06748).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxseg.errors import UsageError, check_choice

WHOLE = np.array([0.0, 0.0, 1.0, 1.0])
CENTRAL = np.array([0.25, 0.25, 0.75, 0.75])
QUARTERS = np.array(
    [[0.0, 0.0, 0.5, 0.5], [0.0, 0.5, 0.5, 1.0], [0.5, 0.0, 1.0, 0.5], [0.5, 0.5, 1.0, 1.0]]
)
FIXED_VIEWS = {"full": 1, "quarter": 4, "random": 4}
_ORDER, _DRAWS = 1, 2  # spawn keys: the order and the boxes of an epoch come from separate streams
_FIXED_SEED = 20240306


class Policy(NamedTuple):
    """`boxes` maps draws [..., 4] to boxes [..., 4]; `view` is the store they are cut from."""

    boxes: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    view: str


def _boxes(center: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    half = side[..., None] / 2
    # Rounding may leave the frame by one unit in the last place.
    return np.clip(np.concatenate([center - half, center + half], axis=-1), 0.0, 1.0)


def _anywhere(draws: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    side = low + (high - low) * draws[..., 0]
    room = (1 - side)[..., None]
    return _boxes(side[..., None] / 2 + room * draws[..., 1:3], side)


def _outer_ring(draws: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Box centres uniform over the square ring m/2 <= max(|dy|, |dx|) <= m, m = (1 - side) / 2."""
    side = low + (high - low) * draws[..., 0]
    distance = (1 - side) / 2 * np.sqrt(0.25 + 0.75 * draws[..., 1])
    along = distance * (2 * draws[..., 2] - 1)
    edge = _quarter_index(draws)
    away = np.where(edge % 2 == 0, distance, -distance)
    down_up = edge < 2
    shift = np.stack([np.where(down_up, away, along), np.where(down_up, along, away)], axis=-1)
    return _boxes(0.5 + shift, side)


def _quarter_index(draws: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(4 * draws[..., 3]).astype(np.int64)


def _constant(draws: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.broadcast_to(box, draws.shape).copy()


POLICIES: dict[str, Policy] = {
    "center": Policy(lambda draws: _constant(draws, WHOLE), "full"),
    "quarter": Policy(lambda draws: QUARTERS[_quarter_index(draws)], "quarter"),
    "random": Policy(lambda draws: _anywhere(draws, 0.5, 1.0), "frame2x"),
    "off_center": Policy(lambda draws: _outer_ring(draws, 0.5, 0.75), "frame2x"),
    "center_same_scale": Policy(lambda draws: _constant(draws, CENTRAL), "frame2x"),
    "random_same_scale": Policy(lambda draws: _anywhere(draws, 0.5, 0.5), "frame2x"),
    "off_center_same_scale": Policy(lambda draws: _outer_ring(draws, 0.5, 0.5), "frame2x"),
}


def crop_box(policy: str, draws: ArrayLike) -> NDArray[np.float64]:
    """Boxes of a crop policy, a pure function of its arguments.

    Args:
      policy: `center` (the whole frame), `quarter` (one of four; both as in Lin, Weng et al. 2024),
        `random` (side 1/2 to 1, anywhere), `off_center` (1/2 to 3/4, outer places only), or
        `center_same_scale`, `random_same_scale`, `off_center_same_scale` (side 1/2).
      draws: [..., 4] in [0, 1), uniform for the policy's distribution.
    Returns:
      float64 [..., 4], (y0, x0, y1, x1) as fractions of the frame in [0, 1], of equal height and
      width in fractions.
    Raises:
      UsageError: an unknown policy, or draws whose shape or range is wrong.
    """
    check_choice("data.crop", policy, POLICIES)
    draws = np.asarray(draws, np.float64)
    if draws.ndim == 0 or draws.shape[-1] != 4:
        raise UsageError(f"draws of shape {draws.shape}: the last axis must hold 4 draws a box")
    if not ((draws >= 0) & (draws < 1)).all():
        raise UsageError("draws: every draw must lie in [0, 1)")
    return POLICIES[policy].boxes(draws)


def store_view(policy: str) -> str:
    """The prepared view that a policy's training images come from: full, quarter or frame2x."""
    return POLICIES[check_choice("data.crop", policy, POLICIES)].view


def pixel_box(boxes: ArrayLike, height: int, width: int) -> NDArray[np.int32]:
    """Boxes [..., 4] -> int32 [..., 4] half-open pixel bounds (y0, x0, y1, x1), at least one pixel.

    Edges are rounded down, so that the four quarters of an odd frame are cut at h // 2 and w // 2
    and the later ones take the odd row and column, as in the paper's code.
    """
    # A box edge that is a whole pixel up to rounding error must not fall to the pixel before.
    scaled = np.asarray(boxes, np.float64) * np.array([height, width, height, width]) + 1e-6
    edges = np.floor(scaled).astype(np.int32)
    start = np.minimum(edges[..., :2], np.array([height, width], np.int32) - 1)
    return np.concatenate([start, np.maximum(edges[..., 2:], start + 1)], axis=-1)


def epoch_generator(data_seed: int, epoch: int, purpose: int) -> np.random.Generator:
    """Draws of an epoch for one purpose, apart from those for any other."""
    key = np.random.SeedSequence(data_seed, spawn_key=(epoch, purpose))
    return np.random.Generator(np.random.Philox(key))


def epoch_plan(
    policy: str, n_images: int, data_seed: int, epoch: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """Order, boxes and views of one epoch: a pure function of (data seed, epoch, image index).

    Returns `order` int32 [n] (a permutation of the images), `boxes` float64 [n, 4] and `views`
    int32 [n], whose row i belongs to image i; the view is the quarter's index under `quarter` and 0
    elsewhere. The draws do not depend on the policy: one seed shows every arm the same images in
    the same order. Raises UsageError for an unknown policy and for negative numbers.
    """
    check_choice("data.crop", policy, POLICIES)
    for name, value in {"n_images": n_images, "data_seed": data_seed, "epoch": epoch}.items():
        if value < 0:
            raise UsageError(f"{name}={value}: must be 0 or more")
    # Sorts draws instead of calling `permutation`, whose results NumPy is more likely to change.
    order = np.argsort(epoch_generator(data_seed, epoch, _ORDER).random(n_images), kind="stable")
    draws = epoch_generator(data_seed, epoch, _DRAWS).random((n_images, 4))
    views = _quarter_index(draws) if policy == "quarter" else np.zeros(n_images)
    return order.astype(np.int32), crop_box(policy, draws), views.astype(np.int32)


def fixed_boxes(test_set: str, n_images: int) -> NDArray[np.float64]:
    """Boxes of a test set, the same in every run: float64 [n_images, views, 4].

    `full`: the whole frame; `quarter`: its four quarters; `random`: four boxes of policy `random`
    for each image, keyed on the image's index. Raises UsageError for an unknown test set.
    """
    check_choice("eval.test_sets", test_set, FIXED_VIEWS)
    if test_set == "random":
        return crop_box("random", epoch_generator(_FIXED_SEED, 0, _DRAWS).random((n_images, 4, 4)))
    boxes = WHOLE[None] if test_set == "full" else QUARTERS
    return np.broadcast_to(boxes, (n_images, *boxes.shape)).copy()


_MARKS = 3  # spawn key: which images are annotated comes from a separate stream
CLEAN, ANNOTATED = 0, 1  # versions of a frame in the views of annotation studies


class Stream(NamedTuple):
    """One sequence of batches; cells that have the same one see the same.

    `crop` is a crop policy, `seed` the data seed and `view` the prepared view that frames are taken
    from, by default the policy's. With a `contamination`, the share in [0, 1] of images that are
    annotated, `view` is one of `views.training_view`.
    """

    crop: str
    seed: int
    view: str = ""
    contamination: float | None = None

    @property
    def store(self) -> str:
        """The name of the prepared view."""
        return self.view or store_view(self.crop)


def annotated_images(n_images: int, seed: int, contamination: float) -> NDArray[np.bool_]:
    """Which of a split's images are annotated: bool [n], round(contamination · n) of them True.

    A pure function of its arguments. Sets of one seed are nested: a higher contamination annotates
    more images and keeps the others. Raises UsageError for a share outside [0, 1].
    """
    if not 0 <= contamination <= 1:
        raise UsageError(f"annotate.contamination={contamination}: must be from 0 to 1")
    rank = np.argsort(np.argsort(epoch_generator(seed, 0, _MARKS).random(n_images)))
    return rank < round(contamination * n_images)


def stream_plan(
    stream: Stream, n_images: int, epoch: int
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """Order, boxes and views of one epoch, as `crops.epoch_plan` gives them.

    With a contamination, the views are versions: 1 for annotated images and 0 for the others, the
    same in every epoch.
    """
    order, boxes, views = epoch_plan(stream.crop, n_images, stream.seed, epoch)
    if stream.contamination is not None:
        views = annotated_images(n_images, stream.seed, stream.contamination).astype(np.int32)
    return order, boxes, views


def stream_rows(stream: Stream, n_images: int, size: int, epoch: int) -> NDArray[Any]:
    """The training pieces of an epoch, in order: int32 [n, 6] of (image, view, y0, x0, y1, x1).

    The last four are pixel bounds in the stream's prepared view, whose side is `size`, and 2 · size
    for `frame2x`; the other views are used whole.
    """
    order, boxes, views = stream_plan(stream, n_images, epoch)
    side = 2 * size if stream.store == "frame2x" else size
    rows = np.column_stack([np.arange(n_images), views, pixel_box(boxes, side, side)])
    return rows[order].astype(np.int32)
