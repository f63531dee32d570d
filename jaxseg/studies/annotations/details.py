"""Findings of a study of annotations beyond its main arms: where, in what, and how else."""

from collections.abc import Iterator, Sequence

from jaxseg.report.text import interval, number
from jaxseg.studies.annotations.arms import told_arms
from jaxseg.studies.annotations.comparisons import ARM, find
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    SEQUENCE,
    Study,
)
from jaxseg.studies.annotations.names import arm_names, dose
from jaxseg.studies.annotations.saliency import POINTING, RANDOM, RATIO
from jaxseg.studies.annotations.tables import RELIANCE, STABILITY, difference_of
from jaxseg.studies.position.reading import amount
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

MOST_CLASSES = 3
TEST_SETS = {
    "independent": "On test frames with annotations placed independently of the structure",
    "restored": "On test frames that were annotated and then cleared of what a detector found",
}


def detail_findings(
    results: Results, study: Study, rows: Sequence[EstimateRow], comparisons: Sequence[ContrastRow]
) -> list[str]:
    """Sentences on other arms, test sets, planes, structures, stability and saliency."""
    return [
        *_other_arms(results, study, comparisons),
        *_other_test_sets(study, comparisons),
        *_planes(study, rows),
        *_classes(study, rows),
        *_stability(study, rows),
        *_saliency(results, study, rows),
    ]


def with_interval(row: EstimateRow, digits: int = 3, signed: bool = False) -> str:
    """`0.412 [0.381, 0.442]`."""
    ends = interval(row.ci_low, row.ci_high, signed, digits)
    return f"{number(row.value, digits, signed)} {ends}".strip()


def is_above(row: EstimateRow) -> bool:
    """Whether the interval over seeds of a reliance lies above 0; such rows carry no test."""
    return row.n_seeds > 1 and row.ci_low > 0


def _other_arms(
    results: Results, study: Study, comparisons: Sequence[ContrastRow]
) -> Iterator[str]:
    """Arms of the baseline's dose that are placed or removed otherwise, most reliance first."""
    level = dose(results, study.roles.baseline)
    others = [
        find(comparisons, ARM, RELIANCE, arm, test_set=difference_of(ANNOTATED))
        for arm in told_arms(results)
        if arm not in study.roles and dose(results, arm) == level
    ]
    names = arm_names(results)
    ranked = sorted((row for row in others if row), key=lambda row: -row.difference)
    told = [
        f"{names[row.arm_a]}: {amount(row)}" + f", {row.verdict}" * (not row.is_shown)
        for row in ranked
    ]
    if told:
        yield f"Reliance of other arms at the same dose: {'; '.join(told)}."


def _other_test_sets(study: Study, comparisons: Sequence[ContrastRow]) -> Iterator[str]:
    for test_set, what in TEST_SETS.items():
        if test_set not in study.marked_sets:
            continue
        row = find(
            comparisons, ARM, RELIANCE, study.roles.baseline, test_set=difference_of(test_set)
        )
        if row is not None:
            yield (
                f"{what}, the baseline's Dice differs from that on clean ones by {amount(row)}: "
                f"{row.verdict}."
            )


def _planes(study: Study, rows: Sequence[EstimateRow]) -> Iterator[str]:
    name = difference_of(ANNOTATED)
    found = [
        row
        for row in rows
        if (row.arm, row.test_set, row.metric) == (study.roles.baseline, name, RELIANCE)
        and row.band.startswith("plane:")
    ]
    told = [f"{row.band.removeprefix('plane:')} {with_interval(row, signed=True)}" for row in found]
    if told:
        yield f"The baseline's reliance by plane: {', '.join(told)}."


def _classes(study: Study, rows: Sequence[EstimateRow]) -> Iterator[str]:
    found = [
        row
        for name in study.classes
        if (row := class_reliance(study, rows, study.roles.baseline, name)) is not None
    ]
    shown = sorted((row for row in found if is_above(row)), key=lambda row: -row.value)
    if shown:
        told = [
            f"{row.metric.partition(':')[2]} {with_interval(row, signed=True)}"
            for row in shown[:MOST_CLASSES]
        ]
        most = "Largest are" if len(shown) > MOST_CLASSES else "These are"
        yield (
            f"By structure, the interval of the baseline's reliance lies above 0 for {len(shown)} "
            f"of {len(found)}. {most} {', '.join(told)}."
        )


def class_reliance(
    study: Study, rows: Sequence[EstimateRow], arm: str, name: str
) -> EstimateRow | None:
    """The row of one class's reliance, where there are several classes."""
    return value_of(rows, arm, difference_of(ANNOTATED), ALL, f"{RELIANCE}:{name}")


def _stability(study: Study, rows: Sequence[EstimateRow]) -> Iterator[str]:
    parts = {"baseline": study.roles.baseline, "mitigated arm": study.roles.mitigated}
    parts |= {"networks that never saw an annotation": study.roles.control}
    found = {
        name: value_of(rows, arm, SEQUENCE, ALL, STABILITY)
        for name, arm in parts.items()
        if arm is not None
    }
    told = [f"{name} {with_interval(row)}" for name, row in found.items() if row]
    if told:
        yield (
            "Stability while a frozen frame is annotated (Dice between the first and the last "
            f"prediction, 1 is unchanged): {', '.join(told)}."
        )


def _saliency(results: Results, study: Study, rows: Sequence[EstimateRow]) -> Iterator[str]:
    test_set = next((row.test_set for row in rows if row.metric == RATIO), None)
    if test_set is None:
        return
    names = arm_names(results)
    told = []
    for arm in [a for a in (study.roles.baseline, study.roles.mitigated) if a]:
        found = [
            value_of(rows, arm, test_set, ALL, metric)
            for metric in (RATIO, RATIO + RANDOM, POINTING)
        ]
        if all(found):
            ratio, random, hit = (row for row in found if row)
            told.append(
                f"{names[arm]} {with_interval(ratio, 2)} (randomised weights "
                f"{number(random.value, 2)}; maximum on an annotation in {100 * hit.value:.0f} %)"
            )
    if told:
        yield (
            "Share of the saliency that lies on annotations, over their share of the frame (1 is "
            f"chance): {'; '.join(told)}."
        )
