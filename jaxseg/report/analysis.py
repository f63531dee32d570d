"""Everything a report says of one workdir, computed once and shared by page and terminal."""

from pathlib import Path
from typing import NamedTuple

from jaxseg.report.comparisons import Comparison, comparisons
from jaxseg.report.reading import Reading, reading
from jaxseg.report.results import Results, load
from jaxseg.report.tables import SummaryRow, summary


class Analysis(NamedTuple):
    """`rows` are summary.csv, `comparisons` comparisons.csv, `reading` the words."""

    results: Results
    rows: list[SummaryRow]
    comparisons: list[Comparison]
    reading: Reading


def analyse(workdir: str | Path) -> Analysis:
    """Reads `workdir` and computes all rows. Raises JaxsegError as `results.load` does."""
    results = load(workdir)
    rows, compared = summary(results), comparisons(results)
    return Analysis(results, rows, compared, reading(results, rows, compared))
