"""What a command is asked to read and write, checked before it does any work."""

import os

from jaxseg import errors
from jaxseg.data.files import scan
from jaxseg.errors import UsageError
from jaxseg.homes import expand


def check_folder(argument: str, folder: str | None, pattern: str = "*") -> None:
    """Raises UsageError naming the argument unless it is None or a folder that can be read.

    JaxsegError where it holds no file whose name fits `pattern`.
    """
    if folder is None:
        return
    path = expand(folder)
    if not path.is_dir():
        kind = "is a file; give a folder" if path.exists() else "no such folder"
        raise UsageError(f"{argument} {folder}: {kind}")
    if not os.access(path, os.R_OK | os.X_OK):
        raise UsageError(f"{argument} {folder}: may not be read; change its permissions")
    if pattern != "*":
        scan(folder, pattern=pattern)


def check_writable(argument: str, folder: str) -> None:
    """Raises UsageError naming the argument for a place that is no folder and can be none.

    JaxsegError for one that may not be written. Places in an object store are not asked.
    """
    if "://" in folder:
        return
    path = expand(folder).absolute()
    home = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not home.is_dir():
        raise UsageError(f"{argument} {folder}: {home} is no folder; give another place")
    errors.check_writable(argument, path)


def check_least(argument: str, value: int | None, least: int = 1) -> None:
    """Raises UsageError naming the argument for a number below `least`."""
    if value is not None and value < least:
        raise UsageError(f"{argument} {value}: must be at least {least}")
