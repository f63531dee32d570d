"""Seg-Grad-CAM and its scores, mapped over the cells that share a network and over frames."""

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.grid.mapping import Layout, chunks, fill, make_layout, map_cells, put
from jaxseg.grid.train import normalise
from jaxseg.studies.annotations.gradcam import check_layer, pixels_of_interest, seg_grad_cam
from jaxseg.studies.annotations.saliency_scores import (
    control_variables,
    pointing_game,
    saliency_share,
)

_VALUES = 2**20  # of the maps that a device makes at a time: bounds its memory
_CELLS_PER_DEVICE = 4  # but on CPUs, where cells one by one are faster than side by side


class Scores(NamedTuple):
    """Scores of c cells on n frames in k classes, and the maps of some frames.

    `share` float32 and `hit` int8 [c, n, k] are those of `saliency_share` and `pointing_game`,
    `random_share` and `random_hit` the same of randomised weights; `maps` are float32
    [c, kept, k, H, W] in [0, 1], of the trained weights.
    """

    share: Any
    hit: Any
    random_share: Any
    random_hit: Any
    maps: Any


class Asked(NamedTuple):
    """What shapes the program of cells that share a network; `net` has an attribute `classes`.

    `coded` networks take their padding as data; `tolerance` is that of `pointing_game`.
    """

    net: Any
    size: tuple[int, int]
    layer: str
    coded: bool
    tolerance: float


def score_cells(
    net: Any,
    variables: Iterable[Any],
    seeds: Sequence[int],
    images: np.ndarray,
    annotated: np.ndarray,
    *,
    layer: str | None = None,
    codes: Sequence[int] | None = None,
    kept: Sequence[int] = (),
    tolerance: float = 0.0,
) -> Scores:
    """Seg-Grad-CAM of cells that share a network, scored on annotated frames.

    The cells are spread over the local devices and, but on CPUs, vmapped within each. The control
    is asked about the pixels that the trained weights call the class: the same question.

    Args:
        net: as a UNet, called with float [B, H, W, 3] in [-1, 1].
        variables: one tree a cell, each taken in its turn, so that they can be read one by one.
        seeds: of the cells; their controls' weights are drawn from them.
        images: uint8 [n, H, W, 3], n at least 1.
        annotated: bool [n, H, W], the annotation pixels.
        layer: as for `seg_grad_cam`.
        codes: the cells' padding codes; None for the padding of `net`.
        kept: ascending frames whose maps are returned.
        tolerance: as for `pointing_game`.

    Returns:
        Scores of numpy arrays.

    Raises:
        UsageError: what `seg_grad_cam` and `pointing_game` raise.
    """
    size = (images.shape[1], images.shape[2])
    asked = Asked(net, size, check_layer(net, size, layer), codes is not None, tolerance)
    layout = make_layout(len(seeds), 1, _cells_per_device(), jax.local_devices())
    trees, parts = iter(variables), []
    for rows in chunks(range(len(seeds)), layout.slots):
        cells = list(islice(trees, len(rows)))
        per_cell = [[values[i] for i in rows] for values in (seeds, codes or [0] * len(seeds))]
        score = _chunk_scorer(asked, layout, cells, *per_cell)
        scores = _score_frames(score, _batch_size(asked, layout), images, annotated, kept)
        parts.append([array[: len(rows)] for array in scores])
    return Scores(*(np.concatenate(arrays) for arrays in zip(*parts)))


def _cells_per_device() -> int:
    return 1 if jax.default_backend() == "cpu" else _CELLS_PER_DEVICE


def _batch_size(asked: Asked, layout: Layout) -> int:
    frame = asked.net.classes * asked.size[0] * asked.size[1]
    return max(1, _VALUES // (frame * layout.per_device))


def _chunk_scorer(
    asked: Asked, layout: Layout, cells: list[Any], seeds: list[int], codes: list[int]
) -> Callable[..., Scores]:
    """A function (images, annotated) -> Scores of one chunk, whose variables are sent here."""
    control, score = _programs(asked, layout)
    filled = fill(cells, layout.slots)
    variables = put(layout, "cell", jax.tree.map(lambda *leaves: np.stack(leaves), *filled))
    seed, code = (np.asarray(fill(a, layout.slots), np.int32) for a in (seeds, codes))
    return functools.partial(score, variables, control(seed), code)


@functools.lru_cache(maxsize=8)
def _programs(asked: Asked, layout: Layout) -> tuple[Any, Any]:
    """Compiled once: (seeds -> the controls' variables, scorer of a chunk)."""
    control = functools.partial(control_variables, asked.net, size=asked.size)
    kinds = ("cell", "cell", "cell", "shared", "shared")
    return (
        map_cells(control, layout, ("cell",)),
        map_cells(functools.partial(_score_cell, asked), layout, kinds),
    )


def _score_cell(
    asked: Asked, variables: Any, control: Any, code: Any, images: Any, annotated: Any
) -> Scores:
    """Scores of ONE cell on a batch, the maps of all its frames among them."""
    net, images = asked.net, normalise(images)
    options: dict[str, Any] = {"padding_code": code} if asked.coded else {}
    pixels = pixels_of_interest(net.apply(variables, images, **options))
    maps, random = (
        seg_grad_cam(net, weights, images, asked.layer, pixels=pixels, **options)
        for weights in (variables, control)
    )
    marks = annotated[:, None]
    return Scores(
        share=saliency_share(maps, marks),
        hit=pointing_game(maps, marks, asked.tolerance),
        random_share=saliency_share(random, marks),
        random_hit=pointing_game(random, marks, asked.tolerance),
        maps=maps,
    )


def _score_frames(
    score: Callable[..., Scores],
    batch: int,
    images: np.ndarray,
    annotated: np.ndarray,
    kept: Sequence[int],
) -> Scores:
    """Scores of a chunk on all frames: batch by batch, of whose maps only those kept stay."""
    parts = []
    for rows in chunks(range(len(images)), min(batch, len(images))):
        # The last batch is filled up, so that one program serves all.
        filled = fill(rows, min(batch, len(images)))
        scores = score(images[filled], annotated[filled])
        shown = jnp.asarray([i - rows[0] for i in kept if i in rows], jnp.int32)
        fetched = jax.device_get(scores._replace(maps=scores.maps[:, shown]))
        parts.append([*(array[:, : len(rows)] for array in fetched[:-1]), fetched.maps])
    return Scores(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts)))
