"""How a run can end, through the real entry point: signals, kills and a full disk."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from kill_trial import ROOT, finish, read_counts, run_trials, start

SMALL = ["--config.net.width=2", "--config.net.depth=2", "--config.optim.learning_rate=0.03",
         "--config.optim.epochs=6", "--config.run.checkpoint_epochs=1",
         "--config.eval.resamples=100", "--grid", "padding=zeros", "--grid",
         "seed=0:1"]  # fmt: skip


def _wait_for(log: pathlib.Path, word: str, process: subprocess.Popen) -> None:
    while word not in (log.read_text() if log.exists() else ""):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_with_the_undisturbed_counts(tmp_path):
    trials = run_trials(tmp_path, 2, SMALL, signal.SIGKILL)
    assert all(trial.equal and not trial.survivors for trial in trials)
    assert trials[0].code == -signal.SIGKILL
    expected = read_counts(tmp_path / "undisturbed")
    assert any(v[..., 0].any() for name, v in expected.items() if name.endswith(".centre"))


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_while_compiling_ends_promptly_with_the_command_that_resumes(signum, tmp_path):
    process = start(tmp_path / "run", tmp_path / "cache", SMALL)
    _wait_for(tmp_path / "run.log", "compiling", process)
    process.send_signal(signum)
    clock = time.monotonic()
    assert process.wait(60) == 128 + signum
    assert time.monotonic() - clock < 30
    last = (tmp_path / "run.log").read_text().splitlines()[-1]
    assert last.startswith("grid.py: interrupted. Finished work is kept; to resume: python ")
    assert f"--workdir {tmp_path / 'run'}" in last and last.endswith("--grid seed=0:1")
    assert "Traceback" not in (tmp_path / "run.log").read_text()


SLEEPER = """
import sys, time
from jaxseg.grid import interrupt
with interrupt.handled("last words"):
    try:
        with interrupt.deferred():
            print("ready", flush=True)
            time.sleep(60)
    finally:
        print("unwound")
"""


def test_a_second_signal_ends_at_once():
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err == "last words\n" and "unwound" not in out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.slow
def test_a_full_disk_is_one_line_on_stderr_and_the_next_run_finishes(tmp_path):
    run, log = tmp_path / "run", tmp_path / "run.log"
    run.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(run)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        process = start(run, tmp_path / "cache", [*SMALL, "--config.optim.epochs=60"])
        while not list((run / "checkpoints").glob("*/*/meta")):
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        fill = ["dd", "if=/dev/zero", f"of={run}/ballast", "bs=4k"]
        assert subprocess.run(fill, capture_output=True).returncode
        assert process.wait(400) == 1
        words = [w for w in log.read_text().splitlines() if not w.startswith(("comp", "training"))]
        assert len(words) == 1 and words[0].startswith(f"grid.py: error: {run}/"), words
        assert "disk or quota full" in words[0]
        (run / "ballast").unlink()
        finish(run, tmp_path / "cache", [*SMALL, "--config.optim.epochs=60"])
        assert len(read_counts(run)) > 0
    finally:
        subprocess.run(["umount", str(run)], check=True)
