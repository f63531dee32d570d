"""How this process was started, and so how a user starts the other commands of jaxseg.

From a checkout that is `python launch/grid.py`, after an installation `jaxseg grid`.
"""

import shlex
import sys
from pathlib import Path

_SCRIPTS = {"grid": "grid.py", "audit": "audit.py", "inspect": "inspect_checkpoint.py"}


def this_command() -> str:
    """The command line of this process, as a user types it."""
    program = Path(sys.argv[0]).name
    if program in ("jaxseg", "jaxseg.exe"):
        return shlex.join(["jaxseg", *sys.argv[1:]])
    return shlex.join(["python", *sys.argv])


def start_of(command: str) -> str:
    """How to start a command of jaxseg the way this process was started: the words before options.

    >>> start_of("audit")
    'jaxseg audit'
    """
    script = Path(sys.argv[0])
    if script.name in _SCRIPTS.values() and command in _SCRIPTS:
        return shlex.join(["python", str(script.with_name(_SCRIPTS[command]))])
    return f"jaxseg {command}"
