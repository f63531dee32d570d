"""A study of annotations in plain words, made from the rows alone: headline, findings, cautions.

Nothing is said that no row shows.
"""

import math
from collections.abc import Iterator

import numpy as np

from jaxseg.metrics.verdict import ALPHA, HIGHER, LOWER, NO_DIFFERENCE, NOT_SIGNIFICANT, UNITS
from jaxseg.report.text import number, p_text, plural, with_interval
from jaxseg.studies.annotations.arms import (
    REMOVAL,
    TREND_DOSES,
    arm_value,
    dose,
    is_planned,
    lines,
    shown_arms,
)
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    ARM,
    CLEAN,
    DICE,
    POINTING,
    RANDOM,
    RATIO,
    RELIANCE,
    SEQUENCE,
    STABILITY,
    Analysis,
    bands,
    difference_of,
    image_dice,
)
from jaxseg.studies.rows import ContrastRow, EstimateRow
from jaxseg.studies.wording import (
    abs_interval,
    amount,
    brief_verdict,
    condition_cautions,
    could_text,
    data_cautions,
    learning_cautions,
    left_out_cautions,
    seed_cautions,
    verdict_text,
)

LABEL = "reliance: Dice on test frames with annotations minus the same frames without"
MOST_CLASSES = 3
TEST_SETS = {
    "independent": "On test frames with annotations placed independently of the structure",
    "restored": "On test frames that were annotated and then cleared of what a detector found",
}
FEW_FRAMES = 10
# With so little left to gain, annotations cannot help much, whatever a network makes of them.
LITTLE_ROOM = 0.95


def headline(analysis: Analysis) -> str:
    """The reliance of the baseline, chosen by `arms.roles`, and what removal does to it."""
    lead = analysis.reliance(analysis.roles.baseline)
    sentence = _reliance_sentence(analysis, lead)
    row = analysis.contrast(RELIANCE, analysis.roles.baseline, analysis.roles.mitigated)
    return f"{sentence} {_removal_sentence(analysis, row)}" if row else sentence


def _reliance_sentence(analysis: Analysis, lead: ContrastRow) -> str:
    found = [analysis.estimate(lead.arm_a, t, DICE) for t in (ANNOTATED, CLEAN)]
    levels = " against ".join(number(row.value) for row in found if row)
    basis = f"Dice {levels}; {_basis(lead)}"
    who = f"networks of the arm “{analysis.names[lead.arm_a]}”"
    frames = "test frames with annotations"
    if not math.isfinite(lead.difference):
        return f"No reliance can be given for {who}: no test frame holds a structure."
    # One training run says nothing of other seeds.
    scope = f" {UNITS['seeds']}" if lead.n_seeds > 1 else ""
    reason = verdict_text(lead).removeprefix(lead.verdict)
    if lead.verdict == NO_DIFFERENCE:
        return (
            f"No difference shown{scope}{reason}: on {frames}, the Dice of {who} differs from that "
            f"on the same frames without them by {amount(lead)} ({basis})."
        )
    size = f"{number(abs(lead.difference))} {abs_interval(lead)}"
    direction = "higher" if lead.difference > 0 else "lower"
    if lead.verdict == NOT_SIGNIFICANT:
        start = f"Not significant{scope}{reason}"
    elif lead.difference > 0:
        start = f"The shortcut is shown{scope}"
    else:
        start = f"No shortcut is shown{scope}, but the reverse"
    return (
        f"{start}: {who} score {size} {direction} on {frames} than on the same frames without them "
        f"({basis})."
    )


def _removal_sentence(analysis: Analysis, row: ContrastRow) -> str:
    """`row` is the reliance of the baseline minus that of the mitigated arm."""
    method = arm_value(analysis.results, row.arm_b, REMOVAL)
    how = f"Removing annotations from the training frames ({method})"
    change = amount(
        row._replace(difference=-row.difference, ci_low=-row.ci_high, ci_high=-row.ci_low)
    )
    if row.verdict == NO_DIFFERENCE:
        return f"{how} is not shown to change this: by {change}{_could(row)}."
    if row.verdict == NOT_SIGNIFICANT:
        return f"{how} changes this by {change}, which is {NOT_SIGNIFICANT}."
    word = "lowers" if row.difference > 0 else "raises"
    return f"{how} {word} this by {number(abs(row.difference))} {abs_interval(row)}."


# Findings.


def findings(analysis: Analysis) -> list[str]:
    """The other arms of `Roles` and trends first, then where, in what, and how else."""
    return [
        *_mitigated(analysis),
        *_control(analysis),
        *_placebo(analysis),
        *_trends(analysis),
        *_other_arms(analysis),
        *_other_test_sets(analysis),
        *_planes(analysis),
        *_classes(analysis),
        *_stability(analysis),
        *_saliency(analysis),
    ]


def _mitigated(analysis: Analysis) -> Iterator[str]:
    """Freedom from reliance is never proved: the interval leaves room for some."""
    arm = analysis.roles.mitigated
    if arm is None:
        return
    row = analysis.reliance(arm)
    start = f"The mitigated arm ({analysis.names[arm]})"
    if row.verdict == HIGHER:
        yield f"{start} still relies on annotations: reliance {amount(row)}, {_basis(row)}."
    elif row.verdict == LOWER:
        yield f"{start} scores lower with annotations than without: {amount(row)}, {_basis(row)}."
    elif row.verdict == NOT_SIGNIFICANT:
        yield f"{start}: reliance {amount(row)}, {brief_verdict(row)}."
    else:
        room = share = ""
        if row.n_seeds > 1 and row.ci_high > 0:
            room = f"; its interval leaves room for at most {number(row.ci_high)}"
        whole = analysis.reliance(analysis.roles.baseline)
        removed = analysis.contrast(RELIANCE, analysis.roles.baseline, arm)
        if removed is not None and whole.verdict == removed.verdict == HIGHER:
            percent = 100 * removed.difference / whole.difference
            most = "all" if percent > 99.5 else f"about {percent:.0f} %"
            share = f" Removal takes away {most} of the baseline's reliance."
        yield (
            f"{start} is not shown to rely on annotations: {amount(row)}{room}{_could(row)}.{share}"
        )
    cost = analysis.contrast(DICE, arm, analysis.roles.control)
    if cost is not None:
        yield (
            "What removal costs on clean test frames, against networks that never saw an "
            f"annotation: Dice {_sized(cost)}."
        )


def _control(analysis: Analysis) -> Iterator[str]:
    arm = analysis.roles.control
    if arm is None:
        return
    row = analysis.reliance(arm)
    sentence = f"Networks that never saw an annotation: reliance {_sized(row)}"
    if row.verdict == HIGHER:
        sentence += "; annotations help even where none was ever seen"
    gained = analysis.contrast(RELIANCE, analysis.roles.baseline, arm)
    if gained is not None:
        sentence += f". Training with annotations adds {_sized(gained)}"
    yield f"{sentence}."
    price = analysis.contrast(DICE, analysis.roles.baseline, arm)
    if price is not None:
        yield (
            "On clean test frames, the Dice of networks trained with annotations differs from that "
            f"of networks that never saw one by {_sized(price)}."
        )


def _placebo(analysis: Analysis) -> Iterator[str]:
    arm = analysis.roles.placebo
    if arm is None:
        return
    sentence = (
        f"The placebo ({analysis.names[arm]}), where spots are removed on which nothing was "
        f"drawn: reliance {_sized(analysis.reliance(arm))}"
    )
    cost = analysis.contrast(DICE, arm, analysis.roles.control)
    if cost is not None:
        sentence += (
            "; its Dice on clean frames differs from that of networks trained on untouched frames "
            f"by {_sized(cost)}"
        )
    yield f"{sentence}."


def _trends(analysis: Analysis) -> Iterator[str]:
    for line in lines(analysis.results):
        if len(line.arms) < TREND_DOSES:
            continue
        row = analysis.trend(line)
        if row is None:
            yield f"No trend is tested ({line.name}): no seed finished at every dose."
            continue
        size = f"{amount(row)} of Dice from 0 to 100 % annotated training frames, {_basis(row)}"
        if row.is_shown:
            word = "rises" if row.verdict == HIGHER else "falls"
            yield f"Reliance {word} with the dose ({line.name}): {size}."
        elif row.verdict == NOT_SIGNIFICANT:
            yield f"Slope of reliance over the dose ({line.name}), {row.verdict}: {size}."
        else:
            yield f"No trend of reliance with the dose is shown ({line.name}): {size}{_could(row)}."


def _other_arms(analysis: Analysis) -> Iterator[str]:
    """Arms of the baseline's dose that are placed or removed otherwise, most reliance first."""
    level = dose(analysis.results, analysis.roles.baseline)
    others = [
        analysis.reliance(arm)
        for arm in shown_arms(analysis.results)
        if arm not in analysis.roles and dose(analysis.results, arm) == level
    ]
    parts = [
        f"{analysis.names[row.arm_a]}: {amount(row)}{'' if row.is_shown else f', {row.verdict}'}"
        for row in sorted(others, key=lambda row: -row.difference)
    ]
    if parts:
        yield f"Reliance of other arms at the same dose: {'; '.join(parts)}."


def _other_test_sets(analysis: Analysis) -> Iterator[str]:
    for test_set, where in TEST_SETS.items():
        if test_set in analysis.study.marked_sets:
            row = analysis.reliance(analysis.roles.baseline, test_set)
            yield (
                f"{where}, the baseline's Dice differs from that on clean ones by {amount(row)}: "
                f"{row.verdict}."
            )


def _planes(analysis: Analysis) -> Iterator[str]:
    key = (analysis.roles.baseline, difference_of(ANNOTATED), RELIANCE)
    parts = [
        f"{row.band.removeprefix('plane:')} {_estimate(row, signed=True)}"
        for row in analysis.rows
        if (row.arm, row.test_set, row.metric) == key and row.band.startswith("plane:")
    ]
    if parts:
        yield f"The baseline's reliance by plane: {', '.join(parts)}."


def _classes(analysis: Analysis) -> Iterator[str]:
    """Structures whose interval lies above 0; such rows carry no test."""
    found = {
        name: row
        for name in analysis.study.classes
        if (row := analysis.class_reliance(analysis.roles.baseline, name))
    }
    above = {name: row for name, row in found.items() if row.n_seeds > 1 and row.ci_low > 0}
    if not above:
        return
    ranked = sorted(above, key=lambda name: -above[name].value)
    parts = [f"{name} {_estimate(above[name], signed=True)}" for name in ranked[:MOST_CLASSES]]
    most = "The largest are" if len(above) > MOST_CLASSES else "These are"
    yield (
        f"By structure, the interval of the baseline's reliance lies above 0 for {len(above)} of "
        f"{len(found)}. {most} {', '.join(parts)}."
    )


def _stability(analysis: Analysis) -> Iterator[str]:
    arms = {
        "baseline": analysis.roles.baseline,
        "mitigated arm": analysis.roles.mitigated,
        "networks that never saw an annotation": analysis.roles.control,
    }
    parts = [
        f"{name} {_estimate(row)}"
        for name, arm in arms.items()
        if (row := analysis.estimate(arm, SEQUENCE, STABILITY))
    ]
    if parts:
        yield (
            "Stability while a frozen frame is annotated (Dice between the first and the last "
            f"prediction, 1 is unchanged): {', '.join(parts)}."
        )


def _saliency(analysis: Analysis) -> Iterator[str]:
    scored = {(row.arm, row.metric): row for row in analysis.rows}
    parts, names = [], analysis.names
    for arm in filter(None, (analysis.roles.baseline, analysis.roles.mitigated)):
        ratio, random = scored.get((arm, RATIO)), scored.get((arm, RATIO + RANDOM))
        pointing = scored.get((arm, POINTING))
        if ratio and random and pointing:
            if not math.isfinite(ratio.value):
                parts.append(f"{names[arm]} has no map")
                continue
            parts.append(
                f"{names[arm]} {_estimate(ratio, 2)} (randomised weights "
                f"{number(random.value, 2)}; maximum on an annotation in "
                f"{100 * pointing.value:.0f} %)"
            )
    if parts:
        yield (
            "Share of the saliency that lies on annotations, over their share of the frame (1 is "
            f"chance): {'; '.join(parts)}."
        )


# Cautions.


def cautions(analysis: Analysis) -> list[str]:
    """What limits the numbers, most general first."""
    of_arms = [row for row in analysis.contrasts if row.kind == ARM]
    return [
        *seed_cautions(analysis.pairs or of_arms, analysis.rows),
        *_baseline_cautions(analysis),
        *_frame_cautions(analysis),
        *data_cautions(analysis.results),
        *left_out_cautions(analysis.results),
        *condition_cautions(analysis.results),
    ]


def _baseline_cautions(analysis: Analysis) -> Iterator[str]:
    roles = analysis.roles
    if not is_planned(analysis.results, roles.baseline):
        yield (
            "The headline is meant for annotations that are drawn, tied, not removed and at the "
            "highest contamination. No such arm has finished, so it is about "
            f"“{analysis.names[roles.baseline]}”."
        )
    row = analysis.estimate(roles.control or roles.baseline, CLEAN, DICE)
    if row is not None and row.value > LITTLE_ROOM:
        yield (
            f"Dice on clean frames is {row.value:.3f} already, without any annotation seen. There "
            "is little room for annotations to help, so a small reliance says little about harder "
            "images."
        )
    yield from learning_cautions(
        [row for row in analysis.rows if (row.metric, row.band) == (DICE, ALL)]
    )


def _frame_cautions(analysis: Analysis) -> Iterator[str]:
    """Few frames of a plane, structures and frames without a score; then arms that are missing."""
    study, roles = analysis.study, analysis.roles
    sizes = {
        band.removeprefix("plane:"): int(mask.sum())
        for band, mask in bands(study, CLEAN).items()
        if band != ALL
    }
    few = [f"{plane} ({n})" for plane, n in sizes.items() if n < FEW_FRAMES]
    if few:
        yield f"Planes with fewer than {FEW_FRAMES} test frames: {', '.join(few)}."
    scores = study.by_class[CLEAN, roles.baseline]
    absent = [name for k, name in enumerate(study.classes) if np.isnan(scores[..., k]).all()]
    if absent:
        yield f"No test frame holds {', '.join(absent)}: nothing is said about it."
    empty = int(np.isnan(image_dice(study, roles.baseline, CLEAN)[0]).sum())
    if empty:
        are = "holds no structure and is" if empty == 1 else "hold no structure and are"
        yield f"{plural(empty, 'test frame')} {are} left out of Dice and reliance."
    if len(absent) < len(study.classes) - 1:
        yield (
            "Dice of a frame is the mean over the structures it holds; pixels predicted as a "
            "structure that it does not hold lower it only where they take the place of one that "
            "it does."
        )
    row = analysis.estimate(roles.baseline, SEQUENCE, STABILITY)
    if row is not None and row.n_left_out > 0:
        yield (
            f"Of {row.n_images} sequences, stability has no value in {row.n_left_out:.3g} "
            "(baseline, averaged over seeds): neither prediction finds a structure that the frame "
            "holds."
        )
    if roles.control is None:
        yield (
            "No arm was trained without any annotation (contamination 0): how much of the "
            "reliance comes from training with annotations is not known."
        )
    if roles.mitigated is not None and roles.placebo is None:
        yield (
            "No placebo (annotate.drawn False): the effect of removal cannot be separated from "
            "that of the traces it leaves."
        )
    if all(len(line.arms) < TREND_DOSES for line in lines(analysis.results)):
        yield f"Fewer than {TREND_DOSES} doses of contamination: no trend is tested."


# Numbers in sentences.


def _estimate(row: EstimateRow, digits: int = 3, signed: bool = False) -> str:
    """`0.412 [0.381, 0.442]`, or `without a value`."""
    if not math.isfinite(row.value):
        return "without a value"
    return with_interval(row.value, row.ci_low, row.ci_high, signed, digits)


def _sized(row: ContrastRow) -> str:
    """The difference and what it shows."""
    if not row.is_shown:
        return f"{amount(row)}, {brief_verdict(row)}"
    return f"{amount(row)} (p = {p_text(row.p)})"


def _could(row: ContrastRow) -> str:
    """What could have been shown, in brackets; empty where so few seeds cannot show any."""
    could = could_text(row) if row.p_floor <= ALPHA else ""
    return f" ({could})" if could else ""


def _basis(row: ContrastRow) -> str:
    """Seeds, frames and p, with its floor where p lies on it."""
    sample = f"{plural(row.n_seeds, 'seed')}, {plural(row.n_images, 'frame')}"
    if not math.isfinite(row.p):
        return sample
    floor = f", the lowest {plural(row.n_seeds, 'seed')} can give" if row.p <= row.p_floor else ""
    return f"{sample}, p = {p_text(row.p)}{floor}"
