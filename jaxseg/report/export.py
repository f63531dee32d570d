"""Sections as files: tables as CSV, figures as PNG and SVG, and the page that shows them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from jaxseg.errors import UsageError, check_permission, check_writable
from jaxseg.grid.storage import write_bytes
from jaxseg.homes import expand
from jaxseg.report.page import page_html, section_html
from jaxseg.report.plot import rendered
from jaxseg.report.section import Label, Measure, Section, Table
from jaxseg.texts import csv_text, read_text, utf8

_HEADING = re.compile("<h2>(.*?)</h2>")


def write_page(folder: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Writes the files of all sections and `report.html`; returns the path of the page.

    Files are replaced one by one and whole, so that a reader never sees half of one; equal sections
    give equal bytes. Raises JaxsegError for a full disk.
    """
    folder = Path(folder)
    bodies = [write_files(folder, section) for section in sections if not section.is_empty]
    page = folder / "report.html"
    write_bytes(page, utf8(page_html(title, bodies)))
    return page


def add_to_page(folder: str | Path, section: Section, order: Sequence[str] = ()) -> Path:
    """Writes the files of one section and the page of all sections that were added so far.

    A section is kept as `sections/<name>.html`; one of the same name is replaced. On the page they
    follow the `order` of their names, unknown ones last. Raises UsageError for the workdir of a
    grid, whose report.html is another; JaxsegError for a full disk.
    """
    folder = expand(folder)
    check_out(folder)
    body = write_files(folder, section)
    write_bytes(folder / "sections" / f"{section.name}.html", utf8(body))
    kept = {path.stem: path for path in sorted((folder / "sections").glob("*.html"))}
    names = [n for n in order if n in kept] + [n for n in kept if n not in order]
    bodies = {name: read_text(kept[name], "remove it and audit again") for name in names}
    headings = {name: _HEADING.search(body) for name, body in bodies.items()}
    links = {name: Markup(found[1]) for name, found in headings.items() if found}
    write_bytes(folder / "report.html", utf8(page_html("Audit", list(bodies.values()), links)))
    return folder / "report.html"


def check_out(folder: Path) -> None:
    """Raises UsageError for a folder that an audit must not write to, JaxsegError if it cannot."""
    check_permission(folder)
    if (folder / "config.json").exists():
        raise UsageError(f"--out {folder}: is the workdir of a grid; give the audit another folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; give a folder")
    check_writable("--out", folder)


def write_files(folder: Path, section: Section) -> str:
    """Writes tables, figures and the list of what was left out; returns the section as HTML."""
    for table in section.tables:
        if table.name:
            write_bytes(folder / f"{table.name}.csv", utf8(table_csv(table)))
    if section.left_out:
        lines = csv_text(("left_out",), [(line,) for line in section.left_out])
        write_bytes(folder / f"{section.name}_left_out.csv", utf8(lines))
    else:
        (folder / f"{section.name}_left_out.csv").unlink(missing_ok=True)
    pictures = {}
    for figure in section.figures:
        pictures[figure.name] = rendered(figure.figure, "png")
        write_bytes(folder / "figures" / f"{figure.name}.png", pictures[figure.name])
        write_bytes(folder / "figures" / f"{figure.name}.svg", rendered(figure.figure, "svg"))
    return str(section_html(section, pictures))


def table_csv(table: Table) -> str:
    """The table as CSV text: numbers to 6 significant digits, NaN as an empty field."""
    return csv_text(table.columns, [[_field(value) for value in row] for row in table.rows])


def _field(value: Any) -> Any:
    if isinstance(value, Measure):
        value = value.value
    if isinstance(value, Label):
        value = value.text
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value
