"""Whether a checkpoint is what was saved: the digest of its arrays, and what its readers raise."""

import contextlib
import hashlib
import logging
import os
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils.epath import Path

from jaxseg.errors import DamagedError, JaxsegError, may_access, no_permission

# What is in the way between an intact checkpoint and this process: no reason to train it anew.
_ELSEWHERE = (JaxsegError, PermissionError, ConnectionError, TimeoutError, MemoryError)
_LONGEST = 120  # letters of what a library says of it


def named_leaves(tree: Any) -> dict[str, Any]:
    """{path joined by "/": array} of a tree; containers do not matter."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def tree_digest(tree: Any) -> str:
    """SHA-256 of a tree's arrays, each with path, shape and dtype, in the order of their paths.

    Containers do not matter: a TrainState and the dicts that it is stored as have the same digest.
    """
    named = named_leaves(tree)
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.ascontiguousarray(named[name])
        digest.update(f"{name} {named[name].shape} {array.dtype}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def check_tree(tree: Any, expected: str, folder: Path) -> None:
    """Raises DamagedError naming `folder` unless the tree has the digest `expected`."""
    if tree_digest(tree) != expected:
        if refused := _unreadable(folder):  # of which Orbax makes an empty tree
            raise no_permission(refused)
        raise DamagedError(folder, "its arrays do not agree with their digest", mend(folder))


@contextlib.contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Turns whatever reading a damaged checkpoint raises, by any library, into DamagedError.

    Let through are errors of this process and of the way to the files: running out of memory, of
    the device too. Files that may not be read are named as such: they seem not to be there.
    """
    try:
        with failing_quietly():
            yield
    except DamagedError as error:
        if refused := _unreadable(folder):  # of such a file Orbax says that it is not there
            raise no_permission(refused) from error
        raise
    except _ELSEWHERE:
        raise
    except Exception as error:
        if isinstance(error, jax.errors.JaxRuntimeError) or "PERMISSION_DENIED" in str(error):
            raise
        if refused := _unreadable(folder):
            raise no_permission(refused) from error
        text = str(error).strip() or type(error).__name__
        said = textwrap.shorten(text.splitlines()[0], _LONGEST, placeholder=" …")
        raise DamagedError(folder, f"cannot be restored ({said})", mend(folder)) from error


def _unreadable(folder: Path) -> str | None:
    """The first part of a checkpoint that this user may not read; None where all may be read."""
    if "://" in str(folder):
        return None
    for home, folders, names in os.walk(folder):
        for path in (home, *(os.path.join(home, name) for name in (*folders, *names))):
            if not may_access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
                return path
    return None


@contextlib.contextmanager
def failing_quietly() -> Iterator[None]:
    """Mutes what reads and writes that Orbax leaves behind when one fails say after it.

    Once one has failed this lasts, though others succeed: what it left behind may end at any time.
    """
    show, log = sys.unraisablehook, logging.getLogger("asyncio")
    failed_before = _is_retrieved in log.filters

    def show_others(unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)  # of a coroutine that nobody awaits
        closed = str(unraisable.exc_value) == "Event loop is closed"
        if not closed and (code is None or "orbax" not in code.co_filename):
            show(unraisable)

    sys.unraisablehook = show_others
    log.addFilter(_is_retrieved)
    yield
    sys.unraisablehook = show  # after a failure that of then, which mutes
    if not failed_before:
        log.removeFilter(_is_retrieved)


def _is_retrieved(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def first_cell(folder: Path) -> str:
    """The first cell of the chunk whose checkpoints lie in workdir/checkpoints/name."""
    return folder.name.partition("~")[0]


def mend(folder: Path) -> str:
    """How to get back the cells of a checkpoint: `folder` is workdir/checkpoints/name/number."""
    cell = first_cell(folder.parent)
    if (folder.parent.parent.parent / "counts" / f"{cell}.npz").exists():
        return (
            f"delete {folder.parent} and the counts of its cells, such as counts/{cell}.npz, and "
            "run the same command again to train them anew"
        )
    return "run the same command again to train its cells anew"
