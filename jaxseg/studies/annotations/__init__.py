"""The study of annotations: do networks rely on calipers and text burned into frames?

It fits grids that were tested on the same frames with and without annotations: how much Dice they
gain by annotations, by dose, plane and structure, and where their evidence lies.
"""

import math
from typing import Any

from jaxseg.metrics.verdict import NO_DIFFERENCE
from jaxseg.report.section import Figure, Label, Measure, Section, Table
from jaxseg.report.text import interval, number, p_text, plural
from jaxseg.studies.annotations import wording
from jaxseg.studies.annotations.arms import is_drawn, lines, shown_arms
from jaxseg.studies.annotations.figures import (
    dose_response,
    examples,
    saliency_maps,
    saliency_scores,
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
    POINTING,
    RANDOM,
    RATIO,
    RELIANCE,
    SEQUENCE,
    STABILITY,
    Analysis,
    Saliency,
    bands,
    contrasts,
    difference_of,
    estimates,
    read_saliency,
    saliency_rows,
    study,
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
from jaxseg.studies.rows import ContrastRow, Findings


def is_for(results: Results) -> bool:
    """Whether the same test frames were scored with and without annotations."""
    return {CLEAN, ANNOTATED} <= set(results.test_sets)


def findings(results: Results) -> Findings:
    """All rows, and the sections of the page. Raises JaxsegError for a damaged workdir."""
    found, saliency = study(results), read_saliency(results)
    rows = estimates(results, found) + saliency_rows(results, saliency)
    analysis = Analysis(results, found, rows, contrasts(results, found))
    return Findings(results, rows, analysis.contrasts, sections(analysis, saliency))


TABLE_1 = (
    "Dice of whole frames: mean ± SD over frames, averaged over seeds, with 95 % intervals of the "
    "mean. Reliance: annotated − clean, paired by frame and seed."
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


def sections(analysis: Analysis, saliency: Saliency | None) -> list[Section]:
    """All of the page, in order; empty ones where the results hold nothing to show."""
    results = analysis.results
    return [
        Section(
            "reading",
            "Result",
            lead=_difference(analysis.reliance(analysis.roles.baseline)),
            lead_label=wording.LABEL,
            verdict=[wording.headline(analysis)],
            findings=wording.findings(analysis),
            notes=wording.cautions(analysis),
        ),
        Section(
            "reliance",
            "With and without annotations",
            tables=[
                _arms_table(analysis),
                _planes_table(analysis),
                _classes_table(analysis),
                _terminal_table(analysis),
            ],
        ),
        _dose(analysis),
        _sequence(analysis),
        _examples(analysis),
        _saliency(analysis, saliency),
        comparison_section(results, analysis.pairs, lead_metric=RELIANCE),
        learning_curves_section(results, study_look(results)),
        run_section(results),
        terms_section(ANNOTATION_TERMS | TERMS),
        reproduce_section(results),
    ]


def _arms_table(analysis: Analysis) -> Table:
    """The paper's Table 1 over all frames, of every arm while they fit."""
    seeds, arms = analysis.results.seeds, _listed_arms(analysis)
    left = len(seeds) - len(arms)
    more = f" {plural(left, 'more arm')} in summary.csv." if left else ""
    rows = []
    for arm in arms:
        test = analysis.reliance(arm)
        levels = _levels(analysis, arm, ALL)
        rows.append((_arm(analysis, arm), len(seeds[arm]), *levels, _p(test.p), _verdict(test)))
    columns = ["Arm", "Seeds", *_level_columns(analysis), "p", "Verdict"]
    return _table("All test frames", columns, rows, f"{TABLE_1}{_could_note(rows)}{more}")


def _planes_table(analysis: Analysis) -> Table:
    """Table 1 by plane, of the arms of `Roles`; empty where there is one plane."""
    rows = []
    for band, mask in bands(analysis.study, CLEAN).items():
        plane, frames = band.removeprefix("plane:"), str(int(mask.sum()))
        for arm in analysis.roles.present if band != ALL else []:
            levels = _levels(analysis, arm, band)
            rows.append((plane, Label(frames, number=True), analysis.names[arm], *levels))
            plane = frames = ""  # a plane is named in the first of its rows
    return _table("By plane", ["Plane", "Frames", "Arm", *_level_columns(analysis)], rows, TABLE_1)


def _classes_table(analysis: Analysis) -> Table:
    """Reliance by structure, of the arms of `Roles`; empty where there is one structure."""
    arms = analysis.roles.present
    rows = []
    for name in analysis.study.classes:
        found = [analysis.class_reliance(arm, name) for arm in arms]
        if all(found):
            rows.append((name, *(estimate_field(row, signed=True) for row in found)))
    columns = ["Structure", *(analysis.names[arm] for arm in arms)]
    note = "Dice, annotated − clean, over the frames that hold the structure."
    return _table("Reliance by structure", columns, rows, note)._replace(folded="By structure")


def _terminal_table(analysis: Analysis) -> Table:
    """Dice without and with annotations, reliance and its p."""
    rows = []
    for arm in _listed_arms(analysis):
        test = analysis.reliance(arm)
        found = [analysis.estimate(arm, test_set, DICE) for test_set in (CLEAN, ANNOTATED)]
        levels = [row.value if row else None for row in found]
        seeds = len(analysis.results.seeds[arm])
        rows.append((analysis.names[arm], seeds, *levels, _difference(test), _p(test.p)))
    columns = ["arm", "seeds", "Dice clean", "annotated", "reliance", "p"]
    return Table("", "", columns, rows, page_rows=0)


def _dose(analysis: Analysis) -> Section:
    """Reliance by contamination, and its slope for each line with enough doses."""
    caption = (
        "Mean over seeds with 95 % intervals, moved apart sideways where lines meet. Lines share "
        "the networks that never saw an annotation."
    )
    if not all(is_drawn(analysis.results, arm) for arm in analysis.results.arms):
        caption += (
            " Of a placebo: the share of training frames from which spots were removed on which "
            "nothing was drawn."
        )
    alt = "Reliance on annotations by the share of annotated training frames"
    rows = []
    for line in lines(analysis.results):
        row = analysis.trend(line)
        if row is not None:
            doses = Label(", ".join(f"{100 * dose:g}" for dose in line.arms), number=True)
            tests = (_p(row.p), _p(row.p_holm), row.n_seeds, _verdict(row))
            rows.append((line.name, doses, _difference(row), *tests))
    table = _table(
        "Test for trend",
        ["Line", "Doses (%)", "Slope", "p", "p (Holm)", "Seeds", "Verdict"],
        rows,
        "Slope: change of reliance from 0 to 100 % annotated training frames, by a straight line "
        f"through each seed's doses.{_could_note(rows)}",
    )
    drawn = dose_response(analysis.results, analysis.rows)
    figures = _figures("dose_response", caption, alt, drawn)
    return Section("dose_response", "Dose and response", figures=figures, tables=[table])


def _sequence(analysis: Analysis) -> Section:
    """Dice along the stages of annotating a frame, and the paper's Table 2."""
    results, study = analysis.results, analysis.study
    if not study.to_last:
        return Section("sequence", "While a frame is annotated")
    arms = shown_arms(results)
    some = f" {len(arms)} of {len(results.arms)} arms." if len(arms) < len(results.arms) else ""
    caption = (
        "Dice between the prediction at each stage and that at the last one, which is 1 by "
        f"definition. Mean over frames and seeds; shaded: 95 % interval.{some}"
    )
    alt = "Dice to the last prediction by stage of annotating, one line per arm"
    masks = bands(study, SEQUENCE)
    names = {band: "All frames" if band == ALL else band.removeprefix("plane:") for band in masks}
    rows = []
    for arm in arms:
        found = [analysis.estimate(arm, SEQUENCE, STABILITY, band) for band in masks]
        rows.append((_arm(analysis, arm), *map(estimate_field, found)))
    table = _table(
        "Stability",
        ["Arm", *(f"{names[band]} ({int(mask.sum())})" for band, mask in masks.items())],
        rows,
        "Dice between the predictions before any annotation and with all of them, with 95 % "
        "intervals; in brackets the number of frames.",
    )
    figures = _figures("sequence", caption, alt, sequence(results, study, analysis.rows))
    return Section("sequence", "While a frame is annotated", figures=figures, tables=[table])


def _examples(analysis: Analysis) -> Section:
    results, study = analysis.results, analysis.study
    rule = results.examples.rule if results.examples else ""
    caption = (
        f"Rule: {rule}. Seed {shown_seed(results, study)}. {_shown(analysis)} A pixel of one "
        "structure that is taken for another counts as missed."
    )
    alt = "Example frames with and without annotations, the truth and predictions on both"
    figures = _figures("examples", caption, alt, examples(results, study))
    return Section("examples", "Examples", figures=figures)


def _saliency(analysis: Analysis, saliency: Saliency | None) -> Section:
    """Maps over frames, and their scores beside those of randomised weights."""
    if saliency is None:
        return Section("saliency", "Saliency")
    results, study = analysis.results, analysis.study
    whose = (
        "Above each frame: the structure whose map it is. " if any(saliency.example_names) else ""
    )
    rule = str(saliency.arrays.get("example_rule", ""))
    caption = (
        f"Seg-Grad-CAM at layer {saliency.layer}, brighter is more; below each map its share on "
        f"annotations over their area. {whose}Seed {shown_seed(results, study)}. "
        f"{_shown(analysis)}"
    )
    caption += f" Rule: {rule}." if rule else ""
    alt = "Saliency maps over example frames with the annotations outlined"
    figures = _figures("saliency_maps", caption, alt, saliency_maps(results, study, saliency))
    figures += _figures(
        "saliency_scores",
        "Mean over frames and seeds with 95 % intervals. Open: the same networks with randomised "
        "weights.",
        "Dot plot of the share of saliency on annotations and of the pointing game by arm",
        saliency_scores(results, analysis.rows),
    )
    columns = {
        RATIO: "Saliency on annotations / area",
        RATIO + RANDOM: "… with randomised weights",
        POINTING: "Maximum on an annotation",
        POINTING + RANDOM: "… with randomised weights",
    }
    rows = []
    for arm in shown_arms(results):
        if seeds := len(saliency.cells(arm)):
            found = [analysis.estimate(arm, saliency.test_set, metric) for metric in columns]
            rows.append((_arm(analysis, arm), seeds, *map(estimate_field, found)))
    area = saliency.arrays["area"]
    table = _table(
        "Saliency on annotations",
        ["Arm", "Seeds", *columns.values()],
        rows,
        f"Seg-Grad-CAM at layer {saliency.layer}, {saliency.test_set} frames ({len(area)}). "
        f"Annotations cover {100 * float(area.mean()):.1f} % of a frame on average, which is "
        "chance for the maximum too.",
    )
    return Section("saliency", "Saliency", figures=figures, tables=[table])


def _shown(analysis: Analysis) -> str:
    return "Arms: " + "; ".join(analysis.names[arm] for arm in shown_roles(analysis.study)) + "."


def _listed_arms(analysis: Analysis) -> list[str]:
    """All arms while they fit in a table."""
    arms = analysis.results.arms
    return arms if len(arms) <= MAX_ROWS else shown_arms(analysis.results)


def _figures(name: str, caption: str, alt: str, drawn: Any) -> list[Figure]:
    """The figure, or none where there was nothing to draw."""
    return [Figure(name, caption, alt, drawn)] if drawn is not None else []


def _table(title: str, columns: list[str], rows: list[Any], note: str) -> Table:
    """A table for the page alone."""
    return Table("", title, columns, rows, page_rows=len(rows), terminal_rows=0, note=note)


# Fields of tables.


def _arm(analysis: Analysis, arm: str) -> Label:
    """The reader's name, and below it the key of the CSV files."""
    return Label(analysis.names[arm], below=arm)


def _level_columns(analysis: Analysis) -> list[str]:
    return [*(test_set.capitalize() for test_set in analysis.study.test_sets), "Reliance"]


def _levels(analysis: Analysis, arm: str, band: str) -> list[Any]:
    """Dice ± SD on every test set, then the reliance."""
    fields: list[Any] = []
    for test_set in analysis.study.test_sets:
        mean = analysis.estimate(arm, test_set, DICE, band)
        spread = analysis.estimate(arm, test_set, f"{DICE}_sd", band)
        if mean is None or spread is None:
            fields.append(None)
            continue
        text = f"{number(mean.value)} ± {number(spread.value)}"
        fields.append(Label(text, below=interval(mean.ci_low, mean.ci_high), number=True))
    row = analysis.estimate(arm, difference_of(ANNOTATED), RELIANCE, band)
    return [*fields, estimate_field(row, signed=True)]


def _difference(row: ContrastRow) -> Measure:
    return Measure(row.difference, row.ci_low, row.ci_high, signed=True)


def _p(value: float) -> Label:
    return Label(p_text(value), number=True)


def _could_note(rows: list[Any]) -> str:
    """What the brackets under a verdict are, where the last column has any."""
    if not any(row[-1].below for row in rows):
        return ""
    return (
        " In brackets below “no difference shown”: the smallest difference that so many seeds and "
        "frames would show with 80 % power."
    )


def _verdict(row: ContrastRow) -> Label:
    """The word, and below it what could have been shown where nothing was."""
    least = row.smallest_detectable
    could = row.verdict == NO_DIFFERENCE and math.isfinite(least)
    return Label(row.verdict, below=f"(≥ {number(least)})" if could else "")
