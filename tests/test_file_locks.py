import errno
import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from jaxseg import file_locks

NO_FLOCK = [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL]
QUICK = {"beat_s": 0.05, "patience_s": 0.6}


@pytest.fixture(params=[None, *NO_FLOCK], ids=["flock", "ENOSYS", "EOPNOTSUPP", "ENOLCK", "EINVAL"])
def file_system(request, monkeypatch):
    """The number of the error that flock gives here; None where it works."""
    if request.param is not None:

        def fail(*_):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", fail)
    file_locks.say_weaker.cache_clear()
    yield request.param
    file_locks.say_weaker.cache_clear()


def test_one_at_a_time_and_the_weaker_way_is_said_once(file_system, tmp_path, capsys):
    inside, seen = [], []

    def work():
        with file_locks.exclusive(tmp_path / "x.lock", "waiting", **QUICK):
            inside.append(1)
            seen.append(len(inside))
            time.sleep(0.15)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 4
    said = capsys.readouterr().err
    assert "waiting" in said and said.count("has no flock") == (file_system is not None)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_an_error_inside_lets_go(file_system, tmp_path):
    lock = file_locks.exclusive(tmp_path / "x.lock", "waiting", **QUICK)
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with file_locks.exclusive(tmp_path / "x.lock", "waiting", **QUICK):
        pass


@pytest.mark.parametrize("file_system", [errno.ENOSYS], indirect=True)
def test_what_a_dead_owner_left_is_taken_over(file_system, tmp_path):
    (tmp_path / "x.lock.held").write_text("somebody 3")
    started = time.monotonic()
    with file_locks.exclusive(tmp_path / "x.lock", "waiting", **QUICK):
        assert 0.6 < time.monotonic() - started < 20
        assert not (tmp_path / "x.lock.held").read_text().startswith("somebody")


def test_a_killed_owner_of_flock_keeps_nothing(tmp_path):
    code = (
        "import sys, time, pathlib; from jaxseg import file_locks\n"
        "with file_locks.exclusive(pathlib.Path(sys.argv[1]), ''):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x.lock")]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=__file__.partition("/tests/")[0])
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with file_locks.open_lock(tmp_path / "x.lock") as file:
        assert file_locks.take(file) is False
        holder.kill()
        holder.wait()
        holder.stdout.close()
        assert file_locks.take(file) is True


def test_a_lock_file_of_another_user_is_opened_for_reading(tmp_path, monkeypatch):
    path = tmp_path / "theirs.lock"
    path.touch()
    really_open = os.open

    def open_theirs(name, flags, *mode):
        if flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return really_open(name, flags, *mode)

    monkeypatch.setattr(os, "open", open_theirs)
    with file_locks.open_lock(path) as file:
        assert file_locks.take(file) is True
