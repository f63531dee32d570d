"""The study of annotations: do networks rely on calipers and text burned into frames?

It fits grids that were tested on the same frames with and without annotations: how much Dice they
gain by annotations, by dose, plane and structure, and where their evidence lies.
"""

from jaxseg.studies.annotations.comparisons import Analysis, contrasts
from jaxseg.studies.annotations.measures import ANNOTATED, CLEAN, estimates, study
from jaxseg.studies.annotations.saliency import read_saliency, saliency_rows
from jaxseg.studies.annotations.sections import sections
from jaxseg.studies.findings import Findings
from jaxseg.studies.results import Results


def is_for(results: Results) -> bool:
    """Whether the same test frames were scored with and without annotations."""
    return {CLEAN, ANNOTATED} <= set(results.test_sets)


def findings(results: Results) -> Findings:
    """All rows, and the sections of the page. Raises JaxsegError for a damaged workdir."""
    found, saliency = study(results), read_saliency(results)
    rows = estimates(results, found) + saliency_rows(results, saliency)
    analysis = Analysis(results, found, rows, contrasts(results, found))
    return Findings(results, rows, analysis.contrasts, sections(analysis, saliency))
