"""Errors that a user can correct: one line that names the argument or file, its value and the rule.

`launch/` prints them without a stack trace and exits with `exit_code`.
"""

import contextlib
import difflib
import errno
import io
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath


def printable(text: str) -> str:
    r"""The text on one line: control characters and what cannot be shown become `\n`, `\x1b`, ….

    Among them are halves of surrogate pairs, by which Python represents bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(error: BaseException) -> str:
    """The message of an error, on one line of at most 120 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:120]


class JaxsegError(Exception):
    """A file, data set or device that cannot be used as asked. Exit code 1.

    Its text is one line, even if the names and messages in it hold line breaks.
    """

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(printable(message))


class UsageError(JaxsegError, ValueError):
    """An argument or config field that breaks its rule. Exit code 2."""

    exit_code = 2


class DamagedError(JaxsegError):
    """A file that does not hold what was written: cut short, or with other bytes."""

    def __init__(self, path: PurePath, reason: str, mend: str):
        super().__init__(f"{path}: damaged: {reason}; {mend}")
        self.path, self.reason = path, reason


class Interrupted(KeyboardInterrupt):
    """A signal has ended the run in good order. Exit code 128 + signal, as shells count."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


def check_choice(argument: str, value: str, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`; raises UsageError naming the nearest otherwise."""
    choices = list(choices)
    if value in choices:
        return value
    spellings = (str(value), str(value).lower())
    found = (difflib.get_close_matches(word, choices, n=1, cutoff=0.4) for word in spellings)
    close = next(filter(None, found), None)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"{argument}={value!r}: must be one of {', '.join(choices)}{hint}")


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or its cause, reports it; libraries in C++ report it as text alone."""
    return any(
        getattr(link, "errno", None) in _DISK_FULL
        or any(os.strerror(code) in str(link) for code in _DISK_FULL)
        for link in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def may_access(path: str | os.PathLike[str], mode: int) -> bool:
    """`os.access` for the user that this process acts as, where the system offers that."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def no_permission(path: str | os.PathLike[str]) -> JaxsegError:
    """The error that names the file or folder that may not be read."""
    return JaxsegError(
        f"{os.fspath(path)}: permission denied, it may not be read; change its mode (chmod) or run "
        "as its owner"
    )


def check_permission(folder: str | os.PathLike[str]) -> None:
    """Raises JaxsegError for a folder whose files this user may not list.

    Otherwise the files would seem to be missing. A folder that does not exist passes.
    """
    if "://" in os.fspath(folder):
        return
    try:
        os.listdir(folder)
        os.stat(os.path.join(folder, "."))
    except PermissionError as error:
        raise no_permission(folder) from error
    except OSError:
        return


def check_writable(argument: str, folder: str | os.PathLike[str]) -> None:
    """Raises JaxsegError when no file can be written into `folder`, which may not exist yet."""
    there = next(p for p in (Path(folder).absolute(), *Path(folder).absolute().parents)
                 if os.path.lexists(p))  # fmt: skip
    if there.is_dir() and not may_access(there, os.W_OK | os.X_OK):
        raise JaxsegError(
            f"{argument} {folder}: permission denied, {there} cannot be written to; make it "
            "writable or give another folder"
        )


def _refused_path(error: BaseException, path: PurePath) -> str | None:
    """The path that may not be written, if that is the error: `path` or a file in it."""
    for link in _chain(error):
        named = str(getattr(link, "filename", None) or path)
        if os.strerror(errno.EROFS) in str(link):
            return named
        if isinstance(link, PermissionError) and named.startswith(str(path)):
            return named
    return None


@contextlib.contextmanager
def disk_errors(path: PurePath) -> Iterator[None]:
    """Turns a full or read-only disk met while writing `path` into one line naming it."""
    try:
        yield
    except JaxsegError:
        raise
    except Exception as error:
        refused = _refused_path(error, path)
        if refused and os.path.exists(refused) and not may_access(refused, os.R_OK):
            raise no_permission(refused) from error
        if refused:
            raise JaxsegError(
                f"{refused}: cannot be written, the folder is read-only; make it writable or give "
                "another one"
            ) from error
        if not is_disk_full(error):
            raise
        homes = (Path(p) for p in (path, *path.parents))  # none of an object store is there
        home = next((p for p in homes if p.is_absolute() and p.exists()), None)
        free = f" ({shutil.disk_usage(home).free} bytes free)" if home else ""
        raise JaxsegError(
            f"{path}: cannot be written, disk or quota full{free}; make room and run "
            "the same command again; finished work is kept"
        ) from error


@contextlib.contextmanager
def one_line_errors(program: str, hint: str = "") -> Iterator[None]:
    r"""Turns a user's mistake into one line on stderr and the exit code; bugs keep their trace.

    `hint` is printed after an interruption, whose exit code is 128 + signal. Characters that the
    encoding of stdout lacks are written as an escape, such as `\u2013`. Output that nobody reads
    any more (`| head`) ends the program silently, as SIGPIPE does.
    """
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    try:
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes both once more when it ends, and would report that this failed.
        for stream in streams:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except JaxsegError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"{program}: error: {printable(f'{where}{error.strerror or error}')}", file=sys.stderr
        )
        sys.exit(1)
    except KeyboardInterrupt as error:
        start = "\n" if sys.stderr.isatty() else ""  # behind the terminal's ^C
        print(f"{start}{program}: interrupted. {hint}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 128 + signal.SIGINT))
