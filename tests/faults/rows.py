"""Rows of the fault table that end or hinder a run: kills, disks, data, clock, rivals."""

import pathlib
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from kill_trial import read_counts
from runs import IN_TRAINING, TWO_CELLS, Ended, Home, launch, may_mount, same, small_disk
from runs import ended as wait_for

NEEDS_ROOT = "skipped: needs root"


class Row(NamedTuple):
    """A line of the table; `counts` says whether they are the undisturbed ones, `good` all."""

    fault: str
    said: str
    next_run: str
    counts: str
    good: bool


def make_row(fault: str, said: str, after: Ended, equal: bool, good: bool) -> Row:
    """The row of a fault whose next run has ended."""
    told = ": " + after.said[-1] if after.said else ""
    next_run = f"ends{told}" if after.code == 0 else f"exit {after.code}{told}"
    return Row(fault, said, next_run, "yes" if equal else "NO", good and equal and not after.code)


def told(ended: Ended) -> str:
    """The last thing that a run said, and its exit code."""
    if ended.code == -9:
        return "Killed"
    return f"{ended.said[-1] if ended.said else 'nothing'} (exit {ended.code})"


def is_one_line(ended: Ended, code: int = 1) -> bool:
    """Whether a run ended with one line that says why."""
    return ended.code == code and len(ended.said) == 1


class Stage(NamedTuple):
    """A place in a run, and what must not be cached for it to be reached: programs or data."""

    fault: dict[str, Any]
    cold: str = ""


STAGES = {
    "preparation": Stage({"at": "jaxseg.data.store:StoreWriter.append", "call": 9}, "data"),
    "compile": Stage({"at": "jax.stages:Lowered.compile", "call": 1}, "cache"),
    "training": Stage(IN_TRAINING),
    "checkpoint write": Stage({"at": "rename:/1.orbax-checkpoint-tmp", "call": 1}),
    "evaluation": Stage({"at": "jaxseg.grid.storage:write_arrays", "call": 3}),
    "report": Stage({"at": "jaxseg.report.export:write_bytes", "call": 2}),
}


def _cold(home: Home, stage: Stage, name: str) -> dict[str, pathlib.Path]:
    """The folder that lacks what the stage makes, as an argument of `Home.run`."""
    if stage.cold == "data":
        return {"data": home.data(name, "prepared")}
    return {"cache": home.folder / name} if stage.cold else {}


def killed(name: str, home: Home) -> Row:
    """SIGKILL at a stage."""
    fault, stage = f"SIGKILL during {name}", STAGES[name]
    workdir = home.new(fault)
    cold = _cold(home, stage, f"cache {name}")
    kind = "kill_soon" if name == "compile" else "kill"
    first = home.run(workdir, stage.fault | {"do": kind}, **cold)
    after = home.run(workdir, **cold)
    good = first == (-9, []) and after.said == []
    return make_row(fault, told(first), after, home.equal(workdir), good)


def full(name: str, home: Home) -> Row:
    """A disk that is full from a stage on; later there is room again."""
    fault, stage = f"disk full at {name}", STAGES[name]
    if not may_mount():
        return Row(fault, NEEDS_ROOT, "", "", True)
    workdir, own = home.new(fault), home.new(f"small disk {name}")
    disk = own if stage.cold else workdir
    with small_disk(disk, 48 if stage.cold else 8):
        cold = _cold(home, stage, own.name)
        first = home.run(workdir, stage.fault | {"do": "fill", "folder": str(disk)}, **cold)
        (disk / "ballast").unlink()
        after = home.run(workdir, **cold)
        # A program that cannot be kept is said, and no reason to stop.
        good = is_one_line(first, 0 if name == "compile" else 1) and after.said == []
        return make_row(fault, told(first), after, home.equal(workdir), good)


def read_only(home: Home) -> Row:
    """A workdir that may not be written: a mount where root asks, whom permissions do not stop."""
    fault = "read-only workdir"
    workdir = home.new(fault)
    half = home.half("half for read-only")
    if not may_mount():
        shutil.copytree(half, workdir, dirs_exist_ok=True)
        _set_writable(workdir, False)
        first = home.run(workdir)
        _set_writable(workdir, True)
        after = home.run(workdir)
        return make_row(fault, told(first), after, home.equal(workdir), is_one_line(first))
    with small_disk(workdir):
        shutil.copytree(half, workdir, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(workdir)], check=True)
        first = home.run(workdir)
        subprocess.run(["mount", "-o", "remount,rw", str(workdir)], check=True)
        after = home.run(workdir)
        return make_row(fault, told(first), after, home.equal(workdir), is_one_line(first))


def _set_writable(folder: pathlib.Path, wanted: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IWUSR if wanted else mode & ~stat.S_IWUSR)


def _draw_images(root: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 4)):
        for i in range(count):
            mask = np.zeros((40, 48), np.uint8)
            cv2.ellipse(mask, (24, 20), (8 + i % 5, 6 + i % 4), 9 * i, 0, 360, 255, -1)
            noise = rng.integers(0, 60, (40, 48, 3), np.uint8)
            for kind, pixels in (("images", noise + mask[..., None] // 2), ("masks", mask)):
                path = root / part / kind / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels)


def changed_data(home: Home) -> Row:
    """An image that is another one when a run is resumed, and then the old one again."""
    root, workdir, own = home.new("images"), home.folder / "changed data", home.new("prepared")
    _draw_images(root)
    words = [*TWO_CELLS, "--config.data.name=folders", f"--config.data.manual_dir={root}"]
    words += [f"--config.data.{k}_split={v}" for k, v in
              (("train", "train"), ("val", ""), ("test", "test"))]  # fmt: skip
    alone = home.run(home.folder / "undisturbed images", data=own, arguments=words)
    home.run(workdir, IN_TRAINING | {"do": "kill"}, data=own, arguments=words)
    image = root / "train" / "images" / "3.png"
    before = image.read_bytes()
    pixels = cv2.imread(str(image))
    cv2.imwrite(str(image), 255 - pixels)
    first = home.run(workdir, data=own, arguments=words)
    image.write_bytes(before)
    after = home.run(workdir, data=own, arguments=words)
    equal = same(read_counts(workdir), read_counts(home.folder / "undisturbed images"))
    good = alone.code == 0 and is_one_line(first) and "other images" in first.said[0]
    return make_row("an image changed before a resumed run", told(first), after, equal, good)


def clock_back(home: Home) -> Row:
    """A killed run resumed by a machine whose clock is a year behind."""
    workdir = home.half("clock set back")
    first = home.run(workdir, {"clock": -365 * 86400.0})
    after = home.run(workdir)
    good = first == (0, []) and after.said == []
    return make_row("clock set back by a year", told(first), after, home.equal(workdir), good)


def two_runs(home: Home) -> Row:
    """A second run of the same command while the first is held in training."""
    workdir, sign = home.new("two runs"), home.folder / "sign"
    pause = IN_TRAINING | {"do": "pause", "sign": str(sign)}
    first = launch([*TWO_CELLS, "--workdir", str(workdir)], home.cache, pause)
    while not sign.exists() and first.poll() is None:
        time.sleep(0.05)
    second = home.run(workdir)
    sign.unlink()
    after = wait_for(first)
    epochs = (workdir / "metrics.jsonl").read_text().splitlines()
    good = is_one_line(second) and after.said == [] and len(epochs) == len(set(epochs)) == 8
    return make_row("two runs on one workdir", told(second), after, home.equal(workdir), good)


ROWS: dict[str, Callable[[Home], Row]] = {
    **{f"SIGKILL during {name}": partial(killed, name) for name in STAGES},
    **{f"disk full at {name}": partial(full, name) for name in STAGES},
    "read-only workdir": read_only,
    "an image changed before a resumed run": changed_data,
    "clock set back by a year": clock_back,
    "two runs on one workdir": two_runs,
}
