"""The host feed: tf.data batches of one stream, a pure function of (policy, data seed, epoch)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxseg.data.crops import epoch_plan, pixel_box, store_view
from jaxseg.data.cut import cut
from jaxseg.data.host import data_options, tensorflow
from jaxseg.data.prepare import FRAME2X, Prepared
from jaxseg.errors import UsageError

Batch = tuple[np.ndarray, np.ndarray]


def train_batches(
    stores: Mapping[str, Prepared],
    policy: str,
    data_seed: int,
    batch_size: int,
    start_epoch: int,
    epochs: int,
) -> Iterator[Batch]:
    """Batches of the epochs `start_epoch` … `epochs` - 1, n // batch_size of each.

    Args:
        stores: prepared views; `center` reads full, `quarter` quarter, the others frame2x.
        policy: a crop policy.
        data_seed: with the epoch it fixes order and boxes; starting later yields the same batches.
        batch_size: images a batch; what is left over at an epoch's end is dropped.

    Yields:
        (images uint8 [batch, size, size, 3], masks uint8 [batch, size, size] class indices).

    Raises:
        UsageError: an unknown policy, or fewer images than one batch.
    """
    store = stores[store_view(policy)]
    if len(store.ids) < batch_size:
        raise UsageError(
            f"optim.batch_size={batch_size}: the training split has only {len(store.ids)} images; "
            "use a smaller batch or more images"
        )
    moving = store_view(policy) == FRAME2X
    tf = tensorflow()
    side = store.images.shape[2]
    spec = [
        tf.TensorSpec((batch_size, side, side, 3), tf.uint8),
        tf.TensorSpec((batch_size, side, side, 1), tf.uint8),
        tf.TensorSpec((batch_size, 4), tf.int32),
    ]
    rows = _stored_batches(store, policy, data_seed, batch_size, range(start_epoch, epochs))
    dataset = tf.data.Dataset.from_generator(lambda: rows, output_signature=tuple(spec))
    if moving:
        one = lambda image, mask, box: cut(image, mask, box, side // 2)  # noqa: E731
        dataset = dataset.unbatch().map(one, num_parallel_calls=2).batch(batch_size)
    else:
        dataset = dataset.map(lambda images, masks, _: (images, masks[..., 0]))
    return dataset.prefetch(2).with_options(data_options()).as_numpy_iterator()


def _stored_batches(
    store: Prepared, policy: str, data_seed: int, batch_size: int, epochs: range
) -> Iterator[tuple[Any, Any, Any]]:
    """Whole rows of the store with the pixel boxes to cut: the batches of all `epochs`."""
    n, _, side = store.masks.shape[:3]
    for epoch in epochs:
        order, boxes, views = epoch_plan(policy, n, data_seed, epoch)
        bounds = pixel_box(boxes, side, side)
        for start in range(0, n - batch_size + 1, batch_size):
            pick = order[start : start + batch_size]
            images = store.images[pick, views[pick]]
            yield images, store.masks[pick, views[pick]][..., None], bounds[pick]
