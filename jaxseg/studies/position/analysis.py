"""Everything a report says of one workdir, computed once and shared by page and terminal."""

from pathlib import Path
from typing import NamedTuple

from jaxseg.studies.annotations.comparisons import study_comparisons
from jaxseg.studies.annotations.measures import Study, study
from jaxseg.studies.annotations.reading import study_reading
from jaxseg.studies.annotations.saliency import Saliency, read_saliency, saliency_rows
from jaxseg.studies.annotations.tables import study_rows
from jaxseg.studies.comparisons import comparisons
from jaxseg.studies.estimates import summary
from jaxseg.studies.position.reading import Reading, reading
from jaxseg.studies.results import Results, load
from jaxseg.studies.rows import ContrastRow, EstimateRow


class Analysis(NamedTuple):
    """`rows` are summary.csv, `comparisons` comparisons.csv, `reading` the words.

    `study` holds what only a study of annotations has, `saliency` its maps where they were made.
    """

    results: Results
    rows: list[EstimateRow]
    comparisons: list[ContrastRow]
    reading: Reading
    study: Study | None = None
    saliency: Saliency | None = None


def analyse(workdir: str | Path) -> Analysis:
    """Reads `workdir` and computes all rows. Raises JaxsegError as `results.load` does.

    Where `clean` and `annotated` are among the test sets, it is read as a study of annotations.
    """
    results = load(workdir)
    found = study(results)
    if found is not None:
        return _study(results, found)
    rows, compared = summary(results), comparisons(results)
    return Analysis(results, rows, compared, reading(results, rows, compared))


def _study(results: Results, found: Study) -> Analysis:
    saliency = read_saliency(results)
    rows = study_rows(results, found) + saliency_rows(results, saliency)
    compared = study_comparisons(results, found)
    words = study_reading(results, found, rows, compared)
    return Analysis(results, rows, compared, words, found, saliency)
