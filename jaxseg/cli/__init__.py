"""The command `jaxseg`: one module for each of its commands, imported when that command is called.

A new command is a module here with `main(argv)` and a row of COMMANDS. `main` gets the program's
name as argv[0], which errors and help begin with, and raises JaxsegError for what a user can mend.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from jaxseg import __version__
from jaxseg.command_line import this_command
from jaxseg.errors import check_choice, one_line_errors

COMMANDS = {
    "grid": "train a grid of networks, score them by distance from the border and compare them",
    "audit": "measure shortcuts in a data set, in predictions or in a model, without training",
    "compare": "compare runs that any framework trained, from folders of predicted masks",
    "inspect": "list, compare and export the checkpoints of a grid",
    "report": "write the report of a finished grid again",
    "predict": "write the masks that a trained network predicts for a folder of images",
    "configs": "list the configs that come with jaxseg, or copy one to edit it",
}
_RESUMED = ("grid",)


def main() -> None:
    """Runs `jaxseg COMMAND …` as typed."""
    words = sys.argv[1:]
    if words and words[0] in ("-h", "--help", "help"):
        print(help_text())
    elif words and words[0] in ("-V", "--version"):
        print(f"jaxseg {__version__}")
    elif not words:
        print(help_text(), file=sys.stderr)
        sys.exit(2)
    else:
        with one_line_errors("jaxseg"):
            check_choice("COMMAND", words[0], COMMANDS)
        run(words[0], f"jaxseg {words[0]}", words[1:])


def help_text() -> str:
    """All commands, a line each."""
    lines = [f"  {name:<9}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jaxseg COMMAND [options]",
            "",
            "Measures shortcut learning in medical image segmentation.",
            "",
            *lines,
            "",
            "To begin:  jaxseg grid --config padding_ablation:quick",
            "`jaxseg COMMAND --help` explains a command. `jaxseg --version` prints the version.",
        ]
    )


def run(command: str, program: str, arguments: Sequence[str]) -> None:
    """Runs a command of COMMANDS; a user's mistake ends in one line that begins with `program`.

    Exit codes: 1 data or disk, 2 usage, 128 + signal when interrupted.
    """
    # Before JAX and TensorFlow are imported: their C++ parts would log what one line reports here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with one_line_errors(program, resume_hint() if command in _RESUMED else ""):
        importlib.import_module(f"jaxseg.cli.{command}").main([program, *arguments])


def resume_hint() -> str:
    """The remedy after an interruption that has kept the work."""
    return f"Finished work is kept; to resume: {this_command()}"
