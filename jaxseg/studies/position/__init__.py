"""The study of position: do networks lose objects near the border of the frame?

It fits every grid: Dice and recall by distance from the centre and the border, the border shortcut
index, and how arms differ in them. Sentences are made from the rows alone.
"""

import math
from collections.abc import Iterator, Sequence

from jaxseg.metrics.verdict import ALPHA, HIGHER, LOWER, NO_DIFFERENCE, NOT_SIGNIFICANT
from jaxseg.nets.registry import BUILT_IN
from jaxseg.report.section import Figure, Measure, Section, Table
from jaxseg.report.text import interval, number, p_text, plural
from jaxseg.studies import grid_sections as grid
from jaxseg.studies.grid_sections import MAX_ROWS, estimate_field
from jaxseg.studies.position.figures import band_dice, examples, shown_arms
from jaxseg.studies.position.measures import INDEX, contrasts, estimates, headline
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, Findings, families, value_of
from jaxseg.studies.wording import (
    abs_interval,
    amount,
    brief_verdict,
    condition_cautions,
    data_cautions,
    learning_cautions,
    left_out_cautions,
    listed,
    metric_name,
    prominent,
    seed_cautions,
    setting_text,
    short,
    verdict_text,
)

TERMS = {
    "recall at the border": "Share of the true object pixels within {border} px of the frame's "
    "border that are found, all images together.",
    "border shortcut index": "Recall in the interior minus recall at the border. 0: the border is "
    "segmented as well as the interior. Above 0: objects are lost at the border.",
    "Dice": "2 tp / (2 tp + fp + fn). Pooled: counted over all images together. Per image: mean "
    "over images, where images with nothing there and nothing predicted are {empty}.",
    "quarter, random": "Test sets of crops in which objects reach the border; full: whole frames.",
    "ring": "Pixels at one distance from the centre (squares, as in the paper) or from the border.",
    "interaction": "Difference of differences: how much the effect of one setting depends on "
    "another.",
}
EMPTY = {"nan": "left out", "one": "scored 1", "smooth1": "scored 1 (smoothed as published)"}
MAX_FINDINGS = 8


def is_for(results: Results) -> bool:
    """Whether the study fits: it fits all results of which there are counts by position."""
    return bool(results.test_sets)


def findings(results: Results) -> Findings:
    """All rows, and the sections of the page; empty ones where the results hold nothing to show."""
    rows, compared = estimates(results), contrasts(results)
    border, empty = results.scoring.border_px, EMPTY[results.scoring.empty]
    terms = {name: text.format(border=border, empty=empty) for name, text in TERMS.items()}
    sections = [
        _headline(results, rows, compared),
        _bands(results, rows),
        _arms(results, rows),
        grid.comparison_section(results, compared, lead_metric=INDEX),
        _examples(results),
        grid.learning_curves_section(results),
        grid.run_section(results),
        Section("terms", "Terms", terms=terms | grid.TERMS),
        grid.reproduce_section(results),
    ]
    return Findings(results, rows, compared, sections)


# The sections.


def _headline(
    results: Results, rows: Sequence[EstimateRow], compared: Sequence[ContrastRow]
) -> Section:
    lead, label = headline(results, compared), "border shortcut index"
    if lead is None:
        row = value_of(rows, results.arms[0], results.probe, "inner-outer", INDEX)
        index, sentence = estimate_field(row, signed=True), _arm_sentence(results, row)
    else:
        new, old = (results.settings[arm][lead.axis] for arm in lead.arms)
        label += f", {short(lead.axis)} {old} − {new}"
        index = Measure(-lead.difference, -lead.ci_high, -lead.ci_low, signed=True)
        sentence = _headline_sentence(results, lead)
    return Section(
        "reading",
        "Result",
        lead=index,
        lead_label=label,
        verdict=[sentence],
        findings=[*_pairs(results, compared), *_interactions(results, compared)],
        notes=cautions(results, rows, compared),
    )


def _bands(results: Results, rows: Sequence[EstimateRow]) -> Section:
    look = grid.grid_look(results)
    only = f" Only the {results.probe} test set." if len(look.panels) > 1 else ""
    figure = Figure(
        "band_dice",
        "Dice by half-width of the square ring, and recall by distance to the border (rings of "
        f"{results.scoring.border_px} px). The border is at the right of every panel. Mean over "
        "seeds; shaded: 95 % interval. Rings that never hold an object have no point."
        f"{only}{grid.panels_note(results, look)}",
        "Line plots of Dice and recall by position in the frame, one line per arm",
        band_dice(results, rows, look),
    )
    return Section("band_dice", "Where in the frame", figures=[figure])


def _arms(results: Results, rows: Sequence[EstimateRow]) -> Section:
    """Dice on every test set, recall at the border and the index on the probe, a row an arm."""
    probe = results.probe
    keys = {f"Dice, {test_set}": (test_set, "all", "dice") for test_set in results.test_sets}
    keys[f"Recall at the border, {probe}"] = (probe, "outer", "recall")
    keys[f"Border shortcut index, {probe}"] = (probe, "inner-outer", INDEX)
    page, terminal = [], []
    for arm in results.arms:
        own = [row for row in rows if row.arm == arm]
        fields = []
        for test_set, band, metric in keys.values():
            each = value_of(own, arm, test_set, band, f"{metric}_per_image")
            spread = value_of(own, arm, test_set, band, f"{metric}_per_image_sd")
            below = f"{number(each.value)} ± {number(spread.value)}" if each and spread else ""
            row = value_of(own, arm, test_set, band, metric)
            fields.append(estimate_field(row, below=below))
        *shares, index = fields
        seeds = len(results.seeds[arm])
        page.append([*(results.settings[arm].values() or [arm]), seeds, *fields])
        terminal.append([arm, seeds, *(field and field.value for field in shares), index])
    names = [f"Dice {test_set}" for test_set in results.test_sets]
    tables = [
        Table(
            "",
            "Pooled over images and averaged over seeds, with 95 % intervals; below Dice the mean "
            "± SD over images.",
            [*(list(results.axes) or ["arm"]), "Seeds", *keys],
            page,
            page_rows=MAX_ROWS,
            terminal_rows=0,
        ),
        Table(
            "",
            "",
            ["arm", "seeds", *names, "border recall", "shortcut index"],
            terminal,
            page_rows=0,
            terminal_rows=len(results.arms),
            note=f"(border recall and shortcut index: {probe} test set)",
        ),
    ]
    return Section("arms", "Arms", tables=tables)


def _examples(results: Results) -> Section:
    drawn = examples(results)
    if drawn is None or results.examples is None:
        return Section("examples", "Examples")
    arms = shown_arms(results)
    some = f" {len(arms)} of {len(results.arms)} arms." if len(arms) < len(results.arms) else ""
    figure = Figure(
        "examples",
        f"Rule: {results.examples.rule}. Seed {results.shown_seed(arms)}.{some}",
        "Example images with the true outline and each arm's errors",
        drawn,
    )
    return Section("examples", "Examples", figures=[figure])


# The headline in words.


def _headline_sentence(results: Results, lead: ContrastRow) -> str:
    """`lead` is the other arm minus the baseline, the sentence the reverse."""
    new, old = (results.settings[arm][lead.axis] for arm in lead.arms)
    rest = setting_text(results, lead.arm_b, without=(lead.axis,))
    same = f", {rest} in both" if rest else ""
    apart = f"{number(-lead.difference, signed=True)} {interval(-lead.ci_high, -lead.ci_low)}"
    sample = f"{plural(lead.n_seeds, 'paired seed')}, {plural(lead.n_images, 'image')}"
    basis = f"{lead.test_set} test set{same}; {sample}, p = {p_text(lead.p)}"
    if lead.verdict == NO_DIFFERENCE:
        return (
            f"{verdict_text(lead).capitalize()}: networks trained with {short(lead.axis)} {old} "
            f"and with {new} differ by {apart} in the border shortcut index ({basis})."
        )
    more = "more" if lead.difference < 0 else "less"
    size = f"{number(abs(lead.difference))} {abs_interval(lead)}"
    sentence = (
        f"networks trained with {short(lead.axis)} {old} lose {size} {more} recall at the border, "
        f"relative to the interior, than networks trained with {short(lead.axis)} {new} ({basis})."
    )
    if lead.verdict == NOT_SIGNIFICANT:
        # p is at the sentence's end; what the seeds could give is said nowhere else.
        why = NOT_SIGNIFICANT if lead.p_floor <= ALPHA else verdict_text(lead)
        return f"{why.capitalize()}: {sentence}"
    return sentence[0].upper() + sentence[1:]


def _arm_sentence(results: Results, row: EstimateRow | None) -> str:
    """The headline where no two arms could be compared."""
    if row is None or not math.isfinite(row.value):
        return "No border shortcut index: nothing lies at the border."
    name = f" of {row.arm}" if results.axes else ""
    return (
        f"The border shortcut index{name} is {number(row.value)} "
        f"{interval(row.ci_low, row.ci_high)} on the {row.test_set} test set "
        f"({plural(row.n_seeds, 'seed')}, {plural(row.n_images, 'image')}); "
        "no two arms could be compared."
    )


# Findings: what pairs of arms and interactions show, a sentence each.


def _pairs(results: Results, rows: Sequence[ContrastRow]) -> Iterator[str]:
    pairs = [row for row in rows if row.kind == "pair"]
    chosen = prominent(results, [row for row in pairs if row.metric == INDEX], MAX_FINDINGS)
    for row in chosen:
        yield _pair_sentence(results, [other for other in pairs if other.arms == row.arms])
    for family in families(pairs):
        if len(family) > len(chosen):
            shown = sum(row.is_shown for row in family)
            yield (
                f"Over the whole grid, a difference in {metric_name(family[0])} is shown in "
                f"{shown} of {plural(len(family), 'pair')}."
            )


def _pair_sentence(results: Results, rows: Sequence[ContrastRow]) -> str:
    """All metrics of one pair: first what is shown, then what is not and what could have been."""
    row = rows[0]
    new, old = (results.settings[arm][row.axis] for arm in row.arms)
    rest = setting_text(results, row.arm_a, without=(row.axis,))
    start = f"{short(row.axis).capitalize()} {new} instead of {old}"
    start += f" ({rest})" if rest else ""
    shown, unsure, missed = [], [], []
    for r in rows:
        name = metric_name(r)
        if r.is_shown:
            shown.append(f"{name} {r.verdict} by {number(abs(r.difference))} {abs_interval(r)}")
        elif r.verdict == NOT_SIGNIFICANT:
            # What so few seeds cannot reach is said once, among the cautions; below too.
            p = f" (p = {p_text(r.p)})" if r.p_floor <= ALPHA else ""
            unsure.append(f"{name} {amount(r)}{p}")
        else:
            least = r.smallest_detectable
            could = f", could have shown ≥ {number(least)}" if 0 < least < math.inf else ""
            missed.append(f"{name} ({amount(r)}{could})")
    parts = [", ".join(shown)] if shown else []
    if unsure:
        parts.append(f"{NOT_SIGNIFICANT}: {', '.join(unsure)}")
    if missed:
        parts.append(f"{NO_DIFFERENCE} in {', '.join(missed)}")
    return f"{start}: {'; '.join(parts)}."


def _interactions(results: Results, rows: Sequence[ContrastRow]) -> Iterator[str]:
    found = [row for row in rows if row.kind == "interaction" and row.metric == INDEX]
    pairs = {row.arms: row for row in rows if row.kind == "pair" and row.metric == INDEX}
    chosen = prominent(results, found, MAX_FINDINGS // 2)
    for row in chosen:
        under_new = pairs.get((row.arm_a, row.arm_b))
        under_old = pairs.get((row.arm_c, row.arm_d))
        if under_new and under_old:
            yield _interaction_sentence(results, row, under_new, under_old)
    if len(found) > len(chosen):
        shown = sum(row.is_shown for row in found)
        yield (
            f"Over the whole grid, {shown} of {len(found)} interactions of the border shortcut "
            "index are shown."
        )


def _interaction_sentence(
    results: Results, row: ContrastRow, under_new: ContrastRow, under_old: ContrastRow
) -> str:
    """What one axis explains of another's effect, and what it leaves."""
    x_axis, y_axis = row.axis.split(" x ")
    x, y = short(x_axis), short(y_axis)
    a, d = results.settings[row.arm_a], results.settings[row.arm_d]
    new, old = f"{x} {a[x_axis]}", f"{x} {d[x_axis]}"
    sentence = (
        f"{y.capitalize()} {a[y_axis]} instead of {d[y_axis]} changes the border shortcut index by "
        f"{amount(under_old)} under {old} and by {amount(under_new)} under {new}; the difference "
        f"is {amount(row)}"
    )
    if not row.is_shown:
        return (
            f"{sentence}: {brief_verdict(row)}. These runs do not say that {x} plays a part in "
            f"what {y} does, nor that it plays none."
        )
    if not under_old.is_shown:
        return f"{sentence}: what {y} does depends on {x}."
    share = -row.difference / under_old.difference
    if share < 0:
        return f"{sentence}: the effect of {y} is larger under {new} than under {old}."
    if share > 1:
        return f"{sentence}: the effect of {y} under {old} is gone or reversed under {new}."
    gone = f"about {100 * share:.0f} % of the effect of {y} goes away when {old} becomes {new}"
    if not under_new.is_shown:
        return f"{sentence}: {gone}; under {new} no effect of {y} is shown."
    return f"{sentence}: {gone}. The rest is there under {new} too: {x} does not explain it."


# Cautions.


def cautions(
    results: Results, rows: Sequence[EstimateRow], compared: Sequence[ContrastRow]
) -> list[str]:
    """Sentences, most general first."""
    return [
        *seed_cautions(compared, rows),
        *_index_cautions(compared),
        *data_cautions(results),
        *_design_cautions(results),
        *learning_cautions([row for row in rows if (row.metric, row.band) == ("dice", "all")]),
        *left_out_cautions(results),
        *condition_cautions(results),
    ]


def _index_cautions(compared: Sequence[ContrastRow]) -> Iterator[str]:
    """An index also falls when recall in the interior does."""
    higher = {
        (row.arms, row.test_set)
        for row in compared
        if (row.metric, row.band, row.verdict) == ("recall", "outer", HIGHER)
    }
    doubtful = [
        f"{row.arm_a} against {row.arm_b}"
        for row in compared
        if (row.kind, row.metric, row.verdict) == ("pair", INDEX, LOWER)
        and (row.arms, row.test_set) not in higher
    ]
    if doubtful:
        yield (
            "The index is lower, but recall at the border is not shown to be higher, in "
            f"{listed(doubtful)}: it can have fallen with recall in the interior, which is no cure."
        )


def _design_cautions(results: Results) -> Iterator[str]:
    crops = results.axes.get("data.crop", [])
    if "center" in crops and len(crops) > 1 and "center_same_scale" not in crops:
        yield (
            "Crop center shows whole frames; the other crops also enlarge what they show, up to "
            "twofold. Their differences mix position with magnification; the crop "
            "center_same_scale separates the two."
        )
    one_upsampling = "net.padding" in results.axes and "net.upsampling" not in results.axes
    net = results.fields.net
    if one_upsampling and net.name in BUILT_IN and net.upsampling == "align_corners":
        yield (
            "Up-sampling was align_corners in every arm. It carries position as well; to see how "
            "much, vary net.upsampling."
        )
    if results.probe == "full":
        yield "Judged on full frames, where few objects reach the border; add the quarter test set."
