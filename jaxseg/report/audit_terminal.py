"""What an audit found as plain text for a terminal, at most 100 columns wide."""

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from jaxseg.escape import printable
from jaxseg.homes import expand
from jaxseg.report.audit_page import MAX_LEFT_OUT, shown
from jaxseg.report.outcome import Outcome, Table
from jaxseg.report.terminal import WIDTH, aligned
from jaxseg.report.words import plural

MAX_ROWS = 24
GRID = "python launch/grid.py --config configs/padding_ablation.py:folders"


def outcome_text(outcome: Outcome, page: Path, next_step: str) -> str:
    """What was read, tables, verdict, cautions, what was left out, the page and the next step."""
    parts = [
        [line for text in outcome.taken for line in _hanging(text, "")],
        *(_table(table) for table in outcome.tables),
        [line for text in outcome.verdict for line in textwrap.wrap(text, WIDTH)],
        [line for text in outcome.notes for line in _hanging(text, "! ")],
        _left_out(outcome),
        [f"Report: {page}", f"Next:   {next_step}"],
    ]
    # Names of files and folders may hold what a terminal would obey.
    return "\n\n".join("\n".join(map(printable, part)) for part in parts if part)


def training_step(masks: Sequence[str]) -> str:
    """A command that trains on the one folder of `masks`, images/ beside it; else on a DIR."""
    root = expand(masks[0]).parent
    whole = len(masks) == 1 and Path(masks[0]).name == "masks" and (root / "images").is_dir()
    folder = shlex.quote(str(root)) if whole else "DIR"
    return f"does a network take it? {GRID} --config.data.manual_dir={folder}"


def _table(table: Table) -> list[str]:
    """Rows up to MAX_ROWS; columns that do not fit the width are left to the CSV file."""
    lines = [list(table.columns)] + [[shown(v) for v in row] for row in table.rows[:MAX_ROWS]]
    fit = _columns_that_fit(lines)
    hidden = [("row", len(table.rows) - MAX_ROWS), ("column", len(table.columns) - fit)]
    more = [plural(n, f"more {noun}") for noun, n in hidden if n > 0]
    tail = [f"… and {' and '.join(more)} in {table.name}.csv"] if more else []
    return [*aligned([line[:fit] for line in lines]), *tail]


def _columns_that_fit(lines: Sequence[Sequence[str]]) -> int:
    used, fit = 24, 1  # the first column wraps, the others do not
    for column in list(zip(*lines))[1:]:
        used += 2 + max(map(len, column))
        if used > WIDTH and fit > 1:
            break
        fit += 1
    return fit


def _left_out(outcome: Outcome) -> list[str]:
    count = len(outcome.left_out)
    if not count:
        return []
    rest = f"; all in {outcome.name}_left_out.csv" if count > MAX_LEFT_OUT else ""
    lines = [line for text in outcome.left_out[:MAX_LEFT_OUT] for line in _hanging(text, "  ")]
    return [f"Left out: {plural(count, 'file')}{rest}", *lines]


def _hanging(text: str, mark: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=mark, subsequent_indent="  ", break_long_words=False
    )
