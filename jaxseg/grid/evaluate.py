"""Evaluation of all cells of a chunk at once: predictions of test sets become stored counts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.crops import Stream, annotated_images
from jaxseg.data.masks import IGNORED, foreground
from jaxseg.grid.config import REFERENCE_SIZE
from jaxseg.grid.mapping import Layout, map_cells
from jaxseg.grid.train import one_hot
from jaxseg.metrics.bands import band_counts, border_rings, square_rings

_BATCH = 32
_EXAMPLE_QUANTILES = (0.9, 0.7, 0.5, 0.3)
EXAMPLE_RULE = (
    "items at the 90th, 70th, 50th and 30th percentile of lesion area within {px} px of the "
    "border, among the test items of set '{test_set}' that have any; chosen by the truth alone"
)


class TestSet(NamedTuple):
    """Items of one test set: images uint8 [N, H, W, 3], masks uint8 [N, H, W], image int32 [N].

    `image` is the index of the frame an item was cut from; items of one frame share it.
    """

    __test__ = False  # keeps pytest from taking it for a test class

    images: np.ndarray
    masks: np.ndarray
    image: np.ndarray


class Examples(NamedTuple):
    """Items to look at: item int32 [k], label [k], and the rule by which they were chosen."""

    test_set: str
    item: np.ndarray
    label: list[str]
    rule: str


def flatten_views(images: np.ndarray, masks: np.ndarray) -> TestSet:
    """Prepared [n, views, H, W, 3] and [n, views, H, W] -> one item per view."""
    n, views = masks.shape[:2]
    return TestSet(
        images.reshape(n * views, *images.shape[2:]),
        masks.reshape(n * views, *masks.shape[2:]),
        np.repeat(np.arange(n, dtype=np.int32), views),
    )


def validation_items(stream: Stream, images: np.ndarray, masks: np.ndarray) -> TestSet:
    """The items of a validation stream out of its prepared view [n, v, H, W, 3] and [n, v, H, W].

    All views of each frame, or the one version of it that the contamination asks for.
    """
    if stream.contamination is None:
        return flatten_views(images, masks)
    n = len(images)
    version = annotated_images(n, stream.seed, stream.contamination).astype(int)
    rows = np.arange(n)
    return TestSet(images[rows, version], masks[rows, version], rows.astype(np.int32))


def ring_maps(size: int, ring_width: float, border_px: float) -> dict[str, np.ndarray]:
    """The two band layouts of a frame: `centre` (the paper's rings, scaled) and `border`."""
    return {
        "centre": square_rings(size, ring_width * size / REFERENCE_SIZE),
        "border": border_rings(size, border_px),
    }


def make_scorer(layout: Layout, rings: dict[str, np.ndarray], classes: int) -> Any:
    """A mapped function (a cell's class indices, truth: [B, H, W] both) -> {layout: counts}."""

    def score(predictions, masks):
        chosen = one_hot(jnp.where(masks == IGNORED, 0, predictions), classes)
        truth = one_hot(masks, classes)
        return {name: band_counts(chosen, truth, ring) for name, ring in rings.items()}

    return map_cells(score, layout, ("cell", "shared"))


def predict_items(predict: Any, variables: Any, hyper: Any, images: np.ndarray) -> list[jax.Array]:
    """Class indices of every cell on every item, in batches uint8 [cells, B, H, W] on the devices.

    The last batch is filled by repeating its last item, so that one program serves all sets.
    """
    return [predict(variables, hyper, images[rows]) for rows in _batches(len(images))]


def score_items(
    scorer: Any, predictions: Sequence[jax.Array], masks: np.ndarray
) -> dict[str, np.ndarray]:
    """Counts of every cell on every item: {layout: int32 [cells, items, bands, classes, 3]}."""
    n = len(masks)
    parts = [scorer(batch, masks[rows]) for batch, rows in zip(predictions, _batches(n))]
    host = jax.device_get(parts)
    return {name: np.concatenate([p[name] for p in host], axis=1)[:, :n] for name in host[0]}


def _batches(n: int) -> list[np.ndarray]:
    return [np.minimum(np.arange(s, s + _BATCH), n - 1) for s in range(0, n, _BATCH)]


def stability(predictions: np.ndarray, image: np.ndarray, classes: int) -> np.ndarray:
    """Counts of each prediction against the last one of the same frame, by class.

    Args:
        predictions: uint8 [cells, items, H, W] class indices; the items of a frame stand together.
        image: int32 [items], the frame of each item.
        classes: number of foreground classes.

    Returns:
        int32 [cells, items, classes, 3] of (tp, fp, fn), the last prediction being the truth.
    """
    whole = np.zeros(predictions.shape[-2:], np.int32)

    @jax.jit
    def count(of_frame):  # [cells, stages, H, W]
        chosen = one_hot(of_frame, classes)
        return band_counts(chosen, jnp.broadcast_to(chosen[:, -1:], chosen.shape), whole)[:, :, 0]

    ends = np.flatnonzero(np.diff(image)) + 1
    # Frame by frame: one-hot masks of all of them would not fit into memory.
    frames = np.split(predictions, ends, axis=1)
    return np.concatenate([np.asarray(count(frame)) for frame in frames], axis=1)


def choose_frames(name: str, test: TestSet, planes: Sequence[str]) -> Examples:
    """The frame of median foreground area in each plane; four by area where there is one plane."""
    area = foreground(test.masks).sum((1, 2))
    named = list(dict.fromkeys(planes))
    if len(named) > 1:
        of_plane = {plane: np.flatnonzero(np.asarray(planes) == plane) for plane in named}
        rule = f"of test set '{name}', the frame of median foreground area in each plane"
        items = [
            rows[np.argsort(area[rows], kind="stable")[len(rows) // 2]]
            for rows in of_plane.values()
        ]
        return Examples(
            name, np.asarray(items, np.int32), named, f"{rule}; chosen by the truth alone"
        )
    ranked = np.argsort(area, kind="stable")
    picks = {int(ranked[round(q * (len(ranked) - 1))]): q for q in _EXAMPLE_QUANTILES}
    labels = [f"{100 * q:.0f}th percentile of foreground area" for q in picks.values()]
    rule = f"of test set '{name}', the frames at these percentiles of foreground area"
    return Examples(
        name, np.asarray([*picks], np.int32), labels, f"{rule}; chosen by the truth alone"
    )


def choose_examples(name: str, test: TestSet, border_px: int) -> Examples:
    """Items at fixed percentiles of foreground area near the border; a rule over the truth only."""
    size = test.masks.shape[1]
    outer = border_rings(size, border_px) == 0
    area = (foreground(test.masks) & outer[None]).sum((1, 2))
    ranked = np.argsort(area, kind="stable")
    ranked = ranked[area[ranked] > 0]
    if not len(ranked):
        ranked = np.arange(len(area))
    picks, labels = [], []
    for quantile in _EXAMPLE_QUANTILES:
        item = int(ranked[round(quantile * (len(ranked) - 1))])
        if item not in picks:
            picks.append(item)
            labels.append(f"{100 * quantile:.0f}th percentile of border area")
    rule = EXAMPLE_RULE.format(px=border_px, test_set=name)
    return Examples(name, np.asarray(picks, np.int32), labels, rule)
