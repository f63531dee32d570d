"""Writes the report of a finished grid again, from its result files. Nothing is trained.

    jaxseg report runs/padding_ablation

The tables, figures and report.html of the folder are replaced; its counts and checkpoints stay.
"""

import sys
from collections.abc import Sequence

from jaxseg.cli.arguments import Parser, check_folder
from jaxseg.errors import JaxsegError, disk_errors


def main(argv: Sequence[str]) -> None:
    """Writes and prints the report of one folder."""
    parser = Parser(prog=argv[0], description=__doc__)
    parser.add_argument("workdir", metavar="WORKDIR", help="folder of a grid, which may be gs://…")
    workdir = parser.parse_args(argv[1:]).workdir
    from jaxseg.grid.storage import as_folder

    if "://" not in workdir:
        check_folder("WORKDIR", workdir)
    folder = as_folder(workdir)
    if not (folder / "config.json").exists():
        raise JaxsegError(f"{workdir}: is not the folder of a grid, it has no config.json")
    if not (folder / "cells.csv").exists():
        raise JaxsegError(
            f"{workdir}: no results yet, it has no cells.csv; run its grid again to finish it"
        )
    with disk_errors(folder):
        write_and_print_report(workdir)


def write_and_print_report(workdir: str) -> None:
    """Writes the report of a complete grid and prints its tables."""
    from jaxseg.studies.grid_report import terminal_report, write_report

    print("writing the report …", file=sys.stderr, flush=True)
    _, findings = write_report(workdir)
    print(terminal_report(findings, workdir))
