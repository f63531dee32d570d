import csv
import json
import shutil

import numpy as np
import pytest

import jaxseg
from jaxseg.data.prepare import prepare_views
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import workdir as files
from jaxseg.grid.checkpoints import find_cells
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import product

GRID = product(padding=("zeros", "reflect"), crop=("center", "random"), seed=(0,))


def _counts(workdir):
    stored = {}
    for path in sorted((workdir / "counts").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            stored |= {f"{path.stem}/{name}": arrays[name] for name in arrays.files}
    return stored


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "undisturbed"


@pytest.fixture
def done(finished, tiny_config):
    if not finished.exists():
        run_grid(tiny_config, GRID, finished)
    return finished


def test_a_run_leaves_every_file_and_every_cell(done):
    with (done / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == [
        "zeros-center-s0", "zeros-random-s0", "reflect-center-s0", "reflect-random-s0",
    ]  # fmt: skip
    assert {row["status"] for row in rows} == {"done"}
    about = json.loads((done / "config.json").read_text())
    assert list(about["axes"]) == ["net.padding", "data.crop"]
    assert about["data"]["n_train"] == 16 and about["data"]["n_test"] == 6
    metrics = [json.loads(line) for line in (done / "metrics.jsonl").read_text().splitlines()]
    assert {(m["cell"], m["epoch"]) for m in metrics} == {(r["cell"], e) for r in rows
                                                          for e in range(3)}  # fmt: skip
    assert all(m["val_loss"] is not None for m in metrics)


def test_counts_add_up_to_the_truth(done, tiny_config, cache):
    truth = prepare_views("lesion_phantoms", "test[:6]", size=32, views=["quarter"],
                          data_dir=cache)["quarter"].masks  # fmt: skip
    for name, counts in _counts(done).items():
        if "quarter" not in name or "image" in name:
            continue
        assert counts.shape[0] == 24 and counts.shape[2:] == (1, 3)
        tp, _, fn = np.moveaxis(counts.sum(1)[:, 0], -1, 0)
        np.testing.assert_array_equal(tp + fn, (truth > 0).sum((2, 3)).reshape(-1))


def test_the_same_run_again_is_bit_identical(done, tiny_config, tmp_path):
    run_grid(tiny_config, GRID, tmp_path / "again")
    expected = _counts(done)
    assert len(expected) == 4 * 7
    for name, values in _counts(tmp_path / "again").items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_an_interrupted_grid_resumes_to_the_same_counts(done, tiny_config, tmp_path, monkeypatch):
    workdir, real, calls = tmp_path / "interrupted", files.append_metrics, []

    def interrupt(*args):
        calls.append(1)
        if len(calls) in (3, 5):
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(files, "append_metrics", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_grid(tiny_config, GRID, workdir)
    run_grid(tiny_config, GRID, workdir)
    assert len(calls) < 12  # 6 epochs undisturbed, and what two interruptions cost
    expected = _counts(done)
    for name, values in _counts(workdir).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == len({(r["cell"], r["epoch"]) for r in rows}) == 12


def test_a_finished_grid_is_not_trained_again(done, tiny_config):
    before = {p: p.stat().st_mtime_ns for p in (done / "counts").iterdir()}
    run_grid(tiny_config, GRID, done)
    assert before == {p: p.stat().st_mtime_ns for p in (done / "counts").iterdir()}


def test_a_workdir_of_other_settings_is_refused_by_name(done, tiny_config):
    tiny_config["optim"]["epochs"] = 5
    with pytest.raises(UsageError, match=r"optim.epochs \(3 there, 5 here\)"):
        run_grid(tiny_config, GRID, done)
    tiny_config["optim"]["epochs"] = 3
    with pytest.raises(
        UsageError, match=r"the grid \(4 cells there, 1 here; .*zeros-center-s0 is missing"
    ):
        run_grid(tiny_config, GRID[:1], done)
    with pytest.raises(UsageError, match="zeros-center-s0 is missing or differs here"):
        run_grid(tiny_config, [cell | {"batch_size": 8} for cell in GRID], done)


def test_a_grid_that_grows_trains_what_is_new_alone(done, tiny_config, tmp_path):
    grown = [*GRID, GRID[0] | {"seed": 1}]
    workdir = tmp_path / "grown"
    shutil.copytree(done, workdir)
    before = {p: p.stat().st_mtime_ns for p in (workdir / "counts").iterdir()}
    run_grid(tiny_config, grown, workdir)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in workdir.glob("counts/*")}.items()
    assert len(list(workdir.glob("counts/*"))) == len(json.loads(
        (workdir / "config.json").read_text())["grid"]) == 5  # fmt: skip
    assert len((workdir / "cells.csv").read_text().splitlines()) == 6
    run_grid(tiny_config, grown, tmp_path / "anew")
    for name, values in _counts(tmp_path / "anew").items():
        np.testing.assert_array_equal(values, _counts(workdir)[name])


def test_a_loaded_cell_predicts_what_was_counted(done):
    predict, config = jaxseg.load_cell(done, "reflect-random-s0")
    assert config.net.padding == "reflect" and config.data.crop == "random"
    with np.load(done / "examples.npz") as examples, \
            np.load(done / "counts" / "reflect-random-s0.npz") as counts:  # fmt: skip
        differing = predict(examples["image"]) != counts["examples.prediction"]
    assert differing.mean() < 0.002  # the padding is static here and data there


def test_a_batch_that_cannot_be_filled_is_refused_before_the_first_group_is_trained(
    tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("jaxseg.grid.run.compile_step", lambda _: pytest.fail("compiled"))
    with pytest.raises(
        UsageError, match=r"optim\.batch_size=99: must be from 1 to the 16 training"
    ):
        run_grid(tiny_config, product(batch_size=(4, 99)), tmp_path / "run")


def test_checkpoints_say_what_they_hold(done, tmp_path):
    cells = find_cells(done)
    assert set(cells) == {f"{p}-{c}-s0" for p in ("zeros", "reflect") for c in ("center", "random")}
    assert all(meta["kind"] == "variables" for _, _, meta in cells.values())
    with pytest.raises(UsageError, match="did you mean 'zeros-center-s0'"):
        jaxseg.load_cell(done, "zeros-centre-s0")
    with pytest.raises(JaxsegError, match="holds no checkpoints"):
        jaxseg.load_cell(tmp_path, "zeros-center-s0")
