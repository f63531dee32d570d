"""Checks of a command's arguments before it does any work."""

import argparse
import os
from typing import NoReturn

from jaxseg import errors
from jaxseg.command_line import start_of
from jaxseg.errors import UsageError
from jaxseg.homes import expand


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, and does not accept abbreviated flags."""

    def __init__(self, **options):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(f"{message}; see --help")


def usage(text: str | None, *commands: str) -> str:
    """A module's docstring, its examples written as this process was started."""
    text = text or ""
    for command in commands:
        text = text.replace(f"jaxseg {command} ", f"{start_of(command)} ")
    return text


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
        from jaxseg.data.files import scan  # NumPy and Pillow, which not every command uses

        scan(folder, pattern=pattern)


def check_writable(argument: str, folder: str) -> None:
    """Raises UsageError naming the argument for a path that cannot become a folder.

    JaxsegError for a folder that may not be written to. Object stores are not checked.
    """
    if "://" in folder:
        return
    path = expand(folder).absolute()
    home = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not home.is_dir():
        raise UsageError(f"{argument} {folder}: {home} is not a folder; give another folder")
    errors.check_writable(argument, path)


def check_least(argument: str, value: int | None, least: int = 1) -> None:
    """Raises UsageError naming the argument for a number below `least`."""
    if value is not None and value < least:
        raise UsageError(f"{argument} {value}: must be at least {least}")
