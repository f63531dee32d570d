"""Saliency of a finished grid's cells on annotated frames, scored and kept in saliency.npz.

cells [c], layer, classes [k], test_set    what was asked of which cells
frame int32 [n], area float32 [n]          scored frames; share of annotation pixels in each
share, random_share float32 [c, n, k]      `saliency_share`: trained, and randomised weights
hit, random_hit int8 [c, n, k]             `pointing_game`, at most `tolerance` pixels away
example_frame, example_class int32 [e]     frames to show, the class whose maps are kept
example_image uint8 [e, H, W, 3], example_annotated bool [e, H, W], example_rule
example_map float32 [c, e, H, W]           in [0, 1], rounded to 1/255
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils.epath import Path

from jaxseg.data.arrays import naming, read_member
from jaxseg.data.store import checksums
from jaxseg.errors import JaxsegError, UsageError, check_choice
from jaxseg.grid.checkpoints import find_cells, restore_chunk
from jaxseg.grid.config import Config, make_config, make_net
from jaxseg.grid.devices import pinned
from jaxseg.grid.evaluate import TestSet, flatten_views
from jaxseg.grid.mapping import Layout, chunks, fill, make_layout, map_cells, put
from jaxseg.grid.prepared import prepared_views, views_of_tests
from jaxseg.grid.storage import as_folder, write_arrays
from jaxseg.grid.train import normalise
from jaxseg.grid.workdir import check_data, read_config, read_finished
from jaxseg.nets.registry import Network
from jaxseg.studies.annotations.gradcam import (
    check_layer,
    control_variables,
    has_layers,
    pixels_of_interest,
    pointing_game,
    saliency_share,
    seg_grad_cam,
)
from jaxseg.studies.annotations.measures import CLEAN

FILE = "saliency.npz"
EXAMPLE_RULE = (
    "up to 4 of the scored frames whose truth holds a structure: as many of each of the first 4 "
    "planes, evenly spaced in rank of annotation area (where one, the lower median); of each the "
    "class with the largest area in the truth; chosen by truth and annotations alone"
)
_MOST_EXAMPLES = 4
_VALUES = 2**20  # of the maps that a device makes at a time: bounds its memory
_CELLS_PER_DEVICE = 4  # but on CPUs, where cells one by one are faster than side by side


class AnnotatedFrames(NamedTuple):
    """Frames with annotations in them, in ascending order.

    frame int32 [n] index in the test set, images uint8 [n, H, W, 3], annotated bool [n, H, W],
    masks uint8 [n, H, W] class indices, planes [n] names.
    """

    frame: np.ndarray
    images: np.ndarray
    annotated: np.ndarray
    masks: np.ndarray
    planes: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """Share of annotation pixels, float32 [n]."""
        return self.annotated.mean((1, 2), dtype=np.float32)


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


class _Done(NamedTuple):
    """A cell that is done, and where its variables lie: at `position` in a folder of `meta`."""

    id: str
    folder: Path
    position: int
    meta: Mapping[str, Any]

    @property
    def config(self) -> Config:
        return make_config(self.meta["settings"][self.position], strict=False)


@pinned()
def write_saliency(
    workdir: str | os.PathLike[str],
    test: Mapping[str, TestSet] | None = None,
    *,
    test_set: str = "annotated",
    layer: str | None = None,
    frames: int = 64,
    tolerance: float = 0.0,
) -> Path:
    """Asks the cells of a finished study of annotations where their evidence lies.

    Args:
        workdir: folder of the grid, local or of an object store.
        test: its test sets, `clean` and `test_set` among them; None prepares them as the grid did.
        test_set: the set whose frames are shown to the networks.
        layer: as for `seg_grad_cam`; None is the grid's eval.saliency_layer, by default each
            network's `Network.encoder_layer`.
        frames: how many to score at most; see `annotated_frames`.
        tolerance: pixels, as for `pointing_game`.

    Returns:
        The path of saliency.npz, written whole or not at all.

    Raises:
        UsageError: an unknown layer, frames below 1, a tolerance below 0, or networks without named
            layers alone. Cells of such networks are left out.
        JaxsegError: no cell is done, no frame of `test_set` is annotated, the data is not the
            grid's, or a checkpoint is damaged.
    """
    workdir = as_folder(workdir)
    cells = _asked_cells(workdir)
    if not cells:
        raise UsageError(f"{workdir}: no network of a finished cell has named layers to ask")
    data = read_config(workdir)["data"]
    classes = data["classes"]
    layer = layer or cells[0].config.eval.saliency_layer or None
    test = _prepared_sets(workdir, cells[0].config, test_set) if test is None else test
    shown = annotated_frames(test, test_set, data.get("planes"), frames)
    # Networks may differ in the name of their layer.
    nets = [make_net(cell.config.net, len(classes)) for cell in cells]
    layers = dict.fromkeys(check_layer(net, shown.images.shape[1], layer) for net in nets)
    examples = choose_examples(shown)
    scores = _score_groups(cells, len(classes), shown, layer, examples, tolerance)
    largest = [largest_class(shown.masks[i], len(classes)) for i in examples]
    maps = np.stack([scores.maps[:, e, k - 1] for e, k in enumerate(largest)], axis=1)
    arrays = {
        "cells": [cell.id for cell in cells],
        "layer": ", ".join(layers),
        "classes": classes,
        "test_set": test_set,
        "tolerance": np.float32(tolerance),
        "frame": shown.frame,
        "area": shown.area,
        "share": scores.share,
        "hit": scores.hit,
        "random_share": scores.random_share,
        "random_hit": scores.random_hit,
        "example_frame": shown.frame[examples],
        "example_class": np.asarray(largest, np.int32),
        "example_image": shown.images[examples],
        "example_annotated": shown.annotated[examples],
        "example_rule": EXAMPLE_RULE,
        # A picture has no more than these levels, and they take a fraction of the room.
        "example_map": np.round(maps * 255).astype(np.float32) / 255,
    }
    write_arrays(workdir / FILE, {name: np.asarray(value) for name, value in arrays.items()})
    return workdir / FILE


def is_current(workdir: str | os.PathLike[str]) -> bool:
    """Whether saliency.npz holds the very cells that are done and can be asked.

    True as well where none can: there is nothing to make.
    """
    workdir = as_folder(workdir)
    asked = [cell.id for cell in _asked_cells(workdir)]
    if not (workdir / FILE).exists():
        return not asked
    with naming(workdir / FILE):
        scored = np.ravel(read_member(workdir / FILE, "cells")).tolist()
    return sorted(scored) == sorted(asked)


def check_saliency_layer(config: Config) -> None:
    """Raises UsageError for an eval.saliency_layer that the network of a cell lacks."""
    layer, size = config.eval.saliency_layer, config.data.size
    if layer:
        net = make_net(config.net, classes=1)
        check_choice("eval.saliency_layer", layer, net.layers(size))


def _asked_cells(workdir: Path) -> list[_Done]:
    """The cells that are done and whose networks have named layers; others have no saliency.

    In the order of their checkpoints: those of one lie together.
    """
    status = {cell: row["status"] for cell, row in read_finished(workdir).items()}
    done = [
        _Done(cell, folder, position, meta)
        for cell, (folder, position, meta) in find_cells(workdir).items()
        if status.get(cell) == "done" and meta["kind"] == "variables"
    ]
    if not done:
        raise JaxsegError(f"{workdir}: no cell is done; run the grid's command again to finish it")
    return [
        cell
        for cell in done
        if has_layers(make_net(cell.config.net, classes=1), cell.config.data.size)
    ]


def _prepared_sets(workdir: Path, config: Config, test_set: str) -> dict[str, TestSet]:
    views = views_of_tests(config)
    names = {name: view for name, view in views.items() if name in (CLEAN, test_set)}
    prepared = prepared_views(config.data, config.data.test_split, names.values())
    check_data(workdir, checksums(config.data.name, prepared.values()))
    return {
        name: flatten_views(prepared[view].images, prepared[view].masks)
        for name, view in names.items()
    }


# Which frames are scored, and which are shown: chosen without any prediction.


def annotated_frames(
    test: Mapping[str, TestSet], test_set: str, planes: Sequence[str] | None, most: int
) -> AnnotatedFrames:
    """The first frames of every plane in turn that hold annotations, `most` of them at most.

    Annotation pixels are those in which a frame of `test_set` differs from the same frame of set
    `clean`, at the network's resolution: where the frames were resized, a mark's blurred rim too.

    Args:
        test: test sets, `clean` and `test_set` among them, with one item a frame.
        test_set: the set whose frames are taken.
        planes: the plane of every frame; None or empty where there is one.
        most: at least 1.

    Raises:
        UsageError: a set that is not there, or `most` below 1.
        JaxsegError: sets that do not match, or none of whose frames differ.
    """
    if most < 1:
        raise UsageError(f"frames={most}: must be at least 1")
    shown = test[check_choice("test_set", test_set, test)]
    clean = test[check_choice("test_set", CLEAN, test)]
    if clean.images.shape != shown.images.shape or (clean.image != shown.image).any():
        raise JaxsegError(
            f"test set {test_set!r}: its images {shown.images.shape} must be the frames of "
            f"{CLEAN!r}, {clean.images.shape}, in the same order; prepare both from one split"
        )
    annotated = (clean.images != shown.images).any(-1)
    found = np.flatnonzero(annotated.any((1, 2)))
    if not len(found):
        raise JaxsegError(
            f"test set {test_set!r}: no frame differs from its clean one, there are no annotations "
            "to score; name a test set that has some"
        )
    names = np.asarray(planes)[shown.image] if planes else np.full(len(annotated), "")
    # Every plane has its first frame before any has its second.
    nth = np.zeros(len(found), int)
    for plane in set(names[found]):
        nth[names[found] == plane] = np.arange((names[found] == plane).sum())
    rows = np.sort(found[np.argsort(nth, kind="stable")[:most]])
    frame = shown.image[rows].astype(np.int32)
    return AnnotatedFrames(
        frame, shown.images[rows], annotated[rows], shown.masks[rows], names[rows]
    )


def choose_examples(shown: AnnotatedFrames) -> list[int]:
    """Positions among `shown`, ascending, of the frames that `EXAMPLE_RULE` picks."""
    rows = np.flatnonzero(shown.masks.any((1, 2)))
    rows = rows if len(rows) else np.arange(len(shown.masks))
    planes = list(dict.fromkeys(shown.planes[rows]))[:_MOST_EXAMPLES]
    each = _MOST_EXAMPLES // len(planes)
    picks: set[int] = set()
    for plane in planes:
        members = rows[shown.planes[rows] == plane]
        ranked = members[np.argsort(shown.area[members], kind="stable")]
        picks |= {int(ranked[(len(ranked) - 1) * (i + 1) // (each + 1)]) for i in range(each)}
    return sorted(picks)


def largest_class(mask: np.ndarray, classes: int) -> int:
    """The foreground class 1 … `classes` with most pixels of a mask [H, W]; 1 where it is empty."""
    return 1 + int(np.argmax(np.bincount(mask.ravel(), minlength=classes + 1)[1:]))


# The scores, mapped over the cells that share a network and over frames.


def _score_groups(
    cells: Sequence[_Done],
    classes: int,
    shown: AnnotatedFrames,
    layer: str | None,
    kept: Sequence[int],
    tolerance: float,
) -> Scores:
    """Scores of all cells in their order, one network after the other."""
    nets = [make_net(cell.config.net, classes) for cell in cells]
    groups: dict[Network, list[int]] = {}
    codes: list[Any] = []  # standard paddings travel as data
    for i, net in enumerate(nets):
        coded, code = net.coded()
        groups.setdefault(coded, []).append(i)
        codes.append(code)
    parts = []
    for coded, members in groups.items():
        several = len({nets[i] for i in members}) > 1
        scores = score_cells(
            coded if several else nets[members[0]],
            _variables([cells[i] for i in members]),
            [cells[i].config.seed for i in members],
            shown.images,
            shown.annotated,
            layer=layer,
            codes=[int(codes[i]) for i in members] if several else None,
            kept=kept,
            tolerance=tolerance,
        )
        parts.append(scores)
    back = np.argsort([i for members in groups.values() for i in members])
    return Scores(*(np.concatenate(arrays)[back] for arrays in zip(*parts)))


def _variables(group: Sequence[_Done]) -> Iterator[dict[str, Any]]:
    """Each cell's variables; a checkpoint that holds several cells in a row is read once."""
    folder, tree = None, {}
    for cell in group:
        if cell.folder != folder:
            folder, tree = cell.folder, restore_chunk(cell.folder, cell.meta)
        yield jax.tree.map(itemgetter(cell.position), tree)


def score_cells(
    net: Network,
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
        net: one with named layers.
        variables: one tree a cell, each taken in its turn, so that they can be read one by one.
        seeds: of the cells; their controls' weights are drawn from them.
        images: uint8 [n, s, s, 3], n at least 1.
        annotated: bool [n, s, s], the annotation pixels.
        layer: as for `seg_grad_cam`.
        codes: the cells' padding codes; None for the padding of `net`.
        kept: ascending frames whose maps are returned.
        tolerance: as for `pointing_game`.

    Returns:
        Scores of numpy arrays.

    Raises:
        UsageError: what `seg_grad_cam` and `pointing_game` raise.
    """
    size = images.shape[1]
    layer = check_layer(net, size, layer)
    layout = make_layout(len(seeds), 1, _cells_per_device(), jax.local_devices())
    batch = max(1, _VALUES // (net.classes * size**2 * layout.per_device))
    control, score = _programs(net, size, layer, codes is not None, tolerance, layout)
    trees, parts = iter(variables), []
    for rows in chunks(range(len(seeds)), layout.slots):
        cells = fill(list(islice(trees, len(rows))), layout.slots)
        slots = fill(rows, layout.slots)
        stacked = put(layout, "cell", jax.tree.map(lambda *leaves: np.stack(leaves), *cells))
        seed = np.asarray([seeds[i] for i in slots], np.int32)
        code = np.asarray([codes[i] if codes else 0 for i in slots], np.int32)
        scorer = functools.partial(score, stacked, control(seed), code)
        scores = _score_frames(scorer, batch, images, annotated, kept)
        parts.append([array[: len(rows)] for array in scores])
    return Scores(*(np.concatenate(arrays) for arrays in zip(*parts)))


def _cells_per_device() -> int:
    return 1 if jax.local_devices()[0].platform == "cpu" else _CELLS_PER_DEVICE


@functools.lru_cache(maxsize=8)
def _programs(
    net: Network, size: int, layer: str, coded: bool, tolerance: float, layout: Layout
) -> tuple[Any, Any]:
    """Compiled once: (seeds -> the controls' variables, scorer of a chunk).

    `coded` networks take their padding as data.
    """

    def score(variables: Any, control: Any, code: Any, images: Any, annotated: Any) -> Scores:
        """Scores of ONE cell on a batch, the maps of all its frames among them."""
        images, marks = normalise(images), annotated[:, None]
        code = code if coded else None
        pixels = pixels_of_interest(net.logits(variables, images, padding_code=code))
        maps, random = (
            seg_grad_cam(net, weights, images, layer, pixels=pixels, padding_code=code)
            for weights in (variables, control)
        )
        return Scores(
            share=saliency_share(maps, marks),
            hit=pointing_game(maps, marks, tolerance),
            random_share=saliency_share(random, marks),
            random_hit=pointing_game(random, marks, tolerance),
            maps=maps,
        )

    control = functools.partial(control_variables, net, size=size)
    kinds = ("cell", "cell", "cell", "shared", "shared")
    return map_cells(control, layout, ("cell",)), map_cells(score, layout, kinds)


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
        scored = Scores(*(array[:, : len(rows)] for array in fetched))
        parts.append(scored._replace(maps=fetched.maps))
    return Scores(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts)))
