"""The sections of the page of a grid by position."""

from collections.abc import Sequence
from typing import Any

from jaxseg.report.section import Figure, Measure, Section, Table
from jaxseg.report.text import number
from jaxseg.studies.grid_figures import grid_look, panels_note
from jaxseg.studies.grid_sections import (
    MAX_ROWS,
    TERMS,
    comparison_section,
    estimate_field,
    learning_curves_section,
    reproduce_section,
    run_section,
    terms_section,
)
from jaxseg.studies.position import wording
from jaxseg.studies.position.figures import band_dice, examples, shown_arms, shown_seed
from jaxseg.studies.position.measures import INDEX, headline
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

POSITION_TERMS = {
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


def sections(
    results: Results, rows: Sequence[EstimateRow], contrasts: Sequence[ContrastRow]
) -> list[Section]:
    """All of the page, in order; empty ones where the results hold nothing to show."""
    return [
        _headline(results, rows, contrasts),
        _bands(results, rows),
        _arms(results, rows),
        comparison_section(results, contrasts, lead_metric=INDEX),
        _examples(results),
        learning_curves_section(results),
        run_section(results),
        terms_section(terms(results)),
        reproduce_section(results),
    ]


def terms(results: Results) -> dict[str, str]:
    """Term to explanation, with the border width and the rule for empty images of this run."""
    border, empty = results.scoring.border_px, EMPTY[results.scoring.empty]
    own = {k: text.format(border=border, empty=empty) for k, text in POSITION_TERMS.items()}
    return own | TERMS


def _headline(
    results: Results, rows: Sequence[EstimateRow], contrasts: Sequence[ContrastRow]
) -> Section:
    lead = headline(results, contrasts)
    if lead is None:
        row = value_of(rows, results.arms[0], results.probe, "inner-outer", INDEX)
        number, sentence = estimate_field(row, signed=True), wording.arm_sentence(results, row)
    else:
        number = Measure(-lead.difference, -lead.ci_high, -lead.ci_low, signed=True)
        sentence = wording.pair_sentence(results, lead)
    return Section(
        "reading",
        "Result",
        lead=number,
        lead_label=wording.headline_label(results, lead),
        verdict=[sentence],
        findings=wording.findings(results, contrasts),
        notes=wording.cautions(results, rows, contrasts),
    )


def _bands(results: Results, rows: Sequence[EstimateRow]) -> Section:
    look = grid_look(results)
    only = f" Only the {results.probe} test set." if len(look.panels) > 1 else ""
    figure = Figure(
        "band_dice",
        "Dice by half-width of the square ring, and recall by distance to the border (rings of "
        f"{results.scoring.border_px} px). The border is at the right of every panel. Mean over "
        "seeds; shaded: 95 % interval. Rings that never hold an object have no point."
        f"{only}{panels_note(results, look)}",
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
    own: dict[str, list[EstimateRow]] = {arm: [] for arm in results.arms}
    for row in rows:
        own[row.arm].append(row)
    fields = {arm: [_field(own[arm], arm, *key) for key in keys.values()] for arm in results.arms}
    seeds = {arm: len(results.seeds[arm]) for arm in results.arms}
    page = Table(
        "",
        "Pooled over images and averaged over seeds, with 95 % intervals; below Dice the mean ± SD "
        "over images.",
        [*(list(results.axes) or ["arm"]), "Seeds", *keys],
        [
            [*(results.settings[arm].values() or [arm]), seeds[arm], *fields[arm]]
            for arm in results.arms
        ],
        page_rows=MAX_ROWS,
        terminal_rows=0,
    )
    names = [f"Dice {test_set}" for test_set in results.test_sets]
    terminal = Table(
        "",
        "",
        ["arm", "seeds", *names, "border recall", "shortcut index"],
        [[arm, seeds[arm], *map(_value, f[:-1]), f[-1]] for arm, f in fields.items()],
        page_rows=0,
        terminal_rows=len(results.arms),
        note=f"(border recall and shortcut index: {probe} test set)",
    )
    return Section("arms", "Arms", tables=[page, terminal])


def _field(rows: Sequence[EstimateRow], arm: str, test_set: str, band: str, metric: str) -> Any:
    """The number, its interval, and the mean ± SD over images where there is one."""
    each = value_of(rows, arm, test_set, band, f"{metric}_per_image")
    spread = value_of(rows, arm, test_set, band, f"{metric}_per_image_sd")
    below = f"{number(each.value)} ± {number(spread.value)}" if each and spread else ""
    return estimate_field(value_of(rows, arm, test_set, band, metric), below=below)


def _value(field: Measure | None) -> float | None:
    return field.value if field else None


def _examples(results: Results) -> Section:
    drawn = examples(results)
    if drawn is None or results.examples is None:
        return Section("examples", "Examples")
    arms = shown_arms(results)
    some = f" {len(arms)} of {len(results.arms)} arms." if len(arms) < len(results.arms) else ""
    figure = Figure(
        "examples",
        f"Rule: {results.examples.rule}. Seed {shown_seed(results, arms[0])}.{some}",
        "Example images with the true outline and each arm's errors",
        drawn,
    )
    return Section("examples", "Examples", figures=[figure])
