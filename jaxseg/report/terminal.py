"""The result as plain text for a terminal, at most 100 columns wide."""

import os
import shlex
import textwrap
from collections.abc import Sequence

from jaxseg.escape import printable
from jaxseg.report.analysis import Analysis
from jaxseg.report.comparisons import INDEX
from jaxseg.report.reliance_tables import RELIANCE
from jaxseg.report.reliance_terminal import study_table
from jaxseg.report.tables import value_of
from jaxseg.report.words import (
    interval,
    label,
    metric_name,
    number,
    p_text,
    prominent,
)

WIDTH = 100
_INSPECT = ("python", "launch/inspect_checkpoint.py")
MAX_ROWS = 12


def terminal_table(analysis: Analysis, workdir: str | os.PathLike[str] | None = None) -> str:
    """Arms, headline, comparisons of the headline's metric, cautions, and what to do next.

    `workdir` is the one to name, where the results were read from a copy of it.
    """
    workdir = os.fspath(workdir or analysis.results.workdir)
    told = aligned(study_table(analysis)) if analysis.study else _arms(analysis)
    cell = next(c.name for c in analysis.results.cells if c.status == "done")
    return "\n".join(
        [
            *told,
            "",
            *textwrap.wrap(analysis.reading.sentence, WIDTH),
            "",
            *_comparisons(analysis, RELIANCE if analysis.study else INDEX),
            *_cautions(analysis),
            f"Report:  {printable(os.path.join(workdir, 'report.html'))}",
            f"Inspect: {shlex.join([*_INSPECT, workdir, '--cell', cell])}",
        ]
    )


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns two blanks apart; the first is wrapped when the line would pass WIDTH."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    widths[0] = max(12, min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)))
    aligned = []
    for first, *rest in lines:
        start, *more = textwrap.wrap(first, widths[0], subsequent_indent="  ") or [""]
        columns = [text.ljust(width) for text, width in zip([start, *rest], widths)]
        aligned += ["  ".join(columns).rstrip(), *more]
    return aligned


def _arms(analysis: Analysis) -> list[str]:
    results, probe = analysis.results, analysis.results.probe
    columns = [(f"Dice {t}", t, "all", "dice") for t in results.test_sets]
    columns += [("border recall", probe, "outer", "recall")]
    columns += [("shortcut index", probe, "inner-outer", INDEX)]
    lines = [["arm", "seeds", *(column[0] for column in columns)]]
    for arm in results.arms:
        found = [value_of(analysis.rows, arm, *column[1:]) for column in columns]
        numbers = [number(row.value) if row else "–" for row in found]
        last = found[-1]
        numbers[-1] += f" {interval(last.ci_low, last.ci_high)}" if last else ""
        lines.append([arm, str(len(results.seeds[arm])), *numbers])
    return [*aligned(lines), f"(border recall and shortcut index: {probe} test set)"]


def _comparisons(analysis: Analysis, metric: str) -> list[str]:
    compared = ("pair", "interaction")
    rows = [r for r in analysis.comparisons if r.metric == metric and r.kind in compared]
    shown = prominent(analysis.results, rows, MAX_ROWS)
    if not shown:
        return []
    lines = [[metric_name(rows[0]), "difference", "p", "verdict"]]
    for row in shown:
        amount = number(row.difference, signed=True)
        amount += f" {interval(row.ci_low, row.ci_high, signed=True)}"
        lines.append([label(analysis.results, row), amount, p_text(row.p), row.verdict])
    more = f"… and {len(rows) - len(shown)} more in comparisons.csv"
    return [*aligned(lines), *([more] if len(shown) < len(rows) else []), ""]


def _cautions(analysis: Analysis) -> list[str]:
    wrapped = [
        textwrap.fill(text, WIDTH, initial_indent="! ", subsequent_indent="  ")
        for text in analysis.reading.cautions
    ]
    return [*wrapped, ""] if wrapped else []
