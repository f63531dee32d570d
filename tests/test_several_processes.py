"""Two real processes on one workdir against one process on another: the same counts, bit by bit."""

import csv
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
TINY = [
    "--config", "configs/padding_ablation.py:quick", "--grid", "padding=zeros,reflect",
    "--grid", "crop=center", "--grid", "seed=0:2", "--config.data.size=16",
    "--config.data.train_split=train[:16]", "--config.data.val_split=validation[:4]",
    "--config.data.test_split=test[:4]", "--config.net.width=2", "--config.net.depth=2",
    "--config.net.upsampling=nearest", "--config.optim.epochs=2", "--config.optim.batch_size=8",
    "--config.eval.ring_width=16", "--config.eval.border_px=2", "--config.eval.resamples=100",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


def _start(home, *arguments, launcher=(sys.executable, "launch/grid.py"), **environment):
    command = [*launcher, *TINY, *map(str, arguments)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "SLURM_"))}
    environment = clean | {"JAXSEG_CACHE": str(home / "cache")} | environment
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _end(process):
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def alone(home):
    """The workdir of one process."""
    if not (home / "alone").exists():
        _end(_start(home, "--workdir", home / "alone"))
    return home / "alone"


def _counts(workdir):
    stored = {}
    for path in sorted((workdir / "counts").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            stored |= {f"{path.stem}/{name}": arrays[name] for name in arrays.files}
    return stored


def _assert_same_results(workdir, alone):
    expected, counts = _counts(alone), _counts(workdir)
    assert counts.keys() == expected.keys() and len(expected) == 4 * 7
    for name, values in counts.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    with (workdir / "cells.csv").open() as file, (alone / "cells.csv").open() as other:
        rows, others = list(csv.DictReader(file)), list(csv.DictReader(other))
    for row, single in zip(rows, others, strict=True):
        assert row | {"wall_s": ""} == single | {"wall_s": ""} and row["status"] == "done"
    assert (workdir / "metrics.jsonl").read_text() == (alone / "metrics.jsonl").read_text()
    for name in ("summary.csv", "comparisons.csv"):
        assert (workdir / name).read_bytes() == (alone / name).read_bytes()
    assert "<html" in (workdir / "report.html").read_text()
    assert not list((workdir / "locks").glob("*.json"))


def test_two_shards_side_by_side_equal_one_process(alone, home):
    workdir = home / "shards"
    both = [_start(home, "--workdir", workdir, "--shard", f"{i}/2") for i in range(2)]
    outputs = [_end(process) for process in both]
    _assert_same_results(workdir, alone)
    assert any("report.html" in out for out in outputs)
    parts = [json.loads((workdir / f"progress/{i}-of-2.json").read_text()) for i in range(2)]
    total = json.loads((workdir / "progress.json").read_text())
    assert total["wall_s"] == max(part["wall_s"] for part in parts)
    assert total["train_s"] == pytest.approx(sum(part["train_s"] for part in parts), abs=0.02)


@pytest.mark.slow
def test_one_shard_after_the_other_reports_last_and_resumes(alone, home):
    workdir = home / "array"
    first = _end(_start(home, "--workdir", workdir, "--shard", "1/2"))
    assert first == "2 of 4 cells are missing; the last process writes the report\n"
    assert not (workdir / "report.html").exists()
    before = {p: p.stat().st_mtime_ns for p in (workdir / "counts").iterdir()}
    # Another number of processes finishes what is missing, and no more.
    assert "report.html" in _end(_start(home, "--workdir", workdir))
    assert (
        before.items() <= {p: p.stat().st_mtime_ns for p in (workdir / "counts").iterdir()}.items()
    )
    _assert_same_results(workdir, alone)


def test_processes_of_a_launcher_equal_one_process(alone, home):
    workdir = home / "distributed"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "JAXSEG_DISTRIBUTED": "1",
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": "2",
    }
    both = [_start(home, "--workdir", workdir, **common, JAX_PROCESS_ID=str(i)) for i in range(2)]
    outputs = [_end(process) for process in both]
    _assert_same_results(workdir, alone)
    assert any("report.html" in out for out in outputs)
    about = json.loads((workdir / "config.json").read_text())["environment"]
    assert about["device"].startswith("2 processes with each ")


@pytest.mark.slow
def test_a_slurm_array_equals_one_process(alone, home):
    workdir, stubs = home / "slurm", home / "bin"
    stubs.mkdir()
    (stubs / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    (stubs / "srun").chmod(0o755)
    (stubs / "python").symlink_to(sys.executable)
    both = [
        _start(
            home, "--workdir", workdir, launcher=("bash", "launch/slurm.sbatch"),
            PATH=f"{stubs}:{os.environ['PATH']}", PYTHONPATH=f"{ROOT}:{':'.join(sys.path)}",
            SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=str(i), SLURM_ARRAY_TASK_COUNT="2",
        )
        for i in range(2)
    ]  # fmt: skip
    outputs = [_end(process) for process in both]
    _assert_same_results(workdir, alone)
    assert any("report.html" in out for out in outputs)


@pytest.mark.parametrize(
    "arguments, environment, code, message",
    [
        (["--shard", "2/2"], {}, 2, "--shard 2/2: i must be from 0 to n - 1 = 1"),
        (["--shard", "half"], {}, 2, "--shard 'half': must look like 0/4"),
        (["--shard", "0/5"], {}, 2, "5 processes: more than the 4 cells of the grid"),
        (
            [],
            {"JAXSEG_DISTRIBUTED": "1"},
            1,
            "JAXSEG_DISTRIBUTED=1: the processes did not find each other",
        ),
    ],
)
def test_mistakes_are_one_line(arguments, environment, code, message, home):
    process = _start(home, "--workdir", home / "refused", *arguments, **environment)
    _, err = process.communicate(timeout=200)
    assert process.returncode == code and message in err, err
    assert "Traceback" not in err and len(err.strip().splitlines()) == 1


def test_a_second_process_for_the_same_cells_is_refused(home):
    workdir = home / "twice"
    first = _start(home, "--workdir", workdir, "--config.optim.epochs=3000")
    try:
        for line in first.stderr:
            if "compiling" in line:
                break
        second = _start(home, "--workdir", workdir, "--config.optim.epochs=3000")
        _, err = second.communicate(timeout=200)
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 1 and f"trained by process {first.pid} on" in err
    assert len(err.strip().splitlines()) == 1
