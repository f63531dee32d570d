"""Does a model lose objects near the border? Asked of its predictions alone, whoever made it.

Measured are Dice and recall by distance from the centre and from the border, the border shortcut
index (recall inside minus recall near the border), the width of a border in which nothing is found,
a fixed mask that ignores the image, and the differences between models.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.metrics.bootstrap import RESAMPLES
from jaxseg.metrics.dice import recall
from jaxseg.metrics.verdict import HIGHER, LOWER, UNITS, judge
from jaxseg.report.section import Measure, Section, Table
from jaxseg.report.text import number, p_text, percent, plural, with_interval
from jaxseg.studies.folders import Predicted
from jaxseg.studies.predictions.counts import BORDER_PX
from jaxseg.studies.predictions.figures import Shown, choose_examples, figures, px_text
from jaxseg.studies.predictions.measures import (
    BASELINE,
    ERASED,
    INDEX,
    PER_IMAGE,
    POOLED,
    PredictionAudit,
    audit_predictions,
)
from jaxseg.studies.rows import ContrastRow

FEW_IMAGES = 20
RULES = (
    "Rules: recall counts the pixels of all images together; a difference is shown when its 95 % "
    f"interval {UNITS['images']} excludes 0. Erased border: the largest k such that the recall of "
    "the object within k px of the border, and that of its k-th px alone, are below "
    f"{percent(ERASED)} of the recall deeper inside. Fixed mask: the places that most truths of "
    "one half of the images cover, cut where Dice is highest, scored on the other half."
)
RULE_OF_P = "p: predictions exchanged image by image, Holm-corrected over models."
METRICS = {
    INDEX: "border shortcut index",
    "recall": "recall at the border",
    PER_IMAGE: "Dice per image",
}


def section(
    found: Predicted,
    *,
    border_px: int = BORDER_PX,
    scale_to: int | None = None,
    empty: str = "nan",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Section:
    """The audit of one or several models, each compared with the first.

    `found` is of `folders.read_predictions` or `cell_frames.predict_cells`; the rest is as in
    `measures.audit_predictions`, with its errors.
    """
    audit = audit_predictions(
        found.items,
        found.names,
        border_px=border_px,
        scale_to=scale_to,
        left_out=found.left_out,
        empty=empty,
        resamples=resamples,
        seed=seed,
    )
    examples = [Shown(chosen, *found.show(chosen.id)) for chosen in choose_examples(audit.counts)]
    made = to_section(audit, examples)
    return made._replace(taken=found.taken, notes=[*found.cautions, *made.notes])


def to_section(audit: PredictionAudit, examples: Sequence[Shown] = ()) -> Section:
    """The section of an audit; `examples` are the images of `choose_examples`, read again."""
    models = audit.counts.names
    alone = [row for row in audit.differences if row.arm_b == BASELINE]
    pairs = [row for row in audit.differences if row.arm_b != BASELINE]
    return Section(
        name="predictions",
        title=f"Predictions: {', '.join(models)}",
        verdict=[
            *(_border(audit, model) for model in models),
            *(_erased(audit, model) for model in models),
            *(_against_baseline(audit, row) for row in alone),
            *(
                f"{row.arm_a} against {row.arm_b}, {METRICS[row.metric]}: {_difference(row)}, p "
                f"{p_text(row.p_holm)} across {plural(row.n_images, 'image')} of one model each: "
                f"{row.verdict}."
                for row in pairs
            ),
            RULES if len(models) == 1 else f"{RULES} {RULE_OF_P}",
        ],
        tables=list(_tables(audit)),
        figures=list(figures(audit, examples)),
        notes=list(_notes(audit, pairs)),
        left_out=audit.counts.left_out,
    )


def _zone(audit: PredictionAudit) -> str:
    zone = f"{audit.counts.border_px} px of the border"
    return zone if audit.counts.scale_to is None else f"{zone} ({px_text(audit)})"


def _difference(row: ContrastRow) -> str:
    return with_interval(row.difference, row.ci_low, row.ci_high, signed=True)


def _border(audit: PredictionAudit, model: str) -> str:
    outer, inner = (audit.score(model, band, "recall") for band in ("outer", "inner"))
    index, n = audit.score(model, "inner-outer", INDEX), len(audit.counts.ids)
    zone = _zone(audit)
    if not outer.n_images or not inner.n_images:
        side = "within" if not outer.n_images else "deeper than"
        return (
            f"{model}: no object lies {side} {zone} in any of the {n} images, so nothing can be "
            "said of what it finds there."
        )
    if math.isnan(index.ci_low):
        judged = "One image gives no interval, so no verdict."
    else:
        judged = {
            HIGHER: "Less is found at the border than inside.",
            LOWER: "More is found at the border than inside.",
        }.get(judge(index.ci_low, index.ci_high, None, unit="images").word, "No difference shown.")
    return (
        f"{model}: finds {percent(outer.value)} of the object within {zone}, "
        f"{percent(inner.value)} inside: difference "
        f"{with_interval(index.value, index.ci_low, index.ci_high)} across {plural(n, 'image')} of "
        f"one model, {outer.n_images} of them with an object there. {judged}"
    )


def _erased(audit: PredictionAudit, model: str) -> str:
    found = audit.erased[model, POOLED]
    if not found.recall_beyond > 0:
        return f"{model} finds nothing anywhere, so nothing can be said of an erased border."
    if found.px:
        n = int(((audit.counts.nearest >= 0) & (audit.counts.nearest < found.px)).sum())
        return (
            f"Erased border of {model}: {found.px} {px_text(audit)}. Within this distance of the "
            f"border it finds {percent(found.recall_within)} of the object, deeper "
            f"{percent(found.recall_beyond)}; {plural(n, 'image')} with an object there."
        )
    if found.first_px:
        return (
            f"Erased border of {model}: none seen, but no object lies within {found.first_px} "
            f"{px_text(audit)} of the border, so nothing can be said of what it does there."
        )
    return f"Erased border of {model}: none."


def _against_baseline(audit: PredictionAudit, row: ContrastRow) -> str:
    fixed = audit.score(BASELINE, "all", PER_IMAGE).value
    # Of the same images: those without an object are not scored here.
    own = fixed + row.difference
    judged = {
        HIGHER: "better than position alone.",
        LOWER: "worse than position alone.",
    }.get(row.verdict, f"{row.verdict}.")
    return (
        f"A fixed mask that ignores the image reaches Dice {number(fixed)}, {row.arm_a} "
        f"{number(own)}: difference {_difference(row)}, p {p_text(row.p)} "
        f"across {plural(row.n_images, 'image')} of one model that hold an object: {judged}"
    )


def _notes(audit: PredictionAudit, pairs: Sequence[ContrastRow]) -> Iterator[str]:
    """Cautions: what the numbers do not cover, what was left out, and what looks wrong."""
    first, counts, classes = audit.models[0], audit.counts, audit.classes[1:]
    yield (
        "Intervals and p say what other images would give, not what another training run of the "
        "same model would."
    )
    yield (
        "Near the border lie mostly the rims of objects, where any error of the outline costs "
        "more than inside. A small index above 0 is no proof of a shortcut; compare models, or "
        "the same model on crops."
    )
    n = audit.score(first, "outer", "recall").n_images
    if 0 < n < FEW_IMAGES:
        yield (
            f"Only {plural(n, 'image')} with an object within {_zone(audit)}: intervals from so "
            "few are too narrow."
        )
    if BASELINE not in audit.models:
        yield "Too few images with an object for the fixed mask: both halves need one."
    if len(set(counts.shapes)) > 1 and counts.scale_to is None:
        heights = [height for height, _ in counts.shapes]
        yield (
            f"Frames have {len(set(counts.shapes))} sizes, {min(heights)} to {max(heights)} px "
            "high. Distances to the border are px of each frame; where the model saw all frames "
            "resized to one size, measure in px of that size instead."
        )
    if empty := int((counts.nearest < 0).sum()):
        yield f"{plural(empty, 'image')} of {len(counts.ids)} without an object."
    for model in counts.names:
        if n := audit.score(model, "all", PER_IMAGE).n_left_out:
            yield (
                f"{plural(int(n), 'image')} left out of {model}'s Dice per image: nothing there "
                "and nothing predicted."
            )
    if classes:
        yield f"Sentences and curves hold {len(classes)} classes together; the tables each."
    for cls in classes:
        if not audit.score(first, "all", "recall", cls).n_images:
            yield (
                f"{cls[0].upper()}{cls[1:]} is predicted but never true: are predictions and "
                "truth coded alike?"
            )
    at_border = {row.arm_a: row.verdict for row in pairs if row.metric == "recall"}
    for row in pairs:
        if (row.metric, row.verdict) == (INDEX, LOWER) and at_border[row.arm_a] != HIGHER:
            yield (
                f"The index of {row.arm_a} is lower than that of {row.arm_b}, but recall at "
                "the border is not shown to be higher: it can have fallen with recall inside, "
                "which is no cure."
            )


def _tables(audit: PredictionAudit) -> Iterator[Table]:
    border_px, px = audit.counts.border_px, px_text(audit)
    title = (
        "Dice per image, recall of all images together and border shortcut index (inner minus "
        f"outer recall) with 95 % intervals over images; outer: within {border_px} {px} of the "
        f"border; erased: width of the erased border in {px}; outer images: with an object in the "
        "outer zone; left out of Dice: nothing there and nothing predicted"
    )
    page, file = [], []
    for cls in audit.classes:
        for model in audit.models:
            rows = [
                audit.score(model, band, metric, cls)
                for band, metric in (("all", PER_IMAGE), ("outer", "recall"), ("inner", "recall"),
                                     ("inner-outer", INDEX), ("all", "dice"))
            ]  # fmt: skip
            dice, outer, inner, index, pooled = rows
            # The baseline is counted by cells, too coarse for single px.
            erased = None if model == BASELINE else audit.erased[model, cls].px
            numbers = [Measure(row.value, row.ci_low, row.ci_high) for row in rows]
            images = (dice.n_images, outer.n_images, dice.n_left_out)
            page.append((model, cls, *numbers[:4], erased, numbers[4], *images))
            file.append((
                model, cls, dice.value, outer.value, index.value, index.ci_low, index.ci_high,
                erased, inner.value, *images, dice.ci_low, dice.ci_high, pooled.value,
            ))  # fmt: skip
    yield Table(
        "",
        title,
        ("model", "class", "Dice", "outer recall", "inner recall", "index", "erased", "pooled Dice",
         "images", "outer images", "left out"),
        page,
        terminal_rows=0,
    )  # fmt: skip
    # What the verdict rests on first: a terminal shows no more than its width.
    yield Table(
        "predictions",
        title,
        ("model", "class", "dice", "recall_outer", "index", "index_low", "index_high", "erased_px",
         "recall_inner", "n_images", "n_images_outer", "n_left_out", "dice_low", "dice_high",
         "dice_pooled"),
        file,
        page_rows=0,
    )  # fmt: skip
    if audit.differences:
        title = (
            "Differences, model minus the one compared with, paired by image; all classes together"
        )
        page = [
            (row.arm_a, row.arm_b, METRICS[row.metric],
             Measure(row.difference, row.ci_low, row.ci_high, signed=True), p_text(row.p_holm),
             p_text(row.p), row.verdict, row.n_images, row.n_left_out)
            for row in audit.differences
        ]  # fmt: skip
        columns = ("model", "compared with", "metric", "difference", "p, Holm-corrected", "p",
                   "verdict", "images", "left out")  # fmt: skip
        yield Table("", title, columns, page, terminal_rows=0)
        file = [
            (row.arm_a, row.arm_b, row.metric, row.difference, row.ci_low, row.ci_high, row.p_holm,
             row.p, row.band, row.n_images, row.n_left_out)
            for row in audit.differences
        ]  # fmt: skip
        columns = ("model_a", "model_b", "metric", "difference", "ci_low", "ci_high", "p_holm", "p",
                   "band", "n_images", "n_left_out")  # fmt: skip
        yield Table("prediction_differences", title, columns, file, page_rows=0)
    yield Table(
        "prediction_bands",
        "Every number: by region, by ring about the centre (outer half-width in px of 256) and by "
        f"distance to the border ({px})",
        ("model", "class", "band", "metric", "value", "ci_low", "ci_high", "n_images",
         "n_left_out"),
        [
            (row.arm, row.cls, row.band, row.metric, row.value, row.ci_low, row.ci_high,
             row.n_images, row.n_left_out)
            for row in audit.scores
        ],
        terminal_rows=0,
        folded="Every number by region and ring",
    )  # fmt: skip
    yield Table(
        "prediction_depths",
        f"Recall by single {px} of distance to the border, all classes together",
        ("model", "depth_px", "object_px", "found_px", "recall"),
        [
            (model, px, int(tp + fn), int(tp), float(recall(np.array([tp, fp, fn]))))
            for model, depth in zip(audit.counts.names, audit.counts.depth.sum(axis=2))
            for px, (tp, fp, fn) in enumerate(depth)
        ],
        terminal_rows=0,
        folded="Recall by single px of distance to the border",
    )
