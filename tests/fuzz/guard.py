"""What must hold while hostile input is read, whatever comes of it; watched from within Python."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOM = 4 << 30  # bytes of address space above what is in use: more than any honest file asks for
SECONDS = 60  # for one input
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TOUCHING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod")
_NEVER = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "socket.connect")
_watch: dict[str, Any] = {"folder": None, "seen": []}


class Broken(BaseException):
    """A rule that an input broke; no `except Exception` of the product can swallow it."""


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch["folder"] is None:
        return
    if event in _NEVER:
        _watch["seen"].append(f"{event} {arguments}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        if arguments[2] & _WRITING:
            _check_place(event, arguments[0])
    elif event in _TOUCHING:
        last = arguments[-1] if isinstance(arguments[-1], int) else -1
        # Walks such as shutil.rmtree name files from an open folder.
        base = os.readlink(f"/proc/self/fd/{last}") if last >= 0 and event != "os.chmod" else ""
        for path in arguments[1 if event in ("os.link", "os.symlink") else 0 :]:
            if isinstance(path, str | bytes):
                _check_place(event, os.path.join(base, os.fsdecode(path)))


def _check_place(event: str, path: str | bytes) -> None:
    place = os.path.realpath(os.fsdecode(path))
    if not place.startswith((str(_watch["folder"]), "/dev/null")):
        _watch["seen"].append(f"{event} of {place!r}, outside the folder")


sys.addaudithook(_hook)


def _too_long(*_: Any) -> None:
    raise Broken(f"no end within {SECONDS} s")


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Raises Broken when the body writes outside `folder`, unpickles, starts a program or hangs."""
    _watch["folder"], _watch["seen"] = Path(os.path.realpath(folder)), []
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        _watch["folder"] = None
        if _watch["seen"]:
            raise Broken("; ".join(_watch["seen"]))


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Within, what asks for more than ROOM meets a MemoryError instead of taking the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
