"""The result in plain words: sentences that a researcher would sign, made from the rows alone."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxseg.metrics.verdict import ALPHA, NO_DIFFERENCE, NOT_SIGNIFICANT
from jaxseg.report.text import (
    interval,
    number,
    p_text,
    plural,
)
from jaxseg.studies.comparisons import INDEX, headline
from jaxseg.studies.position.cautions import cautions
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, families, value_of
from jaxseg.studies.wording import (
    brief_verdict,
    metric_name,
    prominent,
    setting_text,
    short,
    verdict_text,
)

MAX_FINDINGS = 8


class Reading(NamedTuple):
    """`value` [low, high] is the headline number and `label` says of what; then sentences."""

    value: float
    ci_low: float
    ci_high: float
    label: str
    sentence: str
    findings: list[str]
    cautions: list[str]


def reading(
    results: Results, rows: Sequence[EstimateRow], comparisons: Sequence[ContrastRow]
) -> Reading:
    """Headline, findings and cautions of a grid. Nothing is said that no row shows."""
    lead = headline(results, comparisons)
    findings = [*_pair_findings(results, comparisons), *_interaction_findings(results, comparisons)]
    if lead is None:
        value, low, high, sentence = _single_arm(results, rows)
        what = "border shortcut index"
    else:
        value, low, high = -lead.difference, -lead.ci_high, -lead.ci_low
        sentence = _headline_sentence(results, lead)
        new, old = (results.settings[arm][lead.axis] for arm in lead.arms)
        what = f"border shortcut index, {short(lead.axis)} {old} − {new}"
    return Reading(value, low, high, what, sentence, findings, cautions(results, rows, comparisons))


def _headline_sentence(results: Results, lead: ContrastRow) -> str:
    """`lead` is the other arm minus the baseline; the headline is told from the baseline's side."""
    new, old = results.settings[lead.arm_a][lead.axis], results.settings[lead.arm_b][lead.axis]
    rest = setting_text(results, lead.arm_b, without=(lead.axis,))
    same = f", {rest} in both" if rest else ""
    apart = f"{number(-lead.difference, signed=True)} {interval(-lead.ci_high, -lead.ci_low)}"
    basis = f"{lead.test_set} test set{same}; {_basis(lead)}"
    if lead.verdict == NO_DIFFERENCE:
        return (
            f"{verdict_text(lead).capitalize()}: networks trained with {short(lead.axis)} {old} "
            f"and with {new} differ by {apart} in the border shortcut index ({basis})."
        )
    more = "more" if lead.difference < 0 else "less"
    size = f"{number(abs(lead.difference))} {abs_interval(lead)}"
    told = (
        f"networks trained with {short(lead.axis)} {old} lose {size} {more} recall at the border, "
        f"relative to the interior, than networks trained with {short(lead.axis)} {new} ({basis})."
    )
    if lead.verdict == NOT_SIGNIFICANT:
        # p stands at the sentence's end; what the seeds could give is said nowhere else.
        why = NOT_SIGNIFICANT if lead.p_floor <= ALPHA else verdict_text(lead)
        return f"{why.capitalize()}: {told}"
    return told[0].upper() + told[1:]


def _single_arm(results: Results, rows: Sequence[EstimateRow]) -> tuple[float, float, float, str]:
    row = value_of(rows, results.arms[0], results.probe, "inner-outer", INDEX)
    if row is None or not math.isfinite(row.value):
        return math.nan, math.nan, math.nan, "No border shortcut index: nothing lies at the border."
    name = f" of {row.arm}" if results.axes else ""
    sentence = (
        f"The border shortcut index{name} is {number(row.value)} "
        f"{interval(row.ci_low, row.ci_high)} on the {row.test_set} test set "
        f"({plural(row.n_seeds, 'seed')}, {plural(row.n_images, 'image')}); "
        "no two arms could be compared."
    )
    return row.value, row.ci_low, row.ci_high, sentence


def _pair_findings(results: Results, rows: Sequence[ContrastRow]) -> Iterator[str]:
    pairs = [row for row in rows if row.kind == "pair"]
    lead = prominent(results, [r for r in pairs if r.metric == INDEX], MAX_FINDINGS)
    for row in lead:
        yield _pair_sentence(results, row, [r for r in pairs if r.arms == row.arms])
    for family in families(pairs):
        if len(family) > len(lead):
            shown = sum(row.is_shown for row in family)
            yield (
                f"Over the whole grid, a difference in {metric_name(family[0])} is shown in "
                f"{shown} of {plural(len(family), 'pair')}."
            )


def _pair_sentence(results: Results, row: ContrastRow, alike: Sequence[ContrastRow]) -> str:
    """All metrics of one pair: first what is shown, then what is not and what could have been."""
    new, old = results.settings[row.arm_a][row.axis], results.settings[row.arm_b][row.axis]
    rest = setting_text(results, row.arm_a, without=(row.axis,))
    start = f"{short(row.axis).capitalize()} {new} instead of {old}" + (
        f" ({rest})" if rest else ""
    )
    shown = [
        f"{metric_name(r)} {r.verdict} by {number(abs(r.difference))} {abs_interval(r)}"
        for r in alike
        if r.is_shown
    ]
    missed = [f"{metric_name(r)} ({_not_shown(r)})" for r in alike if r.verdict == NO_DIFFERENCE]
    unsure = [
        f"{metric_name(r)} {amount(r)}, {brief_verdict(r)}"
        for r in alike
        if r.verdict == NOT_SIGNIFICANT
    ]
    parts = [", ".join(found) for found in (shown, unsure) if found]
    parts += [f"{NO_DIFFERENCE} in {', '.join(missed)}"] * bool(missed)
    return f"{start}: {'; '.join(parts)}."


def _not_shown(row: ContrastRow) -> str:
    least = row.smallest_detectable
    # That few seeds cannot show any stands once, among the cautions.
    could = f", could have shown ≥ {number(least)}" if 0 < least < math.inf else ""
    return amount(row) + could


def _interaction_findings(results: Results, rows: Sequence[ContrastRow]) -> Iterator[str]:
    found = [row for row in rows if row.kind == "interaction" and row.metric == INDEX]
    pairs = {row.arms: row for row in rows if row.kind == "pair" and row.metric == INDEX}
    lead = prominent(results, found, MAX_FINDINGS // 2)
    for row in lead:
        under_new = pairs.get((row.arm_a, row.arm_b))
        under_old = pairs.get((row.arm_c, row.arm_d))
        if under_new and under_old:
            yield _interaction_sentence(results, row, under_new, under_old)
    if len(found) > len(lead):
        shown = sum(row.is_shown for row in found)
        yield (
            f"Over the whole grid, {shown} of {len(found)} interactions of the border shortcut "
            "index are shown."
        )


def _interaction_sentence(
    results: Results, row: ContrastRow, under_new: ContrastRow, under_old: ContrastRow
) -> str:
    """What one axis explains of another's effect, and what it leaves."""
    x, y = row.axis.split(" x ")
    a, d = results.settings[row.arm_a], results.settings[row.arm_d]
    effect = f"{short(y).capitalize()} {a[y]} instead of {d[y]}"
    new, old = f"{short(x)} {a[x]}", f"{short(x)} {d[x]}"
    told = (
        f"{effect} changes the border shortcut index by {amount(under_old)} under {old} and by "
        f"{amount(under_new)} under {new}; the difference is {amount(row)}"
    )
    if not row.is_shown:
        return (
            f"{told}: {brief_verdict(row)}. These runs do not say that {short(x)} plays a part in "
            f"what {short(y)} does, nor that it plays none."
        )
    if not under_old.is_shown:
        return f"{told}: what {short(y)} does depends on {short(x)}."
    return f"{told}: {_share(row, under_new, under_old, new, old, short(x), short(y))}"


def _share(
    row: ContrastRow,
    under_new: ContrastRow,
    under_old: ContrastRow,
    new: str,
    old: str,
    x: str,
    y: str,
) -> str:
    share = -row.difference / under_old.difference
    if share < 0:
        return f"the effect of {y} is larger under {new} than under {old}."
    if share > 1:
        return f"the effect of {y} under {old} is gone or reversed under {new}."
    gone = f"about {100 * share:.0f} % of the effect of {y} goes away when {old} becomes {new}"
    if not under_new.is_shown:
        return f"{gone}; under {new} no effect of {y} is shown."
    return f"{gone}. The rest is there under {new} too: {x} does not explain it."


def _basis(row: ContrastRow) -> str:
    sample = f"{plural(row.n_seeds, 'paired seed')}, {plural(row.n_images, 'image')}"
    return f"{sample}, p = {p_text(row.p)}"


def abs_interval(row: ContrastRow) -> str:
    """The interval of a difference told by its size: `[0.381, 0.442]` for either sign."""
    low, high = sorted((abs(row.ci_low), abs(row.ci_high)))
    return interval(low, high)


def amount(row: ContrastRow) -> str:
    """The difference with its sign and interval."""
    return f"{number(row.difference, signed=True)} {interval(row.ci_low, row.ci_high, signed=True)}"
