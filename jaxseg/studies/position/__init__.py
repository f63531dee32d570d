"""The study of position: do networks lose objects near the border of the frame?

It fits every grid: Dice and recall by distance from the centre and the border, the border shortcut
index, and how arms differ in them.
"""

from jaxseg.studies.findings import Findings
from jaxseg.studies.position.measures import contrasts, estimates
from jaxseg.studies.position.sections import sections
from jaxseg.studies.results import Results


def is_for(results: Results) -> bool:
    """Whether the study fits: it fits all results of which there are counts by position."""
    return bool(results.test_sets)


def findings(results: Results) -> Findings:
    """All rows, and the sections of the page."""
    rows, compared = estimates(results), contrasts(results)
    return Findings(results, rows, compared, sections(results, rows, compared))
