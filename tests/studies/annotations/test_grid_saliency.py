import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.sources import Reading
from jaxseg.data.store import Prepared
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import storage
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell
from jaxseg.grid.checkpoints import Position, open_manager, restore_cell, save
from jaxseg.grid.config import make_config, make_net
from jaxseg.grid.evaluate import TestSet
from jaxseg.studies.annotations import grid_saliency
from jaxseg.studies.annotations.grid_saliency import (
    check_saliency_layer,
    score_cells,
    write_saliency,
)

SIZE, CLASSES = 16, ("skull", "stomach")
PLANES = ["head", "abdomen"] * 4
CONTRACT = {
    "cells": "U", "layer": "U", "classes": "U", "test_set": "U", "frame": "i4", "area": "f4",
    "share": "f4", "hit": "i1", "random_share": "f4", "random_hit": "i1", "tolerance": "f4",
    "example_frame": "i4", "example_class": "i4", "example_image": "u1", "example_annotated": "b1",
    "example_map": "f4", "example_rule": "U",
}  # fmt: skip


def _cell(padding, seed, upsampling="nearest"):
    settings = {
        "seed": seed, "data.name": "folders", "data.test_split": "test", "data.size": SIZE,
        "data.manual_dir": "", "data.data_dir": "", "net.width": 2, "net.depth": 1,
        "net.padding": padding, "net.upsampling": upsampling, "net.norm": "batch",
        "eval.test_sets": ("clean", "annotated"), "annotate.contamination": 1.0,
        "annotate.placement": "tied", "annotate.colour": "yellow", "annotate.removal": "none",
        "annotate.drawn": True,
    }  # fmt: skip
    return Cell(
        f"{padding}-{upsampling}-s{seed}",
        f"{padding}/{upsampling}",
        make_config(settings, strict=False),
    )


CHUNKS = [
    [_cell("zeros", 0), _cell("reflect", 0)],
    [_cell("valid", 1, "half_pixel"), _cell("zeros", 3)],
    [_cell("circular", 2), _cell("circular", 4)],
]
DIVERGED, UNFINISHED = "zeros-nearest-s3", "circular-nearest-s4"
DONE = ["circular-nearest-s2", "valid-half_pixel-s1", "zeros-nearest-s0", "reflect-nearest-s0"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir as a grid of six cells leaves it: one diverged, one not yet scored."""
    root = tmp_path_factory.mktemp("run")
    data = {"classes": list(CLASSES), "planes": PLANES}
    storage.write_with_digest(root / "config.json", {"config": {}, "grid": [], "data": data})
    for chunk in CHUNKS:
        trees = [_variables(cell) for cell in chunk]
        tree = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
        position = Position(1, 0, [], [0.5] * 2, [-1] * 2, [-1] * 2, 1.0)
        with open_manager(storage.as_folder(root), chunk) as manager:
            save(manager, "variables", tree, position, chunk, CLASSES)
        for cell in chunk:
            diverged = cell.id == DIVERGED
            if cell.id != UNFINISHED:
                files.write_status(root, cell.id, {"status": "diverged" if diverged else "done"})
            if cell.id in DONE:
                storage.write_arrays(files.counts_path(root, cell.id), {"x": np.zeros(1)})
    return root


def _variables(cell):
    init = jax.jit(make_net(cell.config.net, len(CLASSES)).init)
    return init(jax.random.key(cell.seed), jnp.zeros((1, SIZE, SIZE, 3)))


@pytest.fixture(scope="module")
def test_sets():
    """Eight frames of noise; all but the first have marks of growing size."""
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 200, (8, SIZE, SIZE, 3), np.uint8)
    marked = clean.copy()
    for i in range(8):
        marked[i, 3, :i] = 255
    masks = np.zeros((8, SIZE, SIZE), np.uint8)
    masks[:, 4:6, 4:6], masks[1::2, 8:12, 8:12] = 1, 2
    image = np.arange(8, dtype=np.int32)
    return {"clean": TestSet(clean, masks, image), "annotated": TestSet(marked, masks, image)}


@pytest.fixture(scope="module")
def written(workdir, test_sets):
    path = write_saliency(workdir, test_sets)
    assert path == storage.as_folder(workdir) / "saliency.npz"
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def test_every_array_of_the_file(written):
    assert {name: array.dtype.str.lstrip("<|")[:1] for name, array in written.items()} == {
        name: kind[0] for name, kind in CONTRACT.items()
    }
    for name, kind in CONTRACT.items():
        assert kind == "U" or written[name].dtype == np.dtype(kind), name
    c, n, k, e = 4, 7, 2, 4
    for name in ("share", "hit", "random_share", "random_hit"):
        assert written[name].shape == (c, n, k)
    assert written["example_map"].shape == (c, e, SIZE, SIZE)
    assert written["example_image"].shape == (e, SIZE, SIZE, 3)
    assert sorted(written["cells"]) == sorted(DONE)
    assert written["classes"].tolist() == list(CLASSES)
    assert (str(written["layer"]), str(written["test_set"])) == ("down1", "annotated")
    np.testing.assert_array_equal(written["frame"], np.arange(1, 8))
    np.testing.assert_allclose(written["area"], np.arange(1, 8) / SIZE**2)


def test_examples_show_what_was_scored(written, test_sets):
    frame = written["example_frame"]
    assert [PLANES[i] for i in frame].count("head") == 2
    np.testing.assert_array_equal(written["example_image"], test_sets["annotated"].images[frame])
    np.testing.assert_array_equal(written["example_class"], 1 + frame % 2)
    marks = written["example_annotated"].sum((1, 2))
    np.testing.assert_array_equal(marks, frame)
    for i, k in enumerate(written["example_class"]):
        row = int(np.flatnonzero(written["frame"] == frame[i])[0])
        maps = written["example_map"][:, i]
        mass = maps.sum((1, 2))
        share = (maps * written["example_annotated"][i]).sum((1, 2))[mass > 0] / mass[mass > 0]
        np.testing.assert_array_equal(mass > 0, ~np.isnan(written["share"][:, row, k - 1]))
        np.testing.assert_allclose(share, written["share"][mass > 0, row, k - 1], atol=2e-3)
    assert written["example_map"].any()


@pytest.mark.parametrize("cell", DONE)
def test_every_cell_is_scored_with_its_own_weights_padding_and_seed(
    cell, written, workdir, test_sets
):
    variables, meta = restore_cell(workdir, cell)
    config = make_config(meta["settings"][meta["cells"].index(cell)])
    images = test_sets["annotated"].images[1:]
    annotated = (images != test_sets["clean"].images[1:]).any(-1)
    net = make_net(config.net, len(CLASSES))
    alone = score_cells(net, [variables], [config.seed], images, annotated)
    row = written["cells"].tolist().index(cell)
    for name in ("share", "random_share"):
        np.testing.assert_allclose(written[name][row], getattr(alone, name)[0], atol=1e-4)


def test_frames_layer_and_tolerance_can_be_chosen(workdir, test_sets):
    options = {"layer": "inc", "frames": 3, "tolerance": 30}
    with np.load(write_saliency(workdir, test_sets, **options)) as stored:
        assert stored["frame"].tolist() == [1, 2, 3] and str(stored["layer"]) == "inc"
        assert stored["tolerance"] == 30
        assert (stored["hit"][stored["hit"] >= 0] == 1).all()  # 30 px reach everywhere


def test_test_sets_are_prepared_as_the_grid_did(workdir, test_sets, monkeypatch, written):
    def prepare(name, split, *, size, views, manual_dir, reading, data_dir, planes, progress):
        assert (name, split, size, manual_dir, data_dir) == ("folders", "test", SIZE, None, None)
        assert planes == "" and reading == Reading()
        ids = tuple("abcdefgh")
        return {
            view: Prepared(items.images[:, None], items.masks[:, None], ids, CLASSES)
            for view in views
            for items in [test_sets[view.removesuffix(".yellow")]]
        }  # fmt: skip

    monkeypatch.setattr("jaxseg.grid.prepared.prepare_views", prepare)
    with np.load(write_saliency(workdir)) as stored:
        for name, expected in written.items():
            np.testing.assert_array_equal(stored[name], expected, err_msg=name)


def test_the_config_names_the_layer(workdir, test_sets, monkeypatch):
    fields = CHUNKS[0][0].config.flat() | {"eval.saliency_layer": "inc"}
    check_saliency_layer(make_config(fields))
    done = [
        cell._replace(meta={**cell.meta, "settings": [fields] * 2})
        for cell in grid_saliency._asked_cells(workdir)
    ]
    monkeypatch.setattr(grid_saliency, "_asked_cells", lambda _: done)
    with np.load(write_saliency(workdir, test_sets, frames=1)) as stored:
        assert str(stored["layer"]) == "inc"
    with pytest.raises(UsageError, match=r"eval.saliency_layer='imc': .*did you mean 'inc'"):
        check_saliency_layer(make_config(fields | {"eval.saliency_layer": "imc"}))


def test_errors_are_one_line_and_leave_the_file(workdir, test_sets, written, tmp_path):
    before = (workdir / "saliency.npz").read_bytes()
    with pytest.raises(UsageError, match=r"layer='down9': must be one of .*did you mean 'down"):
        write_saliency(workdir, test_sets, layer="down9")
    with pytest.raises(UsageError, match=r"tolerance=-1: must be"):
        write_saliency(workdir, test_sets, tolerance=-1)
    assert (workdir / "saliency.npz").read_bytes() == before
    (tmp_path / "checkpoints").symlink_to(workdir / "checkpoints")
    storage.write_with_digest(tmp_path / "config.json", {"data": {"classes": CLASSES}})
    with pytest.raises(JaxsegError, match="no cell is done; run the grid's command again"):
        write_saliency(tmp_path, test_sets)
