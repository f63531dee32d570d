import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from etils import epath

from jaxseg import file_locks
from jaxseg.errors import JaxsegError
from jaxseg.grid import locks

HOLDER = """
import sys, time
from etils import epath
from jaxseg.grid import locks
with locks.hold(epath.Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds cells a and b."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path, "a", "b"], stdout=subprocess.PIPE, text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def _left(folder):
    return sorted(folder.glob("locks/*.json"))


def test_cells_of_a_living_process_are_refused_by_name_and_others_given(holder, tmp_path):
    workdir = epath.Path(tmp_path)
    match = rf"1 of the cells .* b, .* process {holder.pid} on .*"
    with pytest.raises(JaxsegError, match=match), locks.hold(workdir, ["b", "c"]):
        pass
    assert len(_left(tmp_path)) == 1  # the refused one has left nothing
    with locks.hold(workdir, ["c"]) as check:
        check()
        assert len(_left(tmp_path)) == 2
    assert len(_left(tmp_path)) == 1


def test_a_killed_owner_keeps_nothing(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert len(_left(tmp_path)) == 1
    started = time.monotonic()
    with locks.hold(epath.Path(tmp_path), ["a"], patience_s=60):
        assert len(_left(tmp_path)) == 1
    assert time.monotonic() - started < 10  # the kernel answers, nobody waits for beats
    assert not _left(tmp_path)


def _foreign_lock(folder, beat=0):
    """The lock of a process on another machine, whose clock may show anything."""
    path = folder / "locks" / "elsewhere-7-ab.json"
    path.parent.mkdir(exist_ok=True)
    owner = {"host": "elsewhere", "pid": 7, "start": "1999-01-01", "boot": "other", "flock": True}
    new = path.with_suffix(".new")
    new.write_text(json.dumps(owner | {"cells": ["a"], "beat": f"{beat:09d}"}))
    os.utime(new, (0, 0) if beat % 2 else (4e9, 4e9))
    new.replace(path)
    return path


def test_an_owner_elsewhere_whose_beat_stops_is_dead_whatever_the_clocks(tmp_path):
    path = _foreign_lock(tmp_path)
    with locks.hold(epath.Path(tmp_path), ["a"], patience_s=0.5):
        assert not path.exists()


def test_an_owner_elsewhere_whose_beat_goes_on_is_alive_whatever_the_clocks(tmp_path):
    _foreign_lock(tmp_path)
    stop = threading.Event()

    def beat():
        count = 0
        while not stop.wait(0.05):
            count += 1
            _foreign_lock(tmp_path, count)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        match, workdir = "process 7 on elsewhere since 1999-01-01", epath.Path(tmp_path)
        with pytest.raises(JaxsegError, match=match), locks.hold(workdir, ["a"], patience_s=20):
            pass
    finally:
        stop.set()
        thread.join()


def test_an_owner_beats_and_notices_when_its_lock_is_taken_away(tmp_path):
    with locks.hold(epath.Path(tmp_path), ["a"], beat_s=0.05) as check:
        (path,) = _left(tmp_path)
        before, until = path.read_bytes(), time.monotonic() + 20
        while path.read_bytes() == before and time.monotonic() < until:
            time.sleep(0.02)
        assert path.read_bytes() != before and len(path.read_bytes()) == len(before)
        check()
        path.unlink()
        with pytest.raises(JaxsegError, match="the lock was lost"):
            while time.monotonic() < until:
                check()
                time.sleep(0.02)


def test_a_torn_lock_of_a_killed_claim_hinders_nobody(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "x-1-ab.json").write_text('{"host": "x", "ce')
    with locks.hold(epath.Path(tmp_path), ["a"]) as check:
        check()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_flock_owners_see_each_others_beat_and_it_is_said(
    tmp_path, monkeypatch, capsys, code
):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)
    file_locks.say_weaker.cache_clear()
    workdir = epath.Path(tmp_path)
    with locks.hold(workdir, ["a"], beat_s=0.05):
        match = f"process {os.getpid()} on"
        with pytest.raises(JaxsegError, match=match), locks.hold(workdir, ["a"], patience_s=20):
            pass
    assert not _left(tmp_path)
    assert capsys.readouterr().err.count(f"{tmp_path}: this file system has no flock") == 1
    with locks.hold(workdir, ["a"], patience_s=0.2):
        pass
    file_locks.say_weaker.cache_clear()


def test_a_dead_lock_that_may_not_be_removed_hinders_nobody(tmp_path, monkeypatch):
    path = _foreign_lock(tmp_path)

    def refuse(self, missing_ok=False):
        if self.name == path.name:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        os.unlink(self)

    monkeypatch.setattr(type(epath.Path(tmp_path)), "unlink", refuse)
    with locks.hold(epath.Path(tmp_path), ["a"], patience_s=0.2) as check:
        check()
