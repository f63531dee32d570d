"""The sections of the page of a study of annotations: tables, and captions of figures."""

import math
from collections.abc import Sequence
from typing import Any

from jaxseg.metrics.verdict import NO_DIFFERENCE
from jaxseg.report.section import Figure, Label, Measure, Section, Table
from jaxseg.report.text import interval, number, p_text, plural
from jaxseg.studies.annotations import wording
from jaxseg.studies.annotations.arms import arm_names, lines, shown_arms
from jaxseg.studies.annotations.comparisons import PAIR, SLOPE, TREND, find, of_kind, reliance_of
from jaxseg.studies.annotations.figures import (
    dose_response,
    examples,
    sequence,
    shown_roles,
    shown_seed,
    study_look,
)
from jaxseg.studies.annotations.measures import (
    ALL,
    ANNOTATED,
    CLEAN,
    DICE,
    RELIANCE,
    SEQUENCE,
    STABILITY,
    Study,
    bands,
    difference_of,
)
from jaxseg.studies.annotations.saliency import (
    POINTING,
    RANDOM,
    RATIO,
    Saliency,
    saliency_maps,
    saliency_scores,
)
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
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

TABLE_1 = (
    "Dice of whole frames: mean ± SD over frames, averaged over seeds, with 95 % intervals of the "
    "mean. Reliance: annotated − clean, paired by frame and seed."
)
COULD = (
    "In brackets below “no difference shown”, with 6 seeds or more: the smallest difference that "
    "so many seeds and frames would show with 80 % power."
)
ANNOTATION_TERMS = {
    "annotation": "Calipers, text and other marks of the scanner's screen, burned into a frame.",
    "contamination, dose": "Share of the training frames that carry annotations.",
    "tied, jittered, independent": "Where annotations are placed: at the ends of the structure's "
    "axes, near them, or anywhere.",
    "clean, annotated": "Test sets: the same frames without annotations, and with tied ones. "
    "independent: with annotations placed anywhere. restored: annotated, then cleared of what a "
    "detector finds. sequence: stages of annotating a frozen frame.",
    "Dice": "2 tp / (2 tp + fp + fn). Of a frame: the mean over the structures that its truth "
    "holds; false positives of other structures do not enter, and a frame without any structure "
    "is left out. Of a test set: mean ± SD over frames, averaged over seeds.",
    "reliance": "Dice on frames with annotations minus Dice on the same frames without. Above 0: "
    "the networks use the annotations.",
    "stability": "Dice between the predictions on a frozen frame before any annotation and with "
    "all of them. 1: annotations change nothing.",
    "removed, placebo": "Removed: what a detector finds is taken out of every training frame. "
    "Placebo: the same is done to spots of frames on which nothing was drawn.",
    "saliency": "Seg-Grad-CAM: where in the frame a structure's prediction comes from, by one "
    "layer. Over chance: its share on annotations divided by their share of the frame. A map "
    "describes a gradient; it does not prove a use.",
    "trend": "Slope of reliance over contamination: a straight line through each seed's doses, "
    "then over seeds as any difference.",
}


def sections(
    results: Results,
    study: Study,
    saliency: Saliency | None,
    rows: Sequence[EstimateRow],
    contrasts: Sequence[ContrastRow],
) -> list[Section]:
    """All of the page, in order; empty ones where the results hold nothing to show."""
    pairs = of_kind(contrasts, PAIR)
    return [
        _headline(results, study, rows, contrasts),
        _arms(results, study, rows, contrasts),
        _dose(results, rows, contrasts),
        _sequence(results, study, rows),
        _examples(results, study),
        _saliency(results, study, saliency, rows),
        comparison_section(results, pairs, lead_metric=RELIANCE, interactions=False),
        learning_curves_section(results, study_look(results)),
        run_section(results),
        terms_section(ANNOTATION_TERMS | TERMS),
        reproduce_section(results),
    ]


def _headline(
    results: Results, study: Study, rows: Sequence[EstimateRow], contrasts: Sequence[ContrastRow]
) -> Section:
    return Section(
        "reading",
        "Result",
        lead=_difference(reliance_of(contrasts, study.roles.baseline)),
        lead_label=wording.LABEL,
        verdict=[wording.headline(results, study, rows, contrasts)],
        findings=wording.findings(results, study, rows, contrasts),
        notes=wording.cautions(results, study, rows, contrasts),
    )


def _arms(
    results: Results, study: Study, rows: Sequence[EstimateRow], contrasts: Sequence[ContrastRow]
) -> Section:
    """The paper's Table 1: of every arm while they fit, by plane, and by structure."""
    arms = results.arms if len(results.arms) <= MAX_ROWS else shown_arms(results)
    left = len(results.arms) - len(arms)
    more = f" {plural(left, 'more arm')} in summary.csv." if left else ""
    heads = [test_set.capitalize() for test_set in study.test_sets]
    tests = [reliance_of(contrasts, arm) for arm in arms]
    whole = [
        (
            _arm(results, arm),
            len(results.seeds[arm]),
            *_levels(study, rows, arm, ALL),
            Label(p_text(test.p), number=True),
            _verdict(test),
        )
        for arm, test in zip(arms, tests)
    ]
    names = arm_names(results)
    by_plane = []
    for band, mask in bands(study, CLEAN).items():
        plane, frames = band.removeprefix("plane:"), str(int(mask.sum()))
        for arm in study.roles.present if band != ALL else []:
            by_plane.append(
                (plane, Label(frames, number=True), names[arm], *_levels(study, rows, arm, band))
            )
            plane = frames = ""  # a plane is named in the first of its rows
    by_structure = [
        (name, *(estimate_field(row, signed=True) for row in found))
        for name in study.classes
        if all(found := [wording.class_reliance(rows, arm, name) for arm in study.roles.present])
    ]
    printed = [
        (
            names[arm],
            len(results.seeds[arm]),
            *(_value(value_of(rows, arm, t, ALL, DICE)) for t in (CLEAN, ANNOTATED)),
            _difference(test),
            Label(p_text(test.p), number=True),
        )
        for arm, test in zip(arms, tests)
    ]
    return Section(
        "reliance",
        "With and without annotations",
        tables=[
            _table(
                "All test frames",
                ["Arm", "Seeds", *heads, "Reliance", "p", "Verdict"],
                whole,
                note=f"{TABLE_1} {COULD}{more}",
            ),
            _table(
                "By plane",
                ["Plane", "Frames", "Arm", *heads, "Reliance"],
                by_plane,
                note=TABLE_1,
            ),
            _table(
                "Reliance by structure",
                ["Structure", *(names[arm] for arm in study.roles.present)],
                by_structure,
                note="Dice, annotated − clean, over the frames that hold the structure.",
            )._replace(folded="By structure"),
            Table(
                "",
                "",
                ["arm", "seeds", "Dice clean", "annotated", "reliance", "p"],
                printed,
                page_rows=0,
            ),
        ],
    )


def _dose(
    results: Results, rows: Sequence[EstimateRow], contrasts: Sequence[ContrastRow]
) -> Section:
    """Reliance by contamination, and its slope for each line with enough doses."""
    caption = (
        "Mean over seeds with 95 % intervals, moved apart sideways where lines meet. Lines share "
        "the networks that never saw an annotation. Of a placebo: the share of training frames "
        "from which spots were removed on which nothing was drawn."
    )
    alt = "Reliance on annotations by the share of annotated training frames"
    trends = []
    for line in lines(results):
        arms = [*line.arms.values()]
        row = find(contrasts, TREND, SLOPE, arms[-1], arms[0])
        if row is not None:
            doses = ", ".join(f"{100 * dose:g}" for dose in line.arms)
            trends.append(
                (
                    line.name,
                    Label(doses, number=True),
                    _difference(row),
                    Label(p_text(row.p), number=True),
                    Label(p_text(row.p_holm), number=True),
                    row.n_seeds,
                    _verdict(row),
                )
            )
    table = _table(
        "Test for trend",
        ["Line", "Doses (%)", "Slope", "p", "p (Holm)", "Seeds", "Verdict"],
        trends,
        note="Slope: change of reliance from 0 to 100 % annotated training frames, by a straight "
        f"line through each seed's doses. {COULD}",
    )
    figures = _figures("dose_response", caption, alt, dose_response(results, rows))
    return Section("dose_response", "Dose and response", figures=figures, tables=[table])


def _sequence(results: Results, study: Study, rows: Sequence[EstimateRow]) -> Section:
    """Dice along the stages of annotating a frame, and the paper's Table 2."""
    section = Section("sequence", "While a frame is annotated")
    if not study.to_last:
        return section
    arms = shown_arms(results)
    some = f" {len(arms)} of {len(results.arms)} arms." if len(arms) < len(results.arms) else ""
    caption = (
        "Dice between the prediction at each stage and that at the last one, which is 1 by "
        f"definition. Mean over frames and seeds; shaded: 95 % interval.{some}"
    )
    alt = "Dice to the last prediction by stage of annotating, one line per arm"
    masks = bands(study, SEQUENCE)
    names = {band: "All frames" if band == ALL else band.removeprefix("plane:") for band in masks}
    table = _table(
        "Stability",
        ["Arm", *(f"{names[band]} ({int(mask.sum())})" for band, mask in masks.items())],
        [
            (
                _arm(results, arm),
                *(estimate_field(value_of(rows, arm, SEQUENCE, b, STABILITY)) for b in masks),
            )
            for arm in arms
        ],
        note="Dice between the predictions before any annotation and with all of them, with 95 % "
        "intervals; in brackets the number of frames.",
    )
    figures = _figures("sequence", caption, alt, sequence(results, study, rows))
    return section._replace(figures=figures, tables=[table])


def _examples(results: Results, study: Study) -> Section:
    rule = results.examples.rule if results.examples else ""
    caption = (
        f"Rule: {rule}. Seed {shown_seed(results, study)}. {_shown(results, study)} A pixel of one "
        "structure that is taken for another counts as missed."
    )
    alt = "Example frames with and without annotations, the truth and predictions on both"
    figures = _figures("examples", caption, alt, examples(results, study))
    return Section("examples", "Examples", figures=figures)


def _saliency(
    results: Results, study: Study, saliency: Saliency | None, rows: Sequence[EstimateRow]
) -> Section:
    """Maps over frames, and their scores beside those of randomised weights."""
    section = Section("saliency", "Saliency")
    if saliency is None:
        return section
    whose = (
        " Above each frame: the structure whose map it is." if any(saliency.example_names) else ""
    )
    rule = str(saliency.arrays.get("example_rule", ""))
    rule = f" Rule: {rule}." if rule else ""
    caption = (
        f"Seg-Grad-CAM at layer {saliency.layer}, brighter is more; below each map its share on "
        f"annotations over their area. Seed {shown_seed(results, study)}. "
        f"{_shown(results, study)}{whose}{rule}"
    )
    alt = "Saliency maps over example frames with the annotations outlined"
    figures = _figures("saliency_maps", caption, alt, saliency_maps(results, study, saliency))
    figures += _figures(
        "saliency_scores",
        "Mean over frames and seeds with 95 % intervals. Open: the same networks with randomised "
        "weights.",
        "Dot plot of the share of saliency on annotations and of the pointing game by arm",
        saliency_scores(results, rows),
    )
    columns = {
        RATIO: "Saliency on annotations / area",
        RATIO + RANDOM: "… with randomised weights",
        POINTING: "Maximum on an annotation",
        POINTING + RANDOM: "… with randomised weights",
    }
    scored = {(row.arm, row.metric): row for row in rows}
    area = saliency.arrays["area"]
    table = _table(
        "Saliency on annotations",
        ["Arm", "Seeds", *columns.values()],
        [
            (
                _arm(results, arm),
                len(saliency.cells(arm)),
                *(estimate_field(scored.get((arm, metric))) for metric in columns),
            )
            for arm in shown_arms(results)
            if saliency.cells(arm)
        ],
        note=f"Seg-Grad-CAM at layer {saliency.layer}, {saliency.test_set} frames ({len(area)}). "
        f"Annotations cover {100 * float(area.mean()):.1f} % of a frame on average, which is "
        "chance for the maximum too.",
    )
    return section._replace(figures=figures, tables=[table])


def _shown(results: Results, study: Study) -> str:
    names = arm_names(results)
    return "Arms: " + "; ".join(names[arm] for arm in shown_roles(study)) + "."


def _figures(name: str, caption: str, alt: str, drawn: Any) -> list[Figure]:
    """The figure, or none where there was nothing to draw."""
    return [Figure(name, caption, alt, drawn)] if drawn is not None else []


# Fields of tables.


def _table(title: str, columns: list[str], rows: list[Any], note: str) -> Table:
    """A table for the page alone."""
    return Table("", title, columns, rows, page_rows=len(rows), terminal_rows=0, note=note)


def _arm(results: Results, arm: str) -> Label:
    """The reader's name, and below it the key of the CSV files."""
    return Label(arm_names(results)[arm], below=arm)


def _levels(study: Study, rows: Sequence[EstimateRow], arm: str, band: str) -> list[Any]:
    """Dice ± SD on every test set, then the reliance."""
    fields: list[Any] = []
    for test_set in study.test_sets:
        mean = value_of(rows, arm, test_set, band, DICE)
        spread = value_of(rows, arm, test_set, band, f"{DICE}_sd")
        if mean is None or spread is None:
            fields.append(None)
            continue
        text = f"{number(mean.value)} ± {number(spread.value)}"
        fields.append(Label(text, below=interval(mean.ci_low, mean.ci_high), number=True))
    row = value_of(rows, arm, difference_of(ANNOTATED), band, RELIANCE)
    return [*fields, estimate_field(row, signed=True)]


def _value(row: EstimateRow | None) -> float | None:
    return row.value if row else None


def _difference(row: ContrastRow) -> Measure:
    return Measure(row.difference, row.ci_low, row.ci_high, signed=True)


def _verdict(row: ContrastRow) -> Label:
    """The word, and below it what could have been shown where nothing was."""
    least = row.smallest_detectable
    could = row.verdict == NO_DIFFERENCE and math.isfinite(least)
    return Label(row.verdict, below=f"(≥ {number(least)})" if could else "")
