"""Streams: what training shows, in which order; a pure function of (stream, epoch, image index)."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.crops import epoch_generator, epoch_plan, pixel_box, store_view
from jaxseg.errors import UsageError

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
