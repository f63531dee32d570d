"""Runs of the fault table: a grid of seconds, its faults, what it says and what it counts."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from kill_trial import LIMIT_S, ROOT, read_counts

HERE = pathlib.Path(__file__).parent
EPOCHS = 4
SMALL = [
    "--config", "configs/padding_ablation.py:quick", "--config.net.width=2",
    "--config.net.depth=1", "--config.optim.learning_rate=0.03", "--config.optim.batch_size=8",
    f"--config.optim.epochs={EPOCHS}", "--config.run.checkpoint_epochs=1",
    "--config.eval.resamples=100", "--config.data.train_split=train[:16]",
    "--config.data.val_split=validation[:4]", "--config.data.test_split=test[:4]",
    "--grid", "padding=zeros", "--grid", "crop=center",
]  # fmt: skip
TWO_CELLS = [*SMALL, "--grid", "seed=0:2"]
# What a run says of its way; all else that it says on stderr is a message to the user.
PROGRESS = (
    "compiling",
    "masks: ",
    "reading",
    "looking",
    "training:",
    "preparing",
    "writing the report",
    "waiting:",
)


class Ended(NamedTuple):
    """An ended run: exit code and what it said of anything but its progress, line by line."""

    code: int
    said: list[str]


def launch(
    arguments: list[str], cache: pathlib.Path, fault: dict[str, Any] | None = None,
    script: str = "grid.py",
) -> subprocess.Popen:  # fmt: skip
    """Starts a script of launch/ through the driver."""
    told = json.dumps(fault or {})
    environment = {**os.environ, "JAXSEG_CACHE": str(cache), "JAXSEG_FAULT": told}
    command = [sys.executable, str(HERE / "driver.py"), f"launch/{script}", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def ended(process: subprocess.Popen) -> Ended:
    """Waits for a run."""
    _, err = process.communicate(timeout=LIMIT_S)
    said = [line for line in err.splitlines() if line and not line.startswith(PROGRESS)]
    return Ended(process.returncode, said)


class Home(NamedTuple):
    """A temporary folder with a filled cache and what an undisturbed run has counted."""

    folder: pathlib.Path
    expected: dict[str, np.ndarray]

    @property
    def cache(self) -> pathlib.Path:
        return self.folder / "cache"

    def new(self, name: str) -> pathlib.Path:
        """A new folder."""
        path = self.folder / name.replace(" ", "_").replace("/", "_")
        path.mkdir()
        return path

    def run(
        self, workdir: pathlib.Path, fault: dict[str, Any] | None = None,
        cache: pathlib.Path | None = None, data: pathlib.Path | None = None,
        arguments: list[str] = TWO_CELLS,
    ) -> Ended:  # fmt: skip
        """The grid on a workdir, to its end; with another cache of programs, or of data.

        JAX finds no program again in a cache that has been copied.
        """
        words = [*arguments, "--workdir", str(workdir)]
        words += [f"--config.data.data_dir={data or self.cache}"]
        return ended(launch(words, cache or self.cache, fault))

    def data(self, name: str, without: str = "compiled") -> pathlib.Path:
        """A copy of the prepared data and of what it is made from, or of the latter alone."""
        leave = shutil.ignore_patterns("compiled", without)
        return shutil.copytree(self.cache, self.folder / name, ignore=leave, dirs_exist_ok=True)

    def equal(self, workdir: pathlib.Path) -> bool:
        """Whether a workdir holds the undisturbed counts, bit by bit."""
        return same(read_counts(workdir), self.expected)

    def finished(self, name: str) -> pathlib.Path:
        """A copy of the undisturbed workdir."""
        return shutil.copytree(self.folder / "undisturbed", self.folder / name)

    def half(self, name: str) -> pathlib.Path:
        """A copy of a workdir whose run was killed in its second epoch."""
        return shutil.copytree(self.folder / "half", self.folder / name)


def same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    """Whether the arrays are the same by name, bit by bit, and there are any."""
    names = got.keys() == expected.keys()
    return bool(got) and names and all(np.array_equal(got[n], expected[n]) for n in got)


IN_TRAINING = {"at": "jaxseg.grid.interrupt:requested", "call": 4}


def make_home(folder: pathlib.Path) -> Home:
    """Runs the grid undisturbed, and once killed in training; SystemExit if that does not do."""
    home = Home(folder, {})
    first = home.run(folder / "undisturbed")
    killed = home.run(folder / "half", IN_TRAINING | {"do": "kill"})
    if first != (0, []) or killed.code != -9:
        sys.exit(f"the undisturbed runs ended with {first} and {killed}")
    return home._replace(expected=read_counts(folder / "undisturbed"))


def may_mount() -> bool:
    """Whether this process may mount file systems."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, megabytes: int = 8) -> Iterator[None]:
    """A file system in memory on a folder."""
    size = ["-o", f"size={megabytes}m"]
    subprocess.run(["mount", "-t", "tmpfs", *size, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def cut(path: pathlib.Path, share: float = 0.5) -> None:
    """Keeps the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def flip(path: pathlib.Path, share: float = 0.5) -> None:
    """Changes one bit in the middle of a file, or where its first part ends."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 1
    path.write_bytes(content)


DAMAGES = {"truncated": cut, "one byte flipped": flip}
