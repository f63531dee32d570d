"""The report of a grid: which study it is, its two tables of rows, its page and what is printed."""

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from etils import epath

from jaxseg.command_line import start_of
from jaxseg.errors import printable
from jaxseg.grid.storage import as_folder, is_local, names, write_bytes
from jaxseg.report.export import table_csv, write_page
from jaxseg.report.section import Table
from jaxseg.report.terminal import terminal_text
from jaxseg.studies import annotations, position
from jaxseg.studies.results import Results
from jaxseg.studies.rows import COMPARISON_COLUMNS, SUMMARY_COLUMNS, Findings
from jaxseg.studies.workdir_files import load
from jaxseg.texts import utf8

# Each has `is_for(results) -> bool` and `findings(results) -> Findings`; the first that fits is
# taken, and position fits every grid.
STUDIES: tuple[Any, ...] = (annotations, position)
_READ = ("config.json", "cells.csv", "metrics.jsonl", "progress.json", "examples.npz")
_READ += ("saliency.npz",)


def analyse(results: Results) -> Findings:
    """All rows and sections of the study that fits the results."""
    return next(study for study in STUDIES if study.is_for(results)).findings(results)


def write_report(workdir: str | os.PathLike[str]) -> tuple[epath.Path, Findings]:
    """Writes summary.csv, comparisons.csv, figures/ and report.html of a finished grid.

    The workdir may lie in an object store. Files are replaced one by one and whole, so that a
    reader never sees half of one; equal results give equal bytes.

    Returns:
      The path of the page, and what it shows.
    Raises:
      JaxsegError: no cell is done, a file is missing or damaged, or the disk is full.
    """
    with _local(workdir) as folder:
        found = analyse(load(folder))
        write_findings(folder, title(found.results), found)
    return as_folder(workdir) / "report.html", found


def write_findings(folder: Path, heading: str, found: Findings) -> Path:
    """Writes the two tables of rows, the figures and the page; returns the page's path."""
    _write_rows(folder / "summary.csv", found.estimates, SUMMARY_COLUMNS)
    _write_rows(folder / "comparisons.csv", found.contrasts, COMPARISON_COLUMNS)
    return write_page(folder, heading, found.sections)


def title(results: Results) -> str:
    """`padding_ablation on lesion_phantoms`; images of one's own go by the name of their folder."""
    data = str(results.data.get("name", "unnamed data"))
    if data == "folders":
        folder = PurePath(results.fields.data.manual_dir)
        data = printable(folder.name) or data
    return f"{results.config.get('name') or 'grid'} on {data}"


def terminal_report(found: Findings, workdir: str | os.PathLike[str]) -> str:
    """Tables, headline, cautions and what to do next, at most 100 columns wide."""
    place = os.fspath(workdir)
    cell = next(c.name for c in found.results.cells if c.status == "done")
    steps = {
        "Report": os.path.join(place, "report.html"),
        "Inspect": f"{start_of('inspect')} {shlex.join([place, '--cell', cell])}",
    }
    return terminal_text(found.sections, steps)


def _write_rows(path: Path, rows: Sequence[NamedTuple], columns: Sequence[str]) -> None:
    table = Table(
        path.stem, "", columns, [[getattr(row, name) for name in columns] for row in rows]
    )
    write_bytes(path, utf8(table_csv(table)))


@contextlib.contextmanager
def _local(workdir: str | os.PathLike[str]) -> Iterator[Path]:
    """The workdir itself where it is local; else a copy of what a report reads.

    Files that the body adds to the copy, such as report.html, are put into the workdir.
    """
    if is_local(workdir):
        yield Path(workdir)
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy, origin = Path(temporary), as_folder(workdir)
        counts = [f"counts/{name}.npz" for name in names(origin / "counts", ".npz")]
        for name in (*_READ, *counts):
            if (origin / name).exists():
                write_bytes(copy / name, (origin / name).read_bytes())
        before = set(copy.rglob("*"))
        yield copy
        for path in set(copy.rglob("*")) - before:
            if path.is_file():
                write_bytes(origin / path.relative_to(copy).as_posix(), path.read_bytes())
