"""The first import of matplotlib, which fails on some values of environment variables.

Pages are drawn on the Agg canvas whatever MPLBACKEND is: notebooks set it to a package that other
programs do not have. TensorFlow imports matplotlib as well.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

from jaxseg.errors import JaxsegError
from jaxseg.homes import default_data_dir, home_folder


def import_matplotlib() -> None:
    """Imports matplotlib, if nobody has, with a backend and a folder for its fonts that there are.

    A backend chosen by MPLBACKEND that exists is still the one that `pyplot` uses.
    """
    if "matplotlib" in sys.modules:
        return
    backend, wanted = os.environ.get("MPLBACKEND"), {"MPLBACKEND": None, **_font_folder()}
    with _environment(wanted):
        import matplotlib

        matplotlib.get_configdir()  # both are found once and remembered
        matplotlib.get_cachedir()
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


def _font_folder() -> dict[str, str | None]:
    """MPLCONFIGDIR, where nobody chose one and there is no home folder to write to."""
    if os.environ.get("MPLCONFIGDIR") or home_folder() is not None:
        return {}
    with contextlib.suppress(JaxsegError):
        return {"MPLCONFIGDIR": str(default_data_dir() / "matplotlib")}
    return {}


@contextlib.contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(former)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
