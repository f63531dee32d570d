"""Runs a script of launch/ with one fault at a place in the code, told by JAXSEG_FAULT as JSON.

    {"at": "jaxseg.grid.storage:write_arrays", "call": 3, "do": "kill"}

`at` is module:function, or rename:text for a rename whose old path holds the text; `call` counts
the calls from 1, 0 is each of them. What is done comes before the call:

    kill        SIGKILL to this process
    kill_soon   the same 0.3 s later, inside of a call that takes longer
    fill        takes all space but `leave` bytes of the file system of `folder`, by a file in it
    pause       makes the file `sign` and waits until it is gone
    copy        copies the checkpoints of the manager that is the first argument into `folder`

{"clock": -86400} is another fault: the clock of this process, set back by a day.
"""

import functools
import importlib
import json
import os
import pathlib
import runpy
import shutil
import signal
import sys
import threading
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as launch/ does, before JAX is imported


def fill(folder: str, leave: int = 0) -> None:
    """Takes the space of a file system by a file called ballast."""
    disk = os.statvfs(folder)
    size = max(disk.f_bavail * disk.f_frsize - leave, 0)
    pathlib.Path(folder, "ballast").write_bytes(b"\0" * size)


def kill() -> None:
    """Ends this process as a machine that loses power does."""
    os.kill(os.getpid(), signal.SIGKILL)


def act(fault: dict[str, Any], args: tuple) -> None:
    """Does what the fault asks for."""
    match fault["do"]:
        case "kill":
            kill()
        case "kill_soon":
            threading.Timer(0.3, kill).start()
        case "fill":
            fill(fault["folder"], fault.get("leave", 0))
        case "pause":
            sign = pathlib.Path(fault["sign"])
            sign.touch()
            while sign.exists():
                time.sleep(0.05)
        case "copy":
            source = pathlib.Path(args[0].directory)
            target = pathlib.Path(fault["folder"], source.name)
            shutil.copytree(source, target, dirs_exist_ok=True)


def install(fault: dict[str, Any]) -> None:
    """Puts the fault at its place."""
    calls = []

    def pass_by(*args: Any) -> None:
        calls.append(1)
        if fault["call"] in (0, len(calls)):
            act(fault, args)

    module, _, name = fault["at"].partition(":")
    if module == "rename":
        sys.addaudithook(lambda event, args: _on_rename(event, args, name, pass_by))
        return
    *parents, last = name.split(".")
    home = functools.reduce(getattr, parents, importlib.import_module(module))
    real = getattr(home, last)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        pass_by(*args)
        return real(*args, **kwargs)

    setattr(home, last, wrapped)


def _on_rename(event: str, args: tuple, text: str, pass_by: Any) -> None:
    if event == "os.rename" and text in os.fspath(args[0]):
        pass_by()


def set_clock(seconds: float) -> None:
    """Moves what Python calls the time; the monotonic clock stays, as it does on a machine."""
    now, now_ns, local = time.time, time.time_ns, time.localtime
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    time.localtime = lambda at=None: local(time.time() if at is None else at)


if __name__ == "__main__":
    asked = json.loads(os.environ.get("JAXSEG_FAULT") or "{}")
    if "clock" in asked:
        set_clock(asked["clock"])
    elif asked:
        install(asked)
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")
