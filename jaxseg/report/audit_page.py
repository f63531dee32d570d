"""Writes what an audit found: CSV files, figures, and its section of one page that opens offline.

Every kind of audit has its own section, kept in `sections/`, so that audits of one folder, made one
after the other, come together in one report.html; an audit made again replaces its section.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from jaxseg.errors import UsageError, check_permission, check_writable
from jaxseg.escape import utf8
from jaxseg.grid.storage import write_bytes
from jaxseg.homes import expand
from jaxseg.report import sections
from jaxseg.report.figures import rendered
from jaxseg.report.outcome import Outcome, Picture, Table
from jaxseg.report.page import document
from jaxseg.report.tables import as_csv
from jaxseg.report.words import number, plural
from jaxseg.texts import read_text

MAX_ROWS = 40
MAX_LEFT_OUT = 10
TITLE = re.compile("<h2>(.*?)</h2>")
ORDER = ("dataset", "predictions", "shift", "features")


def write_outcome(out: str | Path, outcome: Outcome, *, command: str) -> Path:
    """Writes `outcome` below `out` and returns the path of report.html.

    `<table>.csv`, `figures/<picture>.png` and `.svg`, `<outcome>_left_out.csv`, the section, and
    the page of all sections so far. Raises UsageError for the workdir of a grid, whose report.html
    is another; JaxsegError for a full disk.
    """
    out = expand(out)
    check_out(out)
    for table in outcome.tables:
        write_bytes(out / f"{table.name}.csv", _csv(table.columns, table.rows))
    lines = [(line,) for line in outcome.left_out]
    write_bytes(out / f"{outcome.name}_left_out.csv", _csv(("left_out",), lines))
    drawn = [_drawn(out / "figures", picture) for picture in outcome.pictures]
    section = section_html(outcome, drawn, command)
    write_bytes(out / "sections" / f"{outcome.name}.html", utf8(section))
    write_bytes(out / "report.html", utf8(page_html(out)))
    return out / "report.html"


def check_out(out: Path) -> None:
    """Raises UsageError for a folder that an audit must not write to, JaxsegError if it cannot."""
    check_permission(out)
    if (out / "config.json").exists():
        raise UsageError(f"--out {out}: is the workdir of a grid; give the audit another folder")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; give a folder")
    check_writable("--out", out)


def page_html(out: Path) -> str:
    """The page of all sections kept below `out`, in fixed order."""
    kept = {path.stem: path for path in sorted((out / "sections").glob("*.html"))}
    names = [n for n in ORDER if n in kept] + [n for n in kept if n not in ORDER]
    bodies = [read_text(kept[name], "remove it, and audit again") for name in names]
    titles = {name: TITLE.search(body) for name, body in zip(names, bodies)}
    links = [f'<a href="#{name}">{found[1]}</a>' for name, found in titles.items() if found]
    contents = f"<nav><p>{' · '.join(links)}</p></nav>" if len(links) > 1 else ""
    return document("Audit", [contents, *bodies])


def section_html(outcome: Outcome, drawn: Sequence[bytes], command: str) -> str:
    """The section: verdict, figures, tables, cautions, what was left out, and the command.

    `drawn` are the pictures as PNG. A long table ends with a link to its file.
    """
    verdict = "".join(f"<p>{sections.prose(line)}</p>" for line in outcome.verdict)
    figures = [
        sections.figure(p.name, png, p.alt, f"{p.title}.")
        for p, png in zip(outcome.pictures, drawn, strict=True)
    ]
    notes = f'<div class="caution">{sections.bullets(outcome.notes)}</div>' if outcome.notes else ""
    body = [
        f'<div class="headline">{verdict}</div>',
        *figures,
        *(_table(table) for table in outcome.tables),
        notes,
        _taken(outcome),
        _left_out(outcome),
        f"<p>Made by:</p><pre>{escape(command)}</pre>",
    ]
    return sections.section(outcome.name, outcome.title, "".join(body))


def shown(value: Any) -> str:
    """A value of a table as people read it: floats to three digits, all else as it is."""
    return number(value) if isinstance(value, float) else str(value)


def is_number(table: Table, column: int) -> bool:
    """Whether a column holds numbers alone."""
    return all(isinstance(row[column], int | float) for row in table.rows)


def _table(table: Table) -> str:
    right = [is_number(table, k) for k in range(len(table.columns))]
    body = [
        "".join(
            f'<td class="n">{escape(shown(v))}</td>' if n else f"<td>{escape(shown(v))}</td>"
            for v, n in zip(row, right)
        )
        for row in table.rows[:MAX_ROWS]
    ]
    hidden = len(table.rows) - MAX_ROWS
    more = f"{plural(hidden, 'more row')} in " if hidden > 0 else "As CSV: "
    link = f'<p class="soft">{more}<a href="{table.name}.csv">{table.name}.csv</a></p>'
    return sections.table(list(zip(table.columns, right)), body, table.title) + link


def _taken(outcome: Outcome) -> str:
    return f"<p><b>Read:</b></p>{sections.bullets(outcome.taken)}" if outcome.taken else ""


def _left_out(outcome: Outcome) -> str:
    if not outcome.left_out:
        return ""
    lines = sections.bullets(outcome.left_out[:MAX_LEFT_OUT])
    name = f"{outcome.name}_left_out.csv"
    count = plural(len(outcome.left_out), "file")
    first = f" The first {MAX_LEFT_OUT}" if len(outcome.left_out) > MAX_LEFT_OUT else " These"
    return f'<p><b>Left out: {count}.</b>{first} (all: <a href="{name}">{name}</a>):</p>{lines}'


def _drawn(folder: Path, picture: Picture) -> bytes:
    png = rendered(picture.figure, "png")
    write_bytes(folder / f"{picture.name}.png", png)
    write_bytes(folder / f"{picture.name}.svg", rendered(picture.figure, "svg"))
    return png


def _csv(columns: Sequence[str], rows: Sequence[Any]) -> bytes:
    return utf8(as_csv(rows, columns))
