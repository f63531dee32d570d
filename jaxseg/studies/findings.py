"""What a study has found in the results of a grid: its rows and the sections that say it."""

from typing import NamedTuple

from jaxseg.report.section import Section
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow


class Findings(NamedTuple):
    """`estimates` are the rows of summary.csv, `contrasts` those of comparisons.csv.

    `sections` are those of the page, in order; the first one leads with the headline.
    """

    results: Results
    estimates: list[EstimateRow]
    contrasts: list[ContrastRow]
    sections: list[Section]
