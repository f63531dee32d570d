"""A user's own Python, by name: `module:name`, or `file.py:name`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxseg.errors import JaxsegError, UsageError, check_choice


def import_named(spec: str, subject: str, form: str) -> Any:
    """The object called `module:name` or `file.py:name`.

    A module is looked for where Python looks and in the working folder, a file from the working
    folder. A file is run once a process, and finds modules that lie beside it.

    Args:
        spec: the name.
        subject: what errors begin with, such as `model 'mymodel:predict'`.
        form: what the name must look like, such as `module:function`.

    Raises:
        UsageError: a name of another form, no such module, file or object.
        JaxsegError: the module is there and cannot be imported.
    """
    place, _, name = spec.rpartition(":")
    is_file = place.endswith(".py")
    if not name.isidentifier() or not (
        is_file or all(part.isidentifier() for part in place.split("."))
    ):
        raise UsageError(f"{subject}: must look like {form}")
    module = _import_file(Path(place), subject) if is_file else _import_module(place, subject)
    if not hasattr(module, name):
        own = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        check_choice(f"name in {place}", name, own)
    return getattr(module, name)


def blame(subject: str, what: str, error: BaseException, hint: str = "") -> JaxsegError:
    """One line with what a user's code has raised: the first line of its message."""
    said = str(error).strip().splitlines()
    first = said[0] if said else ""
    return JaxsegError(f"{subject}: {what}: {type(error).__name__}: {first}{hint}")


def _import_module(name: str, subject: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that exists but lacks one of its imports has the right name.
        if error.name and (name + ".").startswith(error.name + "."):
            raise UsageError(
                f"{subject}: no module {error.name!r} in {here} or where Python looks; run "
                "from its folder or set PYTHONPATH"
            ) from error
        raise blame(subject, "cannot be imported", error) from error
    except (Exception, SystemExit) as error:
        raise blame(subject, "cannot be imported", error) from error


def _import_file(path: Path, subject: str) -> ModuleType:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"{subject}: no file {path}")
    name = str(path)  # no other module has it, whatever the file is called
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise blame(subject, "cannot be imported", error) from error
    return module
