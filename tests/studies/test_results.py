import json
import shutil

import numpy as np
import pytest
from fake_workdir import TWO_BY_TWO, fake_workdir

from jaxseg.errors import JaxsegError
from jaxseg.studies import position
from jaxseg.studies import results as r
from jaxseg.studies.grid_report import write_findings
from jaxseg.studies.position.measures import contrasts
from jaxseg.studies.workdir_files import load


@pytest.fixture
def workdir(tmp_path):
    return fake_workdir(tmp_path, seeds=3, images=8, diverged=["zeros-random-s1"])


def test_arms_stand_in_grid_order_not_in_file_order(workdir):
    path = workdir / "cells.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    expected = [f"{p}/{c}" for p in TWO_BY_TWO["net.padding"] for c in TWO_BY_TWO["data.crop"]]
    assert load(workdir).arms == expected


def test_unfinished_cells_are_named_and_take_no_part(workdir):
    results = load(workdir)
    assert [cell.name for cell in results.left_out] == ["zeros-random-s1"]
    assert results.seeds["zeros/random"] == (0, 2)
    assert results.common_seeds(["zeros/random", "zeros/center"]) == (0, 2)
    assert results.counts("zeros/random", "quarter", "border").shape == (2, 32, 4, 1, 3)


def test_counts_are_stacked_by_seed(workdir):
    results = load(workdir)
    stacked = results.counts("reflect/center", "full", "centre")
    assert len(stacked) == len(results.seeds["reflect/center"]) > 1
    for k, seed in enumerate(results.seeds["reflect/center"]):
        with np.load(workdir / "counts" / f"reflect-center-s{seed}.npz") as stored:
            np.testing.assert_array_equal(stacked[k], stored["full.centre"])


def test_clusters_join_the_quarters_of_an_image(workdir):
    image = load(workdir).clusters("quarter")
    np.testing.assert_array_equal(np.bincount(image), np.full(8, 4))


def test_probe_falls_back_to_what_was_tested(tmp_path):
    assert load(fake_workdir(tmp_path / "a", seeds=1, images=4)).probe == "quarter"
    only_full = fake_workdir(tmp_path / "b", seeds=1, images=4, test_sets=("full",))
    assert load(only_full).probe == "full"


def test_a_resumed_run_keeps_the_last_of_two_equal_steps_and_a_cut_line_is_dropped(workdir):
    path = workdir / "metrics.jsonl"
    again = {"cell": "zeros-center-s0", "epoch": 0, "step": 20, "loss": 9.0}
    path.write_text(path.read_text() + json.dumps(again) + '\n{"cell": "zeros-cen')
    curve = load(workdir).curves["zeros-center-s0"]
    assert [row["step"] for row in curve] == sorted({row["step"] for row in curve})
    assert curve[0]["loss"] == 9.0


@pytest.mark.parametrize("name", ["config.json", "cells.csv"])
def test_a_missing_file_is_named(workdir, name):
    (workdir / name).unlink()
    with pytest.raises(JaxsegError, match=name):
        load(workdir)


def test_no_finished_cell_is_an_error_that_names_the_state(tmp_path):
    cells = [f"{p}-{c}-s0" for p in TWO_BY_TWO["net.padding"] for c in TWO_BY_TWO["data.crop"]]
    workdir = fake_workdir(tmp_path, seeds=1, images=4, diverged=cells[:2], pending=cells[2:])
    with pytest.raises(JaxsegError, match=r"no cell is done .*zeros-center-s0 diverged"):
        load(workdir)


def test_damaged_counts_are_named(workdir):
    results = load(workdir)
    (workdir / "counts" / "reflect-random-s2.npz").write_bytes(b"not a zip file")
    with pytest.raises(JaxsegError, match=r"reflect-random-s2\.npz: damaged"):
        results.counts("reflect/random", "full", "centre")


def test_cells_scored_on_different_items_are_refused(workdir, tmp_path):
    other = fake_workdir(tmp_path / "other", seeds=1, images=5)
    name = "counts/zeros-center-s0.npz"
    shutil.copy(other / name, workdir / name)
    with pytest.raises(JaxsegError, match="same items"):
        load(workdir).counts("zeros/center", "full", "border")


def in_memory(workdir):
    """The counts of a workdir as arrays, and nothing else of it."""
    stored = {}
    for cell in load(workdir).cells:
        if cell.status == "done":
            with np.load(workdir / "counts" / f"{cell.name}.npz") as file:
                found = {key: file[key] for key in file if key != "examples.prediction"}
            stored |= {(cell.arm, cell.seed, key): array for key, array in found.items()}
    known = load(workdir)
    return r.Results(
        arms=known.arms,
        seeds=known.seeds,
        settings=known.settings,
        axes=known.axes,
        test_sets=known.test_sets,
        stored=r.CountsInMemory(stored),
        scoring=known.scoring,
    )


def test_counts_in_memory_give_the_same_rows_and_a_page_without_what_is_absent(workdir, tmp_path):
    results = in_memory(workdir)
    found = position.findings(results)
    for own, of_files in zip(found.contrasts, contrasts(load(workdir)), strict=True):
        np.testing.assert_equal(own._asdict(), of_files._asdict())
    page = write_findings(tmp_path / "page", "two arms", found)
    text = page.read_text()
    assert "Comparisons" in text and "Where in the frame" in text
    for absent in ("Learning curves", "Examples", "Command:", "Cells", "All settings"):
        assert f">{absent}<" not in text


def test_an_array_that_is_not_in_memory_is_named(workdir):
    results = in_memory(workdir)
    with pytest.raises(JaxsegError, match="counts of 'zeros/center', seed 0: holds no 'random"):
        results.counts("zeros/center", "random", "border")
