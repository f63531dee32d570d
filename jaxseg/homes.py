"""Where a user's prepared data, compiled programs and fonts are kept, with a home or without."""

import contextlib
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from jaxseg.errors import JaxsegError, may_access


def expand(path: str | os.PathLike[str]) -> Path:
    """The path with ~ as the user's home; unchanged where there is no home or no such user."""
    return Path(os.path.expanduser(path))


def default_data_dir() -> Path:
    """$JAXSEG_CACHE, or ~/.cache/jaxseg, or else a folder of this user's below /tmp.

    In containers a user may have no home, one that does not exist, or `/`. The use of the temporary
    folder is reported once on stderr. Raises JaxsegError when others can write to it.
    """
    if chosen := os.environ.get("JAXSEG_CACHE"):
        return expand(chosen)
    home = home_folder()
    return _temporary_folder() if home is None else home / ".cache" / "jaxseg"


def home_folder() -> Path | None:
    """The user's home, if there is one and ~/.cache/jaxseg is there or can be made."""
    home = expand("~")
    if not home.is_absolute():
        return None
    cache = home / ".cache" / "jaxseg"
    there = next(p for p in (cache, *cache.parents) if os.path.lexists(p))
    usable = there.is_dir() and may_access(there, os.W_OK | os.X_OK)
    return home if there == cache or usable else None


@functools.cache  # reported once
def _temporary_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"jaxseg-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # Compiled programs are kept there: nobody else may be able to add one.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise JaxsegError(
            f"{folder}: is not a folder that only this user can write to; remove it, or set "
            "JAXSEG_CACHE to another folder"
        )
    print(
        f"no home folder that can be written to: prepared data and programs are kept in {folder}; "
        "set JAXSEG_CACHE to keep them elsewhere",
        file=sys.stderr,
        flush=True,
    )
    return folder


def import_matplotlib() -> None:
    """Imports matplotlib, if nobody has, with a backend and a folder for its fonts that there are.

    Its first import fails on some values of environment variables: notebooks set MPLBACKEND to a
    package that other programs do not have. A backend of that name which exists is still the one
    that `pyplot` uses; pages are drawn on the Agg canvas whatever it is. TensorFlow imports
    matplotlib as well.
    """
    if "matplotlib" in sys.modules:
        return
    wanted: dict[str, str | None] = {"MPLBACKEND": None}
    if not os.environ.get("MPLCONFIGDIR") and home_folder() is None:
        with contextlib.suppress(JaxsegError):
            wanted["MPLCONFIGDIR"] = str(default_data_dir() / "matplotlib")
    former = {name: os.environ.get(name) for name in wanted}
    _set_environment(wanted)
    try:
        import matplotlib

        matplotlib.get_configdir()  # both are found once and remembered
        matplotlib.get_cachedir()
    finally:
        _set_environment(former)
    if former["MPLBACKEND"]:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = former["MPLBACKEND"]


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
