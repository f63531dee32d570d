"""Saliency of a finished grid's cells on annotated frames, scored and kept in saliency.npz.

cells [c], layer, classes [k], test_set    what was asked of which cells
frame int32 [n], area float32 [n]          scored frames; share of annotation pixels in each
share, random_share float32 [c, n, k]      `saliency_share`: trained, and randomised weights
hit, random_hit int8 [c, n, k]             `pointing_game`, at most `tolerance` pixels away
example_frame, example_class int32 [e]     frames to show, the class whose maps are kept
example_image uint8 [e, H, W, 3], example_annotated bool [e, H, W], example_rule
example_map float32 [c, e, H, W]           in [0, 1], rounded to 1/255
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import numpy as np
from etils.epath import Path

from jaxseg.audit.annotated_frames import (
    CLEAN,
    EXAMPLE_RULE,
    AnnotatedFrames,
    annotated_frames,
    choose_examples,
    largest_class,
)
from jaxseg.audit.mapped_saliency import Scores, score_cells
from jaxseg.audit.saliency import check_layer, layer_shapes
from jaxseg.data.arrays import naming, read_member
from jaxseg.data.store import checksums
from jaxseg.errors import JaxsegError, check_choice
from jaxseg.grid.checkpoints import find_cells, restore_chunk
from jaxseg.grid.config import Config, NetConfig, make_config, make_net
from jaxseg.grid.devices import pinned
from jaxseg.grid.evaluate import TestSet, flatten_views
from jaxseg.grid.prepared import prepared_views, views_of_tests
from jaxseg.grid.storage import as_folder, write_arrays
from jaxseg.grid.workdir import check_data, read_config, read_finished
from jaxseg.nets.padding import STANDARD_MODES, padding_code

FILE = "saliency.npz"


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
            network's `encoder_layer`.
        frames: how many to score at most; see `annotated_frames`.
        tolerance: pixels, as for `pointing_game`.

    Returns:
        The path of saliency.npz, written whole or not at all.

    Raises:
        UsageError: an unknown layer, frames below 1, a tolerance below 0.
        JaxsegError: no cell is done, no frame of `test_set` is annotated, the data is not the
            grid's, or a checkpoint is damaged.
    """
    workdir = as_folder(workdir)
    cells = _done_cells(workdir)
    data = read_config(workdir)["data"]
    layer = layer or cells[0].config.eval.saliency_layer or None
    test = _prepared_sets(workdir, cells[0].config, test_set) if test is None else test
    shown = annotated_frames(test, test_set, data.get("planes"), frames)
    examples = choose_examples(shown)
    classes = data["classes"]
    asked = {
        "cells": [cell.id for cell in cells],
        "layer": _layers(cells, len(classes), shown.images.shape, layer),
        "classes": classes,
        "test_set": test_set,
        "tolerance": np.float32(tolerance),
    }
    options = {"layer": layer, "kept": examples, "tolerance": tolerance}
    scores = _score_groups(cells, len(classes), shown, **options)
    arrays = asked | _score_arrays(shown, scores) | _example_arrays(shown, examples, scores)
    write_arrays(workdir / FILE, {name: np.asarray(value) for name, value in arrays.items()})
    return workdir / FILE


def _done_cells(workdir: Path) -> list[_Done]:
    """The cells that are done, in the order of their checkpoints: those of one lie together."""
    status = {cell: row["status"] for cell, row in read_finished(workdir).items()}
    done = [
        _Done(cell, folder, position, meta)
        for cell, (folder, position, meta) in find_cells(workdir).items()
        if status.get(cell) == "done" and meta["kind"] == "variables"
    ]
    if not done:
        raise JaxsegError(f"{workdir}: no cell is done; run the grid's command again to finish it")
    return done


def is_current(workdir: str | os.PathLike[str]) -> bool:
    """Whether saliency.npz is there and holds the very cells that are done."""
    workdir = as_folder(workdir)
    if not (workdir / FILE).exists():
        return False
    with naming(workdir / FILE):
        scored = np.ravel(read_member(workdir / FILE, "cells")).tolist()
    return sorted(scored) == sorted(cell.id for cell in _done_cells(workdir))


def check_saliency_layer(config: Config) -> None:
    """Raises UsageError for an eval.saliency_layer that the network of a cell lacks."""
    layer, size = config.eval.saliency_layer, config.data.size
    if layer:
        net: Any = make_net(config.net, classes=1)
        check_choice("eval.saliency_layer", layer, layer_shapes(net, (size, size)))


def _prepared_sets(workdir: Path, config: Config, test_set: str) -> dict[str, TestSet]:
    views = views_of_tests(config)
    names = {name: view for name, view in views.items() if name in (CLEAN, test_set)}
    prepared = prepared_views(config.data, config.data.test_split, names.values())
    check_data(workdir, checksums(config.data.name, prepared.values()))
    return {
        name: flatten_views(prepared[view].images, prepared[view].masks)
        for name, view in names.items()
    }


def _layers(cells: Sequence[_Done], classes: int, size: Sequence[int], layer: str | None) -> str:
    """The layer that is asked; joined by commas where networks differ in the name of theirs."""
    nets = [make_net(cell.config.net, classes) for cell in cells]
    names = [check_layer(net, (size[1], size[2]), layer) for net in nets]
    return ", ".join(dict.fromkeys(names))


def _score_groups(
    cells: Sequence[_Done], classes: int, shown: AnnotatedFrames, **options: Any
) -> Scores:
    """Scores of all cells in their order, one network after the other; `options` of score_cells."""
    groups = _groups(cells)
    parts = [_score_group([cells[i] for i in group], classes, shown, options) for group in groups]
    back = np.argsort([i for group in groups for i in group])
    return Scores(*(np.concatenate(arrays)[back] for arrays in zip(*parts)))


def _score_group(
    group: Sequence[_Done], classes: int, shown: AnnotatedFrames, options: Mapping[str, Any]
) -> Scores:
    return score_cells(
        make_net(group[0].config.net, classes),
        _variables(group),
        [cell.config.seed for cell in group],
        shown.images,
        shown.annotated,
        codes=_codes(group),
        **options,
    )


def _groups(cells: Sequence[_Done]) -> list[list[int]]:
    """Positions of the cells that share a network; standard paddings travel as data."""
    groups: list[tuple[NetConfig, list[int]]] = []
    for i, cell in enumerate(cells):
        net = cell.config.net
        if net.padding in STANDARD_MODES:
            net = replace(net, padding="standard")
        members = next((found for other, found in groups if other == net), None)
        if members is None:
            groups.append((net, [i]))
        else:
            members.append(i)
    return [members for _, members in groups]


def _codes(group: Sequence[_Done]) -> list[int] | None:
    """The cells' padding codes; None where all have the same padding."""
    modes = [cell.config.net.padding for cell in group]
    return [padding_code(mode) for mode in modes] if len(set(modes)) > 1 else None


def _variables(group: Sequence[_Done]) -> Iterator[dict[str, Any]]:
    """Each cell's variables; a checkpoint that holds several cells in a row is read once."""
    folder, tree = None, {}
    for cell in group:
        if cell.folder != folder:
            folder, tree = cell.folder, restore_chunk(cell.folder, cell.meta)
        yield jax.tree.map(itemgetter(cell.position), tree)


def _score_arrays(shown: AnnotatedFrames, scores: Scores) -> dict[str, Any]:
    scored = {name: value for name, value in scores._asdict().items() if name != "maps"}
    return {"frame": shown.frame, "area": shown.area, **scored}


def _example_arrays(
    shown: AnnotatedFrames, examples: Sequence[int], scores: Scores
) -> dict[str, Any]:
    """The frames to show, with every cell's map of the class that is largest in their truth."""
    largest = [largest_class(shown.masks[i], scores.maps.shape[2]) for i in examples]
    maps = np.stack([scores.maps[:, e, k - 1] for e, k in enumerate(largest)], axis=1)
    return {
        "example_frame": shown.frame[examples],
        "example_class": np.asarray(largest, np.int32),
        "example_image": shown.images[examples],
        "example_annotated": shown.annotated[examples],
        "example_rule": EXAMPLE_RULE,
        # A picture has no more than these levels, and they take a fraction of the room.
        "example_map": np.round(maps * 255).astype(np.float32) / 255,
    }
