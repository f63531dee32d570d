"""The study of annotations: do networks rely on calipers and text burned into frames?

It fits grids that were tested on the same frames with and without annotations: how much Dice they
gain by annotations, by dose, plane and structure, and where their evidence lies.
"""

import math
from typing import Any

from jaxseg.metrics.verdict import NO_DIFFERENCE
from jaxseg.report.section import Figure, Label, Section, Table
from jaxseg.report.text import interval, number, plural
from jaxseg.studies import grid_sections as grid
from jaxseg.studies.annotations import figures as drawn
from jaxseg.studies.annotations import wording
from jaxseg.studies.annotations.arms import is_drawn, lines, shown_arms, shown_roles
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
from jaxseg.studies.grid_sections import MAX_ROWS, difference_field, estimate_field, p_field
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, Findings

TABLE_1 = (
    "Dice of whole frames: mean ± SD over frames, averaged over seeds, with 95 % intervals of the "
    "mean. Reliance: annotated − clean, paired by frame and seed."
)
TERMS = {
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


def is_for(results: Results) -> bool:
    """Whether the same test frames were scored with and without annotations."""
    return {CLEAN, ANNOTATED} <= set(results.test_sets)


def findings(results: Results) -> Findings:
    """All rows, and the sections of the page; empty ones where the results hold nothing to show.

    Raises JaxsegError for a damaged workdir.
    """
    found, saliency = study(results), read_saliency(results)
    rows = [*estimates(found), *saliency_rows(results, saliency)]
    analysis = Analysis(found, rows, contrasts(found))
    reading = Section(
        "reading",
        "Result",
        lead=difference_field(analysis.reliance(analysis.roles.baseline)),
        lead_label=wording.LABEL,
        verdict=[wording.headline(analysis)],
        findings=wording.findings(analysis),
        notes=wording.cautions(analysis),
    )
    sections = [
        reading,
        _reliance(analysis),
        _dose(analysis),
        _sequence(analysis),
        _examples(analysis),
        _saliency(analysis, saliency),
        grid.comparison_section(results, analysis.pairs, lead_metric=RELIANCE),
        grid.learning_curves_section(results, drawn.study_look(results)),
        grid.run_section(results),
        Section("terms", "Terms", terms=TERMS | grid.TERMS),
        grid.reproduce_section(results),
    ]
    return Findings(results, rows, analysis.contrasts, sections)


def _reliance(analysis: Analysis) -> Section:
    """Tables of all arms (the paper's Table 1), and of the arms of `Roles` by plane and structure.

    Planes and structures have no table where there is one of them.
    """
    seeds, roles, names = analysis.results.seeds, analysis.roles.present, analysis.names
    arms = analysis.results.arms
    arms = arms if len(arms) <= MAX_ROWS else shown_arms(analysis.results)
    level_columns = [*(t.capitalize() for t in analysis.study.test_sets), "Reliance"]

    page, terminal = [], []
    for arm in arms:
        test, n_seeds = analysis.reliance(arm), len(seeds[arm])
        levels = _levels(analysis, arm, ALL)
        page.append((_arm(analysis, arm), n_seeds, *levels, p_field(test.p), _verdict(test)))
        found = [analysis.estimate(arm, test_set, DICE) for test_set in (CLEAN, ANNOTATED)]
        values = [row.value if row else None for row in found]
        terminal.append((names[arm], n_seeds, *values, difference_field(test), p_field(test.p)))
    left = len(seeds) - len(arms)
    more = f" {plural(left, 'more arm')} in summary.csv." if left else ""

    by_plane = []
    for band, mask in bands(analysis.study, CLEAN).items():
        plane, frames = band.removeprefix("plane:"), str(int(mask.sum()))
        for arm in roles if band != ALL else []:
            levels = _levels(analysis, arm, band)
            by_plane.append((plane, Label(frames, number=True), names[arm], *levels))
            plane = frames = ""  # a plane is named in the first of its rows

    by_class = []
    for name in analysis.study.classes:
        found = [analysis.class_reliance(arm, name) for arm in roles]
        if all(found):
            by_class.append((name, *(estimate_field(row, signed=True) for row in found)))
    note = "Dice, annotated − clean, over the frames that hold the structure."
    structures = _table(
        "Reliance by structure", ["Structure", *(names[arm] for arm in roles)], by_class, note
    )

    tables = [
        _table(
            "All test frames",
            ["Arm", "Seeds", *level_columns, "p", "Verdict"],
            page,
            f"{TABLE_1}{_could_note(page)}{more}",
        ),
        _table("By plane", ["Plane", "Frames", "Arm", *level_columns], by_plane, TABLE_1),
        structures._replace(folded="By structure"),
        Table(
            "",
            "",
            ["arm", "seeds", "Dice clean", "annotated", "reliance", "p"],
            terminal,
            page_rows=0,
        ),
    ]
    return Section("reliance", "With and without annotations", tables=tables)


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
    rows = []
    for line in lines(analysis.results):
        row = analysis.trend(line)
        if row is not None:
            doses = Label(", ".join(f"{100 * dose:g}" for dose in line.arms), number=True)
            tests = (p_field(row.p), p_field(row.p_holm), row.n_seeds, _verdict(row))
            rows.append((line.name, doses, difference_field(row), *tests))
    table = _table(
        "Test for trend",
        ["Line", "Doses (%)", "Slope", "p", "p (Holm)", "Seeds", "Verdict"],
        rows,
        "Slope: change of reliance from 0 to 100 % annotated training frames, by a straight line "
        f"through each seed's doses.{_could_note(rows)}",
    )
    figures = _figures(
        "dose_response",
        caption,
        "Reliance on annotations by the share of annotated training frames",
        drawn.dose_response(analysis.results, analysis.rows),
    )
    return Section("dose_response", "Dose and response", figures=figures, tables=[table])


def _sequence(analysis: Analysis) -> Section:
    """Dice along the stages of annotating a frame, and the paper's Table 2."""
    study, every = analysis.study, analysis.results.arms
    if not study.to_last:
        return Section("sequence", "While a frame is annotated")
    arms = shown_arms(analysis.results)
    some = f" {len(arms)} of {len(every)} arms." if len(arms) < len(every) else ""
    figures = _figures(
        "sequence",
        "Dice between the prediction at each stage and that at the last one, which is 1 by "
        f"definition. Mean over frames and seeds; shaded: 95 % interval.{some}",
        "Dice to the last prediction by stage of annotating, one line per arm",
        drawn.sequence(study, analysis.rows),
    )
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
    return Section("sequence", "While a frame is annotated", figures=figures, tables=[table])


def _examples(analysis: Analysis) -> Section:
    examples = analysis.results.examples
    figures = _figures(
        "examples",
        f"Rule: {examples.rule if examples else ''}. {_shown(analysis)} A pixel of one structure "
        "that is taken for another counts as missed.",
        "Example frames with and without annotations, the truth and predictions on both",
        drawn.examples(analysis.study),
    )
    return Section("examples", "Examples", figures=figures)


def _saliency(analysis: Analysis, saliency: Saliency | None) -> Section:
    """Maps over frames, and their scores beside those of randomised weights."""
    if saliency is None:
        return Section("saliency", "Saliency")
    results = analysis.results
    whose = (
        "Above each frame: the structure whose map it is. " if any(saliency.example_names) else ""
    )
    caption = (
        f"Seg-Grad-CAM at layer {saliency.layer}, brighter is more; below each map its share on "
        f"annotations over their area. {whose}{_shown(analysis)}"
    )
    rule = str(saliency.arrays.get("example_rule", ""))
    caption += f" Rule: {rule}." if rule else ""
    figures = [
        *_figures(
            "saliency_maps",
            caption,
            "Saliency maps over example frames with the annotations outlined",
            drawn.saliency_maps(analysis.study, saliency),
        ),
        *_figures(
            "saliency_scores",
            "Mean over frames and seeds with 95 % intervals. Open: the same networks with "
            "randomised weights.",
            "Dot plot of the share of saliency on annotations and of the pointing game by arm",
            drawn.saliency_scores(results, analysis.rows),
        ),
    ]
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


# What several sections need.


def _shown(analysis: Analysis) -> str:
    """Seed and arms of pictures."""
    arms = shown_roles(analysis.roles)
    names = "; ".join(analysis.names[arm] for arm in arms)
    return f"Seed {analysis.results.shown_seed(arms)}. Arms: {names}."


def _figures(name: str, caption: str, alt: str, figure: Any) -> list[Figure]:
    """The figure, or none where there was nothing to draw."""
    return [Figure(name, caption, alt, figure)] if figure is not None else []


def _table(title: str, columns: list[str], rows: list[Any], note: str) -> Table:
    """A table for the page alone."""
    return Table("", title, columns, rows, page_rows=len(rows), terminal_rows=0, note=note)


def _arm(analysis: Analysis, arm: str) -> Label:
    """The reader's name, and below it the key of the CSV files."""
    return Label(analysis.names[arm], below=arm)


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
