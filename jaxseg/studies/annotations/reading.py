"""A study of annotations in plain words, made from the rows alone."""

import math
from collections.abc import Iterator, Sequence

from jaxseg.metrics.verdict import (
    ALPHA,
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    NOT_SIGNIFICANT,
)
from jaxseg.report.text import number, p_text, plural
from jaxseg.studies.annotations.arms import TREND_DOSES, lines
from jaxseg.studies.annotations.cautions import study_cautions
from jaxseg.studies.annotations.comparisons import (
    ARM,
    CONTRAST,
    SLOPE,
    find,
)
from jaxseg.studies.annotations.details import detail_findings
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    CLEAN,
    Study,
)
from jaxseg.studies.annotations.names import REMOVAL, arm_names, arm_value
from jaxseg.studies.annotations.tables import DICE, RELIANCE, difference_of
from jaxseg.studies.position.reading import Reading, abs_interval, amount
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of
from jaxseg.studies.wording import brief_verdict, could_text, verdict_text

LABEL = "reliance: Dice on test frames with annotations minus the same frames without"


def study_reading(
    results: Results, study: Study, rows: Sequence[EstimateRow], comparisons: Sequence[ContrastRow]
) -> Reading:
    """Headline, findings and cautions; the headline is the reliance of the baseline.

    The baseline is chosen by `reliance_arms.roles` from settings alone. Nothing is said that no row
    shows.
    """
    lead = reliance_of(comparisons, study.roles.baseline)
    sentence = " ".join(
        [_headline(results, rows, lead), *_removal_sentence(results, study, comparisons)]
    )
    findings = [
        *_mitigated(results, study, comparisons),
        *_control(study, comparisons),
        *_placebo(results, study, comparisons),
        *_trends(results, comparisons),
        *detail_findings(results, study, rows, comparisons),
    ]
    held = study_cautions(results, study, rows, comparisons)
    return Reading(lead.difference, lead.ci_low, lead.ci_high, LABEL, sentence, findings, held)


def reliance_of(
    comparisons: Sequence[ContrastRow], arm: str, test_set: str = ANNOTATED
) -> ContrastRow:
    """The row of one arm's reliance; every finished arm has one."""
    row = find(comparisons, ARM, RELIANCE, arm, test_set=difference_of(test_set))
    assert row is not None, arm
    return row


def _headline(results: Results, rows: Sequence[EstimateRow], lead: ContrastRow) -> str:
    found = [value_of(rows, lead.arm_a, t, ALL, DICE) for t in (ANNOTATED, CLEAN)]
    levels = " against ".join(number(row.value) for row in found if row)
    basis = f"Dice {levels}; {_basis(lead)}"
    name = arm_names(results)[lead.arm_a]
    who = f"networks of the arm “{name}”"
    frames = "test frames with annotations"
    if not math.isfinite(lead.difference):
        return f"No reliance can be told of {who}: no test frame holds a structure."
    if lead.verdict == NO_DIFFERENCE:
        told = verdict_text(lead).capitalize()
        return (
            f"{told}: on {frames}, the Dice of {who} differs from that on the same frames without "
            f"them by {amount(lead)} ({basis})."
        )
    size = f"{number(abs(lead.difference))} {abs_interval(lead)}"
    what = f"score {size} {'higher' if lead.difference > 0 else 'lower'} on {frames}"
    if lead.verdict == NOT_SIGNIFICANT:
        start = verdict_text(lead).capitalize()
    else:
        more = lead.difference > 0
        start = "The shortcut is shown" if more else "No shortcut is shown, but the reverse"
    return f"{start}: {who} {what} than on the same frames without them ({basis})."


def _removal_sentence(
    results: Results, study: Study, comparisons: Sequence[ContrastRow]
) -> Iterator[str]:
    row = _contrast(comparisons, RELIANCE, study.roles.baseline, study.roles.mitigated)
    if row is None:
        return
    how = (
        f"Removing annotations from the training frames ({arm_value(results, row.arm_b, REMOVAL)})"
    )
    if row.verdict == NO_DIFFERENCE:
        yield f"{how} is not shown to change this: by {amount(_reversed(row))}{_could(row)}."
    elif row.verdict == NOT_SIGNIFICANT:
        yield f"{how} changes this by {amount(_reversed(row))}, {NOT_SIGNIFICANT} either."
    else:
        word = "lowers" if row.difference > 0 else "raises"
        yield f"{how} {word} this by {number(abs(row.difference))} {abs_interval(row)}."


def _mitigated(results: Results, study: Study, comparisons: Sequence[ContrastRow]) -> Iterator[str]:
    """Freedom from reliance is never proved: what the interval leaves room for is told."""
    arm = study.roles.mitigated
    if arm is None:
        return
    row = reliance_of(comparisons, arm)
    start = f"The mitigated arm ({arm_names(results)[arm]})"
    if row.verdict == HIGHER:
        yield f"{start} still relies on annotations: reliance {amount(row)}, {_basis(row)}."
    elif row.verdict == LOWER:
        yield f"{start} scores lower with annotations than without: {amount(row)}, {_basis(row)}."
    elif row.verdict == NOT_SIGNIFICANT:
        yield f"{start}: reliance {amount(row)}, {brief_verdict(row)}."
    else:
        room = f"; its interval leaves room for at most {number(row.ci_high)}"
        room = room if row.n_seeds > 1 and row.ci_high > 0 else ""
        told = f"{start} is not shown to rely on annotations: {amount(row)}{room}{_could(row)}"
        yield f"{told}.{_share_removed(comparisons, study)}"
    cost = _contrast(comparisons, DICE, arm, study.roles.control)
    if cost is not None:
        yield (
            "What removal costs on clean test frames, against networks that never saw an "
            f"annotation: Dice {_sized(cost)}."
        )


def _share_removed(comparisons: Sequence[ContrastRow], study: Study) -> str:
    whole = reliance_of(comparisons, study.roles.baseline)
    row = _contrast(comparisons, RELIANCE, study.roles.baseline, study.roles.mitigated)
    if row is None or not whole.verdict == row.verdict == HIGHER:
        return ""
    share = 100 * row.difference / whole.difference
    most = "all" if share > 99.5 else f"about {share:.0f} %"
    return f" Removal takes away {most} of the baseline's reliance."


def _control(study: Study, comparisons: Sequence[ContrastRow]) -> Iterator[str]:
    arm = study.roles.control
    if arm is None:
        return
    row = reliance_of(comparisons, arm)
    met = "; annotations help even where none was ever seen" * (row.verdict == HIGHER)
    gained = _contrast(comparisons, RELIANCE, study.roles.baseline, arm)
    more = f". Training with annotations adds {_sized(gained)}" if gained else ""
    yield f"Networks that never saw an annotation: reliance {_sized(row)}{met}{more}."
    price = _contrast(comparisons, DICE, study.roles.baseline, arm)
    if price is not None:
        yield (
            "On clean test frames, the Dice of networks trained with annotations differs from that "
            f"of networks that never saw one by {_sized(price)}."
        )


def _placebo(results: Results, study: Study, comparisons: Sequence[ContrastRow]) -> Iterator[str]:
    arm = study.roles.placebo
    if arm is None:
        return
    start = (
        f"The placebo ({arm_names(results)[arm]}), where spots are removed on which nothing was "
        f"drawn: reliance {_sized(reliance_of(comparisons, arm))}"
    )
    cost = _contrast(comparisons, DICE, arm, study.roles.control)
    rest = "; its Dice on clean frames differs from that of networks trained on untouched frames by"
    yield f"{start}{f'{rest} {_sized(cost)}' if cost else ''}."


def _trends(results: Results, comparisons: Sequence[ContrastRow]) -> Iterator[str]:
    for line in lines(results):
        if len(line.arms) < TREND_DOSES:
            continue
        arms = [*line.arms.values()]
        row = find(comparisons, "trend", SLOPE, arms[-1], arms[0])
        if row is None:
            yield f"No trend is tested ({line.name}): no seed finished at every dose."
            continue
        size = f"{amount(row)} of Dice from 0 to 100 % annotated training frames, {_basis(row)}"
        word = {HIGHER: "rises", LOWER: "falls"}.get(row.verdict)
        if word:
            yield f"Reliance {word} with the dose ({line.name}): {size}."
        elif row.verdict == NOT_SIGNIFICANT:
            yield f"Slope of reliance over the dose ({line.name}), {row.verdict}: {size}."
        else:
            yield f"No trend of reliance with the dose is shown ({line.name}): {size}{_could(row)}."


def _contrast(
    comparisons: Sequence[ContrastRow], metric: str, arm: str | None, other: str | None
) -> ContrastRow | None:
    return find(comparisons, CONTRAST, metric, arm, other)


def _reversed(row: ContrastRow) -> ContrastRow:
    return row._replace(difference=-row.difference, ci_low=-row.ci_high, ci_high=-row.ci_low)


def _sized(row: ContrastRow) -> str:
    """The difference and what it shows."""
    if not row.is_shown:
        return f"{amount(row)}, {brief_verdict(row)}"
    return f"{amount(row)} (p = {p_text(row.p)})"


def _could(row: ContrastRow) -> str:
    could = could_text(row) if row.p_floor <= ALPHA else ""
    return f" ({could})" if could else ""


def _basis(row: ContrastRow) -> str:
    """Seeds, frames and p, with its floor where p lies on it."""
    sample = f"{plural(row.n_seeds, 'seed')}, {plural(row.n_images, 'frame')}"
    if not math.isfinite(row.p):
        return sample
    floor = f", the lowest {plural(row.n_seeds, 'seed')} can give" * (row.p <= row.p_floor)
    return f"{sample}, p = {p_text(row.p)}{floor}"
