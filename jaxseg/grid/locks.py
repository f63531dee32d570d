"""Locks: no two processes train the same cells of a workdir, and a dead owner loses its lock.

    locks/<host>-<pid>-<random>.json     owner, its cells, and a beat that counts up

An owner on this machine holds flock on its file, which the kernel releases when it dies. Of an
owner elsewhere only the beat is known: an owner whose beat has not changed for PATIENCE_S is taken
for dead. It is timed by this process's own monotonic clock, so clocks that differ between hosts do
not matter.
"""

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as LocalPath
from typing import Any

from etils.epath import Path

from jaxseg.errors import JaxsegError
from jaxseg.file_locks import BEAT_S, PATIENCE_S, heartbeat, open_lock, say_weaker, take
from jaxseg.grid import storage

FOLDER = "locks"
Owner = dict[str, Any]


@contextlib.contextmanager
def hold(
    workdir: Path, cells: Sequence[str], *, beat_s: float = BEAT_S, patience_s: float = PATIENCE_S
) -> Iterator[Callable[[], None]]:
    """Locks `cells` of a workdir; yields a check that raises JaxsegError once the lock is lost.

    Raises JaxsegError naming the owner when a living process has some of them. If the owner was on
    another machine, it takes up to `beat_s` to find it alive and `patience_s` to find it dead.
    """
    owner: Owner = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "boot": _boot(),
        "cells": list(cells),
        "beat": 0,
    }
    path = workdir / FOLDER / f"{owner['host']}-{owner['pid']}-{secrets.token_hex(4)}.json"
    with contextlib.ExitStack() as stack:
        with _one_claim_at_a_time(path.parent):
            stack.enter_context(_flocked(path, owner))
            others = [other for other in _others(path) if _overlap(other, cells)]
        for other in others:
            if _is_alive(other, patience_s):
                raise _taken(other, cells)
            with contextlib.suppress(PermissionError):  # of another user, in a sticky folder
                other.unlink(missing_ok=True)

        def renew(count: int) -> bool:
            if there := path.exists():
                _write(path, {**owner, "beat": count})
            return there

        lost = stack.enter_context(heartbeat(renew, beat_s, patience_s))

        def check() -> None:
            if lost():
                raise JaxsegError(
                    f"{path}: the lock was lost while this process could not renew it, and "
                    "another may have taken the cells over; run the same command again"
                )

        yield check


def _boot() -> str:
    """Names this machine's running kernel: the one whose flock this process sees."""
    with contextlib.suppress(OSError):
        return LocalPath("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


@contextlib.contextmanager
def _one_claim_at_a_time(folder: Path) -> Iterator[None]:
    """Puts processes that claim at the same moment in order. In an object store, which has no such
    lock, each would see the other, and both would end with an error."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if storage.is_local(folder):
            file = stack.enter_context(open_lock(folder / ".claim"))
            take(file, wait=True)  # without flock as in an object store
        yield


@contextlib.contextmanager
def _flocked(path: Path, owner: Owner) -> Iterator[None]:
    """The lock file, removed at the end; where the file system can, held by flock meanwhile."""
    with contextlib.ExitStack() as stack:
        stack.callback(path.unlink, missing_ok=True)
        owner["flock"] = False
        if storage.is_local(path):
            file = stack.enter_context(open(path, "w"))
            owner["flock"] = take(file) is True
            if not owner["flock"]:
                say_weaker(str(path.parent.parent))
        _write(path, owner)
        yield


def _write(path: Path, owner: Owner) -> None:
    """Writes in place, because a rename would leave flock on the old file; the length stays."""
    content = (json.dumps({**owner, "beat": f"{owner['beat']:09d}"}, indent=1) + "\n").encode()
    if not storage.is_local(path):
        path.write_bytes(content)
        return
    with open(path, "r+b", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


def _others(path: Path) -> list[Path]:
    names = storage.names(path.parent, ".json")
    return [path.parent / f"{name}.json" for name in names if f"{name}.json" != path.name]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _owner(path: Path) -> Owner:
    """The content of a lock; empty when it is gone, was cut short by a kill, or is not a lock."""
    with contextlib.suppress(ValueError, RecursionError):
        owner = json.loads(_read(path))
        if isinstance(owner, dict) and isinstance(owner.get("cells", []), list):
            return owner
    return {}


def _overlap(path: Path, cells: Sequence[str]) -> list[str]:
    theirs = _owner(path).get("cells", [])
    return sorted(cell for cell in set(cells) if cell in theirs)


def _is_alive(path: Path, patience_s: float) -> bool:
    """Whether the owner of a lock is alive, by the kernel's lock or by its beat."""
    owner = _owner(path)
    if owner.get("flock") and owner.get("boot") == _boot():
        return _is_flocked(path)
    first, until = _read(path), time.monotonic() + patience_s
    while first and time.monotonic() < until:
        time.sleep(min(1.0, patience_s / 20))
        if _read(path) != first:
            return path.exists()  # a lock that has disappeared was released
    return False


def _is_flocked(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return take(file, shared=True) is False
    except FileNotFoundError:
        return False


def _taken(path: Path, cells: Sequence[str]) -> JaxsegError:
    owner, shared = _owner(path), _overlap(path, cells)
    return JaxsegError(
        f"{path.parent.parent}: {len(shared)} of the cells of this run, such as "
        f"{shared[0] if shared else cells[0]}, are being trained by process {owner.get('pid')} on "
        f"{owner.get('host')} since {owner.get('start')}; wait for it, or give every process its "
        "own --shard i/n"
    )
