"""Signals, diverging cells and memory: what a run keeps, and that it ends where it would have."""

import csv
import json
import os
import signal
import time

import jax
import numpy as np
import pytest

from jaxseg.errors import Interrupted, JaxsegError
from jaxseg.grid import checkpoints, chunk, group, interrupt, run
from jaxseg.grid.cells import product
from jaxseg.grid.run import run_grid

PAIR = product(learning_rate=(1e-2, 2e-2))  # one chunk on the two devices of the tests


def _counts(workdir):
    stored = {}
    for path in sorted((workdir / "counts").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            stored |= {f"{path.stem}/{name}": arrays[name] for name in arrays.files}
    return stored


def _rows(workdir):
    with (workdir / "cells.csv").open() as file:
        return {row["cell"]: row for row in csv.DictReader(file)}


def _metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _assert_equal(got, expected):
    assert got.keys() == expected.keys() and got
    for name, values in got.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("pair")


@pytest.fixture
def undisturbed(home, tiny_config):
    if not (home / "run").exists():
        run_grid(tiny_config, PAIR, home / "run")
    return home / "run"


def _signal_at(monkeypatch, calls, signum):
    """Sends `signum` to this process as the training steps number `calls` are fed."""
    real, fed = chunk.chunk_batches, []

    def feed(*args):
        for batch in real(*args):
            fed.append(1)
            if len(fed) in calls:
                os.kill(os.getpid(), signum)
            yield batch

    monkeypatch.setattr(chunk, "chunk_batches", feed)
    return fed


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_the_step_and_the_next_run_goes_on_from_it(
    undisturbed, tiny_config, tmp_path, monkeypatch, signum
):
    """Stopped inside an epoch, at its last step and at the very last: nothing is trained twice."""
    fed = _signal_at(monkeypatch, (2, 4, 7, 12), signum)  # 3 epochs of 4 steps
    for _ in range(4):
        with pytest.raises(Interrupted) as stopped, interrupt.handled(""):
            run_grid(tiny_config, PAIR, tmp_path)
        assert stopped.value.exit_code == 128 + signum
    run_grid(tiny_config, PAIR, tmp_path)
    assert len(fed) == 12
    _assert_equal(_counts(tmp_path), _counts(undisturbed))
    assert _metrics(tmp_path) == _metrics(undisturbed)


def test_a_finished_chunk_is_scored_without_training_again(
    undisturbed, tiny_config, tmp_path, monkeypatch
):
    fed, real = _signal_at(monkeypatch, (), signal.SIGTERM), run.record.store_counts
    monkeypatch.setattr(run.record, "store_counts", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_grid(tiny_config, PAIR, tmp_path)
    monkeypatch.setattr(run.record, "store_counts", real)
    run_grid(tiny_config, PAIR, tmp_path)
    assert len(fed) == 12
    _assert_equal(_counts(tmp_path), _counts(undisturbed))
    losses = [{n: r["train_loss"] for n, r in _rows(w).items()} for w in (tmp_path, undisturbed)]
    assert losses[0] == losses[1]


def test_outside_of_a_step_a_signal_raises_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM"), interrupt.handled(""):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("slept through the signal")
    assert signal.getsignal(signal.SIGTERM) is before and not interrupt.requested()


def test_a_signal_waits_inside_deferred_and_is_raised_on_leaving():
    with interrupt.handled(""):
        with pytest.raises(Interrupted), interrupt.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            assert interrupt.requested()
        with pytest.raises(Interrupted):
            interrupt.stop_if_requested()


def test_a_diverging_cell_is_stopped_and_its_neighbour_untouched(
    undisturbed, tiny_config, tmp_path
):
    grid = product(learning_rate=(1e-2, 1e30))
    run_grid(tiny_config, grid, tmp_path)
    expected = _counts(undisturbed)
    _assert_equal(_counts(tmp_path), {n: v for n, v in expected.items() if n.startswith("0.01-")})
    rows = _rows(tmp_path)
    assert rows["0.01-s0"]["status"] == "done"
    bad = rows["1e+30-s0"]
    tree, meta = checkpoints.restore_cell(tmp_path, "1e+30-s0")
    step = meta["diverged_at"][1]
    assert 0 <= step < 4 and meta["diverged_at"][0] == -1
    assert bad["status"] == "diverged" and f"at step {step}" in bad["message"]
    assert bad["epochs"] == "0" and bad["train_loss"] == ""
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
    assert [m["loss"] for m in _metrics(tmp_path) if m["cell"] == "1e+30-s0"] == [None]
    with pytest.raises(JaxsegError, match=f"diverged at step {step}"):
        checkpoints.load_cell(tmp_path, "1e+30-s0")
    before = (tmp_path / "cells.csv").read_bytes()
    run_grid(tiny_config, grid, tmp_path)  # it is finished: not tried again
    assert (tmp_path / "cells.csv").read_bytes() == before


def test_out_of_memory_halves_the_cells_per_device(
    undisturbed, tiny_config, tmp_path, monkeypatch, capsys
):
    tiny_config["run"]["cells_per_device"] = 2
    real = group.compile_step

    def compile_step(made):
        if made.layout.per_device > 1:
            return made._replace(step=_exhausted), 0.0
        return real(made)

    monkeypatch.setattr(run, "compile_step", compile_step)
    run_grid(tiny_config, PAIR, tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert len(said) == 1 and "with 2 cells per device" in said[0] and "going on with 1" in said[0]
    _assert_equal(_counts(tmp_path), _counts(undisturbed))


def test_one_cell_that_does_not_fit_is_one_line(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "compile_step", lambda made: (made._replace(step=_exhausted), 0.0))
    with pytest.raises(JaxsegError, match=r"lower optim\.batch_size=4, net\.width=2 or data\.size"):
        run_grid(tiny_config, PAIR, tmp_path)
    monkeypatch.setattr(run, "compile_step", lambda made: (made._replace(step=_broken), 0.0))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        run_grid(tiny_config, PAIR, tmp_path)


def _exhausted(*args):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17 bytes.")


def _broken(*args):
    raise jax.errors.JaxRuntimeError("INTERNAL: something else")
