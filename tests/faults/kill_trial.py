"""Ends a grid at random moments and compares what the next run finishes with an undisturbed one.

    python tests/faults/kill_trial.py --kills 20
    python tests/faults/kill_trial.py --kills 20 --signal TERM
    python tests/faults/kill_trial.py --kills 3 -- --config.optim.epochs=3 --grid seed=0:1

What stands behind `--` goes to launch/grid.py, which runs configs/padding_ablation.py:quick. Data
and compiled programs are kept in one cache, so that moments fall into training more than into
compiling. Exit code 0 when every trial ends with the undisturbed counts.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
LIMIT_S = 1200


class Trial(NamedTuple):
    """One ended run: when, its exit code, cells finished then, and how the next run ended."""

    moment_s: float
    code: int
    finished: int
    stage: str
    survivors: bool
    equal: bool


def start(workdir: pathlib.Path, cache: pathlib.Path, extra: list[str]) -> subprocess.Popen:
    """The grid in a process group of its own, its words in `workdir`.log."""
    command = [sys.executable, str(ROOT / "launch/grid.py"), "--workdir", str(workdir)]
    command += ["--config", "configs/padding_ablation.py:quick", *extra]
    with workdir.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "JAXSEG_CACHE": str(cache)},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def finish(workdir: pathlib.Path, cache: pathlib.Path, extra: list[str]) -> float:
    """Runs the grid to its end and returns the seconds; SystemExit with its words if it fails."""
    clock = time.monotonic()
    if start(workdir, cache, extra).wait(LIMIT_S):
        sys.exit(f"{workdir}: did not finish\n" + workdir.with_suffix(".log").read_text())
    return time.monotonic() - clock


def read_counts(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Every stored array by file and name."""
    stored = {}
    for path in sorted((workdir / "counts").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            stored |= {f"{path.stem}/{name}": arrays[name] for name in arrays.files}
    return stored


def group_is_alive(group: int) -> bool:
    """Whether any process of a group is left, a second after its leader was ended."""
    for _ in range(10):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def try_once(
    home: pathlib.Path, extra: list[str], expected: dict, moment: float, signum: int, name: str
) -> Trial:
    """Ends one run after `moment` seconds, finishes it and compares its counts with `expected`."""
    workdir = home / name
    process = start(workdir, home / "cache", extra)
    try:
        code = process.wait(moment)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signum)
        code = process.wait(LIMIT_S)
    survivors = group_is_alive(process.pid)
    finished = len(list((workdir / "counts").glob("*.npz")))
    checkpoints = list((workdir / "checkpoints").glob("*/*/meta"))
    stage = "training" if checkpoints else "before the first checkpoint"
    if finished == len({key.split("/")[0] for key in expected}):
        stage = "report"
    finish(workdir, home / "cache", extra)
    got = read_counts(workdir)
    equal = got.keys() == expected.keys() and all(
        np.array_equal(values, expected[key]) for key, values in got.items()
    )
    return Trial(moment, code, finished, stage, survivors, equal)


def run_trials(
    home: pathlib.Path, kills: int, extra: list[str], signum: int, seed: int = 0
) -> list[Trial]:
    """`kills` trials at moments spread evenly at random over the time an undisturbed run takes."""
    finish(home / "first", home / "cache", extra)  # fills the cache
    total = finish(home / "undisturbed", home / "cache", extra)
    expected = read_counts(home / "undisturbed")
    assert expected, "the undisturbed run left no counts"
    rng = random.Random(seed)
    moments = [(i + rng.random()) / kills * total for i in range(kills)]
    trials = []
    for i, moment in enumerate(moments):
        trials.append(try_once(home, extra, expected, moment, signum, f"trial{i}"))
        print(f"{i + 1}/{kills} of {total:.1f} s: {trials[-1]}", flush=True)
        shutil.rmtree(home / f"trial{i}")
    return trials


def main() -> None:
    """Prints every trial and the total."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("extra", nargs="*", help="further arguments of launch/grid.py")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        trials = run_trials(
            pathlib.Path(home), args.kills, args.extra, signal.Signals[f"SIG{args.signal}"],
            args.seed,
        )  # fmt: skip
    good = sum(trial.equal and not trial.survivors for trial in trials)
    print(f"{good} of {len(trials)} ended with the undisturbed counts and left no process")
    sys.exit(good != len(trials))


if __name__ == "__main__":
    main()
