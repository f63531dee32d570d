"""SIGINT and SIGTERM: training finishes its step and saves it, everything else ends at once.

Python handles a signal between two bytecodes of the main thread, which may be in a compiler for
minutes. A watching thread, woken through a pipe, then ends the process. That is safe: every file of
a run is written beside its place and renamed.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator

from jaxseg.errors import Interrupted
from jaxseg.texts import utf8

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE_S = 2.0  # for the main thread to end by itself
_SAME_S = 0.3  # launchers signal the group and the process: two within this time count as one
_POLL_S = 0.1


class _State:
    """The signals received so far; there is one such object in a process."""

    signum = 0
    deferred = False


@contextlib.contextmanager
def handled(last_words: str) -> Iterator[None]:
    """Context manager: SIGINT and SIGTERM raise Interrupted, inside `deferred` after the step.

    A second signal, or a main thread that cannot react, ends the process with `last_words` on
    stderr and exit code 128 + signal. Signals that the parent has set to be ignored stay so. Must
    be entered in the main thread.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    chosen = [s for s in SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]
    former_pipe = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    former = {s: signal.signal(s, _handle) for s in chosen}
    watcher = threading.Thread(target=_watch, args=(reader, last_words), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(former_pipe)
        os.close(writer)  # the watcher reads the end of the pipe and ends
        watcher.join()
        os.close(reader)
        _State.signum = 0


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Context manager: a signal only makes `requested` true; leaving it raises Interrupted."""
    _State.deferred = True
    try:
        yield
    finally:
        _State.deferred = False
    stop_if_requested()


def requested() -> bool:
    """Whether a signal has asked the run to stop."""
    return _State.signum != 0


def stop_if_requested() -> None:
    """Raises Interrupted when a signal has asked the run to stop."""
    if requested():
        raise Interrupted(_State.signum)


def _handle(signum: int, frame: object) -> None:
    del frame
    if _State.signum:
        return  # the watcher handles the second one
    _State.signum = signum
    if not _State.deferred:
        raise Interrupted(signum)


def _watch(reader: int, last_words: str) -> None:
    """Waits for signals; ends the process on a second one or when the first has no effect."""
    first, since = 0.0, 0.0
    while True:
        ready, _, _ = select.select([reader], [], [], _POLL_S if first else None)
        now = time.monotonic()
        signum = os.read(reader, 1) if ready else None
        if signum == b"":
            return
        if signum and signum[0] in SIGNALS:
            if first and now - first > _SAME_S:
                _end(signum[0], last_words)
            if not first:
                first = since = now
                code = signum[0]
        if first and _State.deferred:
            since = now
        elif first and now - since > _GRACE_S:
            _end(code, last_words)


def _end(signum: int, last_words: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, utf8(f"{last_words}\n"))
    os._exit(128 + signum)
