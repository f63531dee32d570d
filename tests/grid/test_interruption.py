"""Signals, diverging cells and memory: what a run keeps, and that it ends where it would have."""

import os
import signal
import time

import jax
import numpy as np
import pytest
from run_oracles import PAIR, assert_equal, read_counts, read_metrics, read_rows

from jaxseg.errors import Interrupted, JaxsegError
from jaxseg.grid import checkpoints, chunk, group, interrupt, loading, run
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import product


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
    assert_equal(read_counts(tmp_path), read_counts(undisturbed))
    assert read_metrics(tmp_path) == read_metrics(undisturbed)


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
    assert_equal(read_counts(tmp_path), read_counts(undisturbed))
    losses = [
        {n: r["train_loss"] for n, r in read_rows(w).items()} for w in (tmp_path, undisturbed)
    ]
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
    grid = product(learning_rate=(1e30, 5e-2))
    run_grid(tiny_config, grid, tmp_path)
    expected = read_counts(undisturbed)
    assert_equal(
        read_counts(tmp_path), {n: v for n, v in expected.items() if n.startswith("0.05-")}
    )
    rows = read_rows(tmp_path)
    assert rows["0.05-s0"]["status"] == "done"
    bad = rows["1e+30-s0"]
    tree, meta = checkpoints.restore_cell(tmp_path, "1e+30-s0")
    step = meta["diverged_at"][0]
    assert 0 <= step < 4 and meta["diverged_at"][1] == -1
    assert bad["status"] == "diverged" and f"at step {step}" in bad["message"]
    assert bad["epochs"] == "0" and bad["train_loss"] == ""
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
    assert [m["loss"] for m in read_metrics(tmp_path) if m["cell"] == "1e+30-s0"] == [None]
    with pytest.raises(JaxsegError, match=f"diverged at step {step}"):
        loading.load_cell(tmp_path, "1e+30-s0")
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
    assert_equal(read_counts(tmp_path), read_counts(undisturbed))


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
