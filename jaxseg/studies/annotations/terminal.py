"""The arms of a study of annotations for a terminal."""

from jaxseg.report.text import interval, number, p_text
from jaxseg.studies.annotations.arms import told_arms
from jaxseg.studies.annotations.measures import ALL, ANNOTATED, CLEAN
from jaxseg.studies.annotations.names import arm_names
from jaxseg.studies.annotations.reading import reliance_of
from jaxseg.studies.annotations.tables import DICE
from jaxseg.studies.position.analysis import Analysis
from jaxseg.studies.position.sections import MAX_ROWS
from jaxseg.studies.rows import value_of

Lines = list[list[str]]


def study_table(analysis: Analysis) -> Lines:
    """Rows of text, the head first: Dice without and with annotations, reliance and its p."""
    results = analysis.results
    names = arm_names(results)
    lines = [["arm", "seeds", "Dice clean", "annotated", "reliance", "p"]]
    for arm in results.arms if len(results.arms) <= MAX_ROWS else told_arms(results):
        found = [value_of(analysis.rows, arm, t, ALL, DICE) for t in (CLEAN, ANNOTATED)]
        row = reliance_of(analysis.comparisons, arm)
        size = number(row.difference, signed=True)
        size += f" {interval(row.ci_low, row.ci_high, signed=True)}"
        levels = [number(cell.value) if cell else "–" for cell in found]
        lines.append([names[arm], str(len(results.seeds[arm])), *levels, size, p_text(row.p)])
    return lines
