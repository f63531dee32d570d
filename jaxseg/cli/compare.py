"""Compares runs that any framework trained, from folders of predicted masks. Nothing is trained.

    jaxseg compare --truth masks --runs 'runs/{arm}/seed{seed}'
    jaxseg compare --truth masks --runs 'runs/{arm}/seed{seed}' --arms zeros reflect --images images
    jaxseg compare --truth labelsTr --runs 'results/{arm}/fold_{seed}/validation'

Every folder that matches holds the masks that one training run predicted, with the file names of
the truth: png, npy, nii.gz and others. Runs of one seed are compared as pairs: give one seed to
runs that saw the same training images. The page, the tables and the statistics are those of
`jaxseg grid`. Exit codes: 0 done, 1 data or disk, 2 usage, 130 interrupted.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from jaxseg import __version__
from jaxseg.cli.arguments import Parser, check_folder, check_writable
from jaxseg.cli.audit import add_reading, folder_reading
from jaxseg.command_line import this_command
from jaxseg.data.images import LIMIT_PX, check_limit
from jaxseg.errors import disk_errors
from jaxseg.grid.storage import write_arrays, write_bytes
from jaxseg.homes import expand
from jaxseg.progress import track
from jaxseg.report.export import check_out
from jaxseg.report.terminal import terminal_text
from jaxseg.studies import position
from jaxseg.studies.foreign_runs import ForeignRuns, Run, find_runs, read_runs
from jaxseg.studies.grid_report import write_findings
from jaxseg.studies.results import LAYOUTS
from jaxseg.texts import csv_text, utf8


def main(argv: Sequence[str]) -> None:
    """Reads all runs, writes the tables and the page, and prints them."""
    logging.set_verbosity(logging.FATAL)
    args = _parser(argv[0]).parse_args(argv[1:])
    check_limit(args.limit_px)
    check_folder("--truth", args.truth, args.truth_pattern)
    check_folder("--images", args.images)
    reading = folder_reading(args)
    runs = find_runs(args.runs, args.arms)
    out = expand(args.out)
    check_out(out)
    check_writable("--out", args.out)
    found = read_runs(runs, args.truth, args.images, reading=reading, progress=track)
    with disk_errors(out):
        text = _write(out, args, runs, found)
    print(text)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = Parser(prog=program, description=__doc__)
    parser.add_argument("--truth", required=True, metavar="DIR", help="Folder of true masks")
    parser.add_argument(
        "--runs",
        required=True,
        metavar="PATTERN",
        help="Folders of predicted masks, with {arm} and {seed}: 'runs/{arm}/seed{seed}'",
    )
    parser.add_argument(
        "--arms",
        nargs="+",
        default=[],
        metavar="ARM",
        help="Arms to compare; the others are compared with the first (default: all, by name)",
    )
    parser.add_argument("--images", metavar="DIR", help="Folder of images, shown in the examples")
    parser.add_argument(
        "--out", default="compared", help="Folder for the results (default: compared)"
    )
    parser.add_argument(
        "--limit_px",
        type=int,
        default=LIMIT_PX,
        help=f"Most pixels of a frame (default: {LIMIT_PX})",
    )
    add_reading(parser, "Names of the predicted masks to read", predicted=True)
    return parser


def _write(out: Path, args: argparse.Namespace, runs: Sequence[Run], found: ForeignRuns) -> str:
    """Writes counts, tables and page; returns the text to print."""
    results = found.results._replace(
        data={
            "description": f"predicted masks in {args.runs}",
            "n_test": len(found.images),
        },
        environment={"command": this_command(), "jaxseg": __version__},
    )
    for run in runs:
        names = [f"{results.test_sets[0]}.{part}" for part in (*LAYOUTS, "image")]
        stored = {name: results.stored(run.arm, run.seed, name) for name in names}
        arrays = {name: array for name, array in stored.items() if array is not None}
        write_arrays(out / "counts" / f"{run.name}.npz", arrays)
    rows = [(k, name) for k, name in enumerate(found.images)]
    write_bytes(out / "images.csv", utf8(csv_text(("image", "name"), rows)))
    findings = position.findings(results)
    more = {
        "reading": {"notes": [*found.notes, *findings.sections[0].notes]},
        "run": {"taken": found.taken, "left_out": found.left_out},
    }
    sections = [s._replace(**more.get(s.name, {})) for s in findings.sections]
    findings = findings._replace(sections=sections)
    heading = f"Comparison of {', '.join(results.arms)}"
    page = write_findings(out, heading, findings)
    step = f"open {shlex.quote(str(page))}"
    return terminal_text(findings.sections, {"Report": str(page), "Next": step})
