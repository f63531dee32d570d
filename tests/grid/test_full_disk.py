"""A disk that fills in the middle of a run: one line, nothing lost, the next run ends it."""

import errno
import os
import subprocess

import pytest
from etils import epath
from run_oracles import PAIR, assert_equal, read_counts

from jaxseg.errors import JaxsegError, disk_errors
from jaxseg.grid import checkpoints, chunk, storage
from jaxseg.grid import workdir as files
from jaxseg.grid.run import run_grid


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB; only root may make one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root to mount a small file system")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def _fill(disk, leave=0):
    """Takes all space but `leave` bytes, in a file of its own."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(b"\0" * (free - leave))


def _fill_before(monkeypatch, module, name, call, disk, leave):
    """Fills the disk before the given call of `module.name`."""
    real, calls = getattr(module, name), []

    def filling(*args):
        calls.append(1)
        if len(calls) == call:
            _fill(disk, leave)
        return real(*args)

    monkeypatch.setattr(module, name, filling)


@pytest.mark.parametrize(
    "module, name, call, leave, named, trained_again",
    [
        (checkpoints, "save", 2, 0, "run/checkpoints/0.01-s0", 8),
        (checkpoints, "save", 2, 24 * 1024, "run/checkpoints/0.01-s0", 8),
        (storage, "write_arrays", 2, 0, "run/counts/0.01-s0.npz", 0),
        (storage, "write_arrays", 3, 0, "run/counts/0.05-s0.npz", 0),
    ],
    ids=["checkpoint", "middle of a checkpoint", "counts", "counts of the second cell"],
)
def test_a_full_disk_is_one_line_and_the_next_run_finishes(
    small_disk, undisturbed, tiny_config, monkeypatch, module, name, call, leave, named,
    trained_again,
):  # fmt: skip
    workdir = small_disk / "run"
    with monkeypatch.context() as patch:
        _fill_before(patch, module, name, call, small_disk, leave)
        with pytest.raises(JaxsegError, match=rf"{named}.*full.*make room") as refused:
            run_grid(tiny_config, PAIR, workdir)
    assert "\n" not in str(refused.value)
    assert set(checkpoints.find_cells(workdir)) == {"0.01-s0", "0.05-s0"}
    checkpoints.restore_cell(workdir, "0.05-s0")
    (small_disk / "ballast").unlink()
    real, fed = chunk.chunk_batches, []
    monkeypatch.setattr(
        chunk, "chunk_batches", lambda *a: (fed.append(1) or batch for batch in real(*a))
    )
    run_grid(tiny_config, PAIR, workdir)
    assert len(fed) == trained_again
    assert_equal(read_counts(workdir), read_counts(undisturbed))


def test_metrics_and_any_file_on_a_full_disk_are_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "replace", full)
    named = r"metrics/a\.json: cannot be written, disk or quota full \(\d+ bytes free\)"
    with pytest.raises(JaxsegError, match=named):
        files.append_metrics(epath.Path(tmp_path), [{"cell": "a"}])


def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    named = rf"{tmp_path}/locks: cannot be written, the folder is read-only; make it writable"
    with pytest.raises(JaxsegError, match=named), disk_errors(tmp_path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{tmp_path}/locks")
    with pytest.raises(JaxsegError, match=named), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{tmp_path}/locks")
    with pytest.raises(PermissionError), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/images/a.png")


def test_what_libraries_say_of_a_full_disk_is_understood(tmp_path):
    said = "RESOURCE_EXHAUSTED: Error writing local file [OS error 28: No space left on device]"
    with pytest.raises(JaxsegError, match="make room"), disk_errors(tmp_path / "new" / "file"):
        raise ValueError(said)
    with pytest.raises(ValueError, match="other"), disk_errors(tmp_path):
        raise ValueError("other")
