"""Chunks with fewer cells than slots, and chunks that are other ones when a run is resumed.

Whatever the devices, the cells on each and the grid were when a run was interrupted: each step of
a cell is trained once, and the counts are those of a run that nobody disturbed.
"""

import contextlib
import os
import random
import signal
from collections import Counter
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from etils import epath
from run_oracles import assert_equal, read_counts, read_metrics, read_rows

from jaxseg.cli.inspect import describe_cells
from jaxseg.errors import Interrupted
from jaxseg.grid import checkpoints, chunk, interrupt, loading
from jaxseg.grid.cells import Cell
from jaxseg.grid.chunk import plan_chunks
from jaxseg.grid.config import Config
from jaxseg.grid.mapping import make_layout, put_cells, take_cells
from jaxseg.grid.processes import Share
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import product

STEPS = 6  # of a cell: 2 epochs of 3


def seeds(*numbers):
    """Cells of these seeds, in this order."""
    return product(seed=numbers)


@pytest.fixture
def config(tiny_config):
    """Of the smallest network; batches of 5 are never split over two devices."""
    tiny_config["data"]["val_split"] = ""
    tiny_config["net"]["depth"] = 1
    tiny_config["optim"] |= {"epochs": 2, "batch_size": 5, "select": "last"}
    tiny_config["eval"]["test_sets"] = ("full",)
    return tiny_config


@pytest.fixture(scope="module")
def _home(tmp_path_factory):
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def expected(_home, config):
    """Counts and rows of five seeds, trained one by one on one device without any disturbance."""
    workdir = _home / "run"
    if not workdir.exists():
        with devices(1):
            run_grid(config, seeds(*range(5)), workdir)
    return workdir


@contextlib.contextmanager
def devices(count):
    """Within it the machine has the first `count` of the tests' devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_devices", lambda: jax.devices()[:count])
        yield


@contextlib.contextmanager
def counted(stop_at=0):
    """Counts the steps that each cell is fed; the one number `stop_at` brings a SIGTERM."""
    real, fed, calls = chunk.chunk_batches, Counter(), []

    def feed(group, slots, *start):
        for batch in real(group, slots, *start):
            fed.update({cell.id for cell in slots})
            calls.append(1)
            if len(calls) == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "chunk_batches", feed)
        yield fed


def interrupted(config, grid, workdir, stop_at, share=Share()):  # noqa: B008
    """Runs a grid until a signal in step `stop_at` of this run; the steps that cells were fed."""
    with counted(stop_at) as fed, pytest.raises(Interrupted), interrupt.handled(""):
        run_grid(config, grid, workdir, share)
    describe_cells(epath.Path(workdir))  # no checkpoint of an interrupted run is damaged
    return fed


def finished(config, grid, workdir):
    """Runs a grid to its end; the steps that cells were fed."""
    with counted() as fed:
        assert run_grid(config, grid, workdir) == []
    lines = describe_cells(epath.Path(workdir)).splitlines()
    assert len(lines) == len(grid) and all(" finished " in line for line in lines)
    for cell, row in read_rows(workdir).items():
        if row["status"] == "done":
            loading.load_variables(workdir, cell)
    return fed


def check_same(workdir, expected, cells):
    """The counts, rows and losses of `cells` are those of the undisturbed run."""
    wanted = {n: v for n, v in read_counts(expected).items() if n.partition("/")[0] in cells}
    assert_equal(read_counts(workdir), wanted)
    for name in ("status", "epochs", "train_loss"):
        got = {cell: row[name] for cell, row in read_rows(workdir).items()}
        assert got == {cell: read_rows(expected)[cell][name] for cell in cells}
    got = {(row["cell"], row["epoch"]): row for row in read_metrics(workdir)}
    assert len(got) == len(read_metrics(workdir)) == 2 * len(cells)
    assert got.items() <= {(r["cell"], r["epoch"]): r for r in read_metrics(expected)}.items()


# devices and grid at first, step of that run at which it is stopped, then devices and grid
CASES = {
    "the last chunk of three cells on two devices": (2, (0, 1, 2), STEPS + 4, 2, (0, 1, 2)),
    "at the very last step": (2, (0, 1, 2), 2 * STEPS, 2, (0, 1, 2)),
    "then grown between its seeds": (2, (0, 2, 4), STEPS + 2, 2, (0, 1, 2, 3, 4)),
    "a first chunk grown by a first cell": (2, (1, 2), 4, 2, (0, 1, 2)),
    "then on one device": (2, (0, 1, 2), 2, 1, (0, 1, 2)),
    "then on two devices": (1, (0, 1, 2), 5, 2, (0, 1, 2)),
    "then on one device and grown": (2, (3, 1, 2), 3, 1, (0, 3, 1, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_interrupted_and_resumed_each_step_is_trained_once(case, expected, config, tmp_path):
    first, before, stop_at, then, after = CASES[case]
    with devices(first):
        fed = interrupted(config, seeds(*before), tmp_path, stop_at)
    with devices(then):
        fed += finished(config, seeds(*after), tmp_path)
    cells = [f"zeros-s{seed}" for seed in after]
    assert fed == dict.fromkeys(cells, STEPS)
    check_same(tmp_path, expected, cells)


@pytest.mark.slow
def test_interrupted_again_and_again_on_changing_devices(expected, config, tmp_path):
    """As a job that is preempted often: it ends, and no step of it is trained twice."""
    fed, grid, rng = Counter(), seeds(0, 1, 2), random.Random(0)
    for stop_at in (2, 3, 1, 4):
        with devices(rng.choice((1, 2))):
            fed += interrupted(config, grid, tmp_path, stop_at)
    with devices(2):
        fed += finished(config, grid, tmp_path)
    assert set(fed.values()) == {STEPS}
    check_same(tmp_path, expected, [*fed])
    assert len(list((tmp_path / "checkpoints").iterdir())) <= 3  # what others replaced is gone


def test_cells_of_two_processes_go_on_side_by_side_in_one(expected, config, tmp_path):
    grid = seeds(0, 1)
    with devices(1):
        fed = Counter()
        for index in range(2):
            fed += interrupted(config, grid, tmp_path, 4, Share(index, 2))
    with devices(2), counted() as rest:
        run_grid(config, grid, tmp_path)
    assert fed == dict.fromkeys(("zeros-s0", "zeros-s1"), 4) and set(rest.values()) == {2}
    check_same(tmp_path, expected, [*fed])
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert len(checkpoints.find_cells(tmp_path)) == 2 and folder.name == "zeros-s0"


@pytest.mark.slow
def test_three_cells_in_four_slots_of_one_device_go_on_one_by_one(expected, config, tmp_path):
    """As after running out of memory. Cells beside each other differ from one in rounding alone."""
    grid, counts = seeds(0, 1, 2), {}
    with devices(1):
        for workdir, stop_at in ((tmp_path / "whole", 0), (tmp_path / "halved", 4)):
            config["run"]["cells_per_device"] = 4
            fed = interrupted(config, grid, workdir, stop_at) if stop_at else Counter()
            config["run"]["cells_per_device"] = 1 if stop_at else 4
            fed += finished(config, grid, workdir)
            assert fed == dict.fromkeys((f"zeros-s{i}" for i in range(3)), STEPS)
            counts[stop_at] = read_counts(workdir)
    for name, values in counts[4].items():
        for other in (counts[0], read_counts(expected)):
            np.testing.assert_allclose(other[name], values, atol=8, err_msg=name)


def test_a_cell_that_diverges_beside_an_idle_slot(config, tmp_path):
    grid = product(learning_rate=(1e-2, 5e-2, 1e30))
    with devices(2):
        interrupted(config, grid, tmp_path, STEPS + 2)
        finished(config, grid, tmp_path)
    status = {cell: row["status"] for cell, row in read_rows(tmp_path).items()}
    assert status == {"0.01-s0": "done", "0.05-s0": "done", "1e+30-s0": "diverged"}


def test_a_damaged_checkpoint_of_other_chunks_is_trained_anew_and_removed(
    expected, config, tmp_path, capsys
):
    with devices(2):
        interrupted(config, seeds(0, 1, 2), tmp_path, 3)
    (manifest,) = tmp_path.glob("checkpoints/*/0/state/manifest.ocdbt")
    manifest.write_bytes(b"damaged")
    with devices(1):
        fed = finished(config, seeds(0, 1, 2), tmp_path)
    assert fed == dict.fromkeys((f"zeros-s{i}" for i in range(3)), STEPS)
    assert "training zeros-s0 and the other cells of the checkpoint from" in capsys.readouterr().err
    check_same(tmp_path, expected, [*fed])


def _saved(workdir, cells, progress, classes=("lesion",)):
    """A checkpoint of `cells` whose arrays, losses and means name the cell and how far it is."""
    kind, epoch, step = progress
    values = [100.0 * cell.seed + 10 * epoch + step for cell in cells]
    position = checkpoints.Position(
        epoch, step, [values] * step, values, [cell.seed for cell in cells], [-1] * len(cells), 1.0
    )
    tree = {"params": {"w": np.outer(values, [1, 2]).astype(np.float32)}, "batch_stats": {}}
    with checkpoints.open_manager(workdir, cells) as manager:
        checkpoints.save(manager, kind, tree, position, cells, classes)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_chunks_were_saved_cells_go_on_from_their_furthest(seed, tmp_path):
    rng, workdir = random.Random(seed), epath.Path(tmp_path)
    cells = [Cell(f"c-s{i}", "c", Config(seed=i)) for i in range(rng.randint(3, 6))]
    furthest = {}
    for epoch in range(1, 4):  # three runs, each with other chunks and some of the cells
        slots, start = rng.randint(1, 4), rng.randint(0, 2)
        progress = ("variables" if epoch == 3 else "state", epoch, rng.randint(0, 1))
        _saved(workdir, cells[start : start + slots], progress)
        furthest |= {cell.id: progress for cell in cells[start : start + slots]}
    slots = rng.randint(1, 4)
    planned = plan_chunks(workdir, cells, slots)
    assert Counter(c.id for p in planned for c in p.cells) == Counter(c.id for c in cells)
    for members, saved, damaged in planned:
        assert len(members) <= slots and not damaged and len(saved) in (0, len(members))
        assert len({furthest.get(cell.id) for cell in members}) == 1
        if not saved:
            assert furthest.keys().isdisjoint(cell.id for cell in members)
            continue
        kind, epoch, step = furthest[members[0].id]
        wanted = [100.0 * cell.seed + 10 * epoch + step for cell in members]
        like = {"params": {"w": np.zeros((1, 2), np.float32)}, "batch_stats": {}}
        if kind == "variables":
            state = SimpleNamespace(variables=like)
            restored = checkpoints.restore(saved, state)
            np.testing.assert_array_equal(restored.tree["params"]["w"][:, 0], wanted)
        else:
            restored = checkpoints.restore(saved, like)
        at = restored.position
        assert (restored.kind, at.epoch, at.step) == (kind, epoch, step)
        assert at.means == wanted and at.losses == [wanted] * step
        assert at.diverged_at == [cell.seed for cell in members]
    assert [p.saved[0].progress if p.saved else () for p in planned] == sorted(
        (p.saved[0].progress if p.saved else () for p in planned), reverse=True
    )


def test_a_checkpoint_of_slots_as_older_runs_left_is_read(tmp_path):
    """Two cells in four slots, with entries for all four of them."""
    workdir, cells = epath.Path(tmp_path), [Cell(f"c-s{i}", "c", Config(seed=i)) for i in range(2)]
    four = [0.5, 0.25, 0.25, 0.25]
    position = checkpoints.Position(1, 2, [four, four], four, [-1] * 4, [-1] * 4, 1.0)
    tree = {"params": {"w": np.arange(8, dtype=np.float32).reshape(4, 2)}}
    with checkpoints.open_manager(workdir, cells) as manager:
        checkpoints.save(manager, "state", tree, position, cells, ("lesion",))
    tree, meta = checkpoints.restore_cell(tmp_path, "c-s1")
    np.testing.assert_array_equal(tree["params"]["w"], [2, 3])
    assert meta["means"] == [0.5, 0.25] and meta["stopped_at"] == [-1, -1]
    (only,) = plan_chunks(workdir, cells, 3)
    restored = checkpoints.restore(only.saved, {"params": {"w": np.zeros((3, 2), np.float32)}})
    assert restored.position.losses == [[0.5, 0.25]] * 2
    assert restored.tree["params"]["w"].shape == (2, 2)


def test_a_checkpoint_replaced_while_it_is_read_is_not_damaged(tmp_path, monkeypatch):
    workdir, cells = epath.Path(tmp_path), [Cell("c-s1", "c", Config(seed=1))]
    _saved(workdir, cells, ("variables", 1, 0))
    real, calls = checkpoints.restore_chunk, []

    def restore_chunk(folder, meta):
        if not calls:
            _saved(workdir, cells, ("variables", 2, 0))
        calls.append(1)
        return real(folder, meta)

    monkeypatch.setattr(checkpoints, "restore_chunk", restore_chunk)
    tree, meta = checkpoints.restore_cell(tmp_path, "c-s1")
    assert meta["epoch"] == 2 and tree["params"]["w"][0] == 120


@pytest.mark.parametrize("count, per_device, cells", [(1, 1, 1), (2, 1, 1), (2, 2, 3), (2, 3, 6)])
def test_cells_sent_to_slots_come_back(count, per_device, cells):
    layout = make_layout(6, 5, per_device, jax.devices()[:count])
    arrays = {"a": np.arange(2.0 * cells).reshape(cells, 2), "b": np.arange(cells)}
    sent = put_cells(layout, arrays)
    assert sent["a"].shape == (layout.slots, 2)
    assert (np.asarray(sent["b"])[cells:] == cells - 1).all()  # idle slots repeat the last cell
    jax.tree.map(np.testing.assert_array_equal, take_cells(sent, cells), arrays)


def test_what_a_kill_leaves_of_a_removed_folder_is_not_a_damaged_checkpoint(tmp_path, monkeypatch):
    workdir, cells = epath.Path(tmp_path), [Cell(f"c-s{i}", "c", Config(seed=i)) for i in range(2)]
    _saved(workdir, cells, ("state", 1, 0))
    _saved(workdir, cells[:1], ("state", 2, 0))
    first, second = (checkpoints.find_cells(tmp_path)[cell.id].folder for cell in cells)
    assert (first.name, second.name) == ("c-s0~1", "c-s0")  # the second cell still needs its own
    checkpoints.remove_superseded(workdir, [first, second])
    assert first.is_dir() and second.is_dir()
    _saved(workdir, cells[1:], ("state", 2, 0))
    with monkeypatch.context() as patch:
        patch.setattr(type(second), "rmtree", lambda *_, **__: None)
        checkpoints.remove_superseded(workdir, [first, second])
    (manifest,) = second.parent.glob("~c-s0/0/state/manifest.ocdbt")
    manifest.unlink()
    assert len(checkpoints.find_cells(tmp_path)) == 2 and not second.is_dir()
    checkpoints.remove(second)
    assert not list(second.parent.glob("~*"))
