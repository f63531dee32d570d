"""Locks on files: flock, or a file that is renewed where the file system has no flock.

Lustre without the option `flock`, some network mounts and some containers have no flock. There a
file that only one process can make takes its place: its owner renews it, and a file that has not
been renewed for PATIENCE_S belongs to a dead owner.
"""

import contextlib
import fcntl
import functools
import io
import itertools
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BEAT_S = 10.0
PATIENCE_S = 45.0


def open_lock(path: str | os.PathLike[str]) -> io.FileIO:
    """Opens a lock file and makes it if missing; a file of another user is opened for reading."""
    try:
        descriptor = os.open(path, os.O_RDWR)  # first without O_CREAT, which may fail in /tmp
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY)
    is_read_only = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    return io.FileIO(descriptor, "r" if is_read_only else "r+")


def take(file: Any, *, shared: bool = False, wait: bool = False) -> bool | None:
    """Locks an open file until it is closed: True; False when another process has it.

    None where the file system has no such locks. `wait` waits for others instead.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@functools.cache  # reported once
def say_weaker(folder: str) -> None:
    """Reports on stderr that `folder` has no flock, and what that changes."""
    print(
        f"{folder}: this file system has no flock; processes lock by a file that is renewed "
        f"every {BEAT_S:.0f} s, and take over the lock of a killed one after {PATIENCE_S:.0f} s",
        file=sys.stderr,
        flush=True,
    )


@contextlib.contextmanager
def exclusive(
    path: Path, waiting: str, *, beat_s: float = BEAT_S, patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """Context manager for one process at a time; others print `waiting` on stderr and wait."""
    with open_lock(path) as file:
        taken = take(file)
        if taken is False:
            print(waiting, file=sys.stderr, flush=True)
            taken = take(file, wait=True)
        if taken:
            yield
            return
    say_weaker(str(path.parent))
    with _renewed(path.with_name(f"{path.name}.held"), waiting, beat_s, patience_s):
        yield


@contextlib.contextmanager
def _renewed(path: Path, waiting: str, beat_s: float, patience_s: float) -> Iterator[None]:
    """Context manager: makes the file, renews it in a thread, and removes it at the end."""
    token = secrets.token_hex(8)
    _make(path, token, waiting, patience_s)

    def renew(count: int) -> bool:
        if _content(path).startswith(token):
            path.write_text(f"{token} {count}")
        return True  # a missing file may be moved aside for a moment

    try:
        with heartbeat(renew, beat_s, patience_s):
            yield
    finally:
        if _content(path).startswith(token):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def heartbeat(
    renew: Callable[[int], bool], beat_s: float, patience_s: float
) -> Iterator[Callable[[], bool]]:
    """Context manager: a thread calls `renew(1)`, `renew(2)`, …; yields whether that has failed.

    It has failed once `renew` returns False, or has raised for `patience_s`: a file system or store
    that does not answer one beat may answer the next.
    """
    stop, lost = threading.Event(), threading.Event()

    def beat() -> None:
        renewed = time.monotonic()
        for count in itertools.count(1):
            if stop.wait(beat_s):
                return
            try:
                if not renew(count):
                    break
                renewed = time.monotonic()
            except Exception:
                if time.monotonic() - renewed > patience_s:
                    break
        lost.set()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield lost.is_set
    finally:
        stop.set()
        thread.join()


def _make(path: Path, token: str, waiting: str, patience_s: float) -> None:
    """Makes the file once it is free: its owner has removed it, or not renewed it for long."""
    seen, since = None, time.monotonic()
    while True:
        try:
            with path.open("x") as file:
                file.write(token)
            return
        except FileExistsError:
            found = _content(path)
        if seen is None:
            print(waiting, file=sys.stderr, flush=True)
        if found != seen:
            seen, since = found, time.monotonic()
        elif time.monotonic() - since > patience_s:
            _remove(path, found)
            continue
        time.sleep(min(1.0, patience_s / 20))


def _remove(path: Path, content: str) -> None:
    """Removes the file of a dead owner; puts it back if another process has just made a new one."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if _content(aside) == content:
            aside.unlink()
        else:
            aside.rename(path)


def _content(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return ""
