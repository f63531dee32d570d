"""Sections as plain text for a terminal, at most 100 columns wide."""

import io
import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from jaxseg.errors import printable
from jaxseg.report.page import MAX_LEFT_OUT, right
from jaxseg.report.section import Section, Table, below, shown
from jaxseg.report.text import plural

WIDTH = 100
NARROWEST = 24  # the first column is wrapped down to this width, the others are never


def terminal_text(sections: Sequence[Section], next_steps: Mapping[str, str]) -> str:
    """What was read, tables, verdicts, cautions, what was left out, and the next steps by name.

    Control characters in names of files and folders are printed as `\\x1b`.
    """
    parts = [
        [line for s in sections for text in s.taken for line in _wrapped(text)],
        *(_table(table) for s in sections for table in s.tables if table.terminal_rows),
        [line for s in sections for text in s.verdict for line in _wrapped(text, hanging="")],
        [line for s in sections for text in s.notes for line in _wrapped(text, "! ")],
        *(_left_out(section) for section in sections),
        [printable(f"{name + ':':8} {text}") for name, text in next_steps.items()],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _table(table: Table) -> list[str]:
    """Rows up to `terminal_rows`; columns that do not fit the width are left to the file."""
    rows = [[_field(field) for field in row] for row in table.rows[: table.terminal_rows]]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(table.columns, *rows, strict=True)]
    # What no file holds is shown whatever its width.
    fit = _columns_that_fit(widths) if table.name else len(widths)
    room = max(NARROWEST, WIDTH - sum(2 + width for width in widths[1:fit]))
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for k, name in enumerate(table.columns[:fit]):
        justify = "right" if right(table, k) else "left"
        grid.add_column(Text(printable(name)), justify=justify, no_wrap=True)
    for first, *rest in rows:
        lines = textwrap.wrap(first, room, subsequent_indent="  ")
        grid.add_row(Text("\n".join(lines)), *map(Text, rest[: fit - 1]))
    screen = io.StringIO()
    Console(file=screen, width=WIDTH, color_system=None, legacy_windows=False).print(grid)
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    hidden = [("row", len(table.rows) - len(rows)), ("column", len(table.columns) - fit)]
    more = [plural(n, f"more {noun}") for noun, n in hidden if n > 0]
    where = f" in {table.name}.csv" if table.name else ""
    below = [f"… and {' and '.join(more)}{where}"] if more else []
    return [*lines, *below, *_wrapped(table.note, hanging="")]


def _field(field: object) -> str:
    """A number with its interval behind it; small lines of a text are for the page alone."""
    small = below(field)[:1] if hasattr(field, "low") else []
    return printable(" ".join([shown(field), *small]))


def _columns_that_fit(widths: Sequence[int]) -> int:
    used, fit = min(widths[0], NARROWEST), 1
    for width in widths[1:]:
        used += 2 + width
        if used > WIDTH and fit > 1:
            break
        fit += 1
    return fit


def _left_out(section: Section) -> list[str]:
    count = len(section.left_out)
    if not count:
        return []
    rest = f"; all in {section.name}_left_out.csv" if count > MAX_LEFT_OUT else ""
    first = section.left_out[:MAX_LEFT_OUT]
    lines = [line for text in first for line in _wrapped(text, "  ")]
    return [f"Left out: {plural(count, 'file')}{rest}", *lines]


def _wrapped(text: str, mark: str = "", hanging: str = "  ") -> list[str]:
    """Lines of at most WIDTH characters; a long path stays in one piece."""
    wrapper = textwrap.TextWrapper(
        WIDTH, initial_indent=mark, subsequent_indent=hanging, break_long_words=False
    )
    return wrapper.wrap(printable(text))
