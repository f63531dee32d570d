"""An audit of predictions as one section: verdict, tables, Fig. 4 and Fig. 3 of the paper."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.metrics.dice import recall
from jaxseg.report.section import Figure, Section, Table
from jaxseg.studies.predictions.examples import Shown, example_rule
from jaxseg.studies.predictions.examples_figure import examples_figure
from jaxseg.studies.predictions.figures import bands_figure, classes_figure, depth_figure
from jaxseg.studies.predictions.predictions import PredictionAudit
from jaxseg.studies.predictions.scores import (
    BASELINE,
    INDEX,
    PER_IMAGE,
    POOLED,
    Score,
)
from jaxseg.studies.predictions.wording import notes, px_text, verdict


def tell(audit: PredictionAudit, examples: Sequence[Shown] = ()) -> Section:
    """The section of an audit of predictions.

    Args:
      audit: of `audit_predictions`.
      examples: the images of `choose_examples`, read again; none leaves Fig. 3 out.
    """
    return Section(
        name="predictions",
        title=f"Predictions: {', '.join(audit.counts.names)}",
        verdict=verdict(audit),
        tables=list(_tables(audit)),
        figures=list(_pictures(audit, examples)),
        notes=notes(audit),
        left_out=audit.counts.left_out,
    )


def _tables(audit: PredictionAudit) -> Iterator[Table]:
    zone = f"{audit.counts.border_px} {px_text(audit)}"
    yield Table(
        "predictions",
        "Dice per image, recall of all images together and border shortcut index (inner minus "
        f"outer recall) with 95 % intervals over images; outer: within {zone} of the border",
        SUMMARY,
        [_summary(audit, model, cls) for cls in audit.classes for model in audit.models],
    )
    if audit.differences:
        title = "Differences, paired by image"
        rows = [[getattr(row, name) for name in DIFFERENCES] for row in audit.differences]
        yield Table("prediction_differences", title, DIFFERENCES, rows)
    yield Table(
        "prediction_bands",
        "Every number: by region, by ring about the centre (outer half-width in px of 256) and by "
        f"distance to the border ({px_text(audit)})",
        ("model", "class", *Score._fields[2:]),
        audit.scores,
    )
    yield Table(
        "prediction_depths",
        f"Recall by single {px_text(audit)} of distance to the border, all classes together",
        ("model", "depth_px", "object_px", "found_px", "recall"),
        list(_depths(audit)),
    )


# What the verdict rests on first: a terminal shows no more than its width.
SUMMARY = ("model", "class", "dice", "recall_outer", "index", "index_low", "index_high")
SUMMARY += ("erased_px", "recall_inner", "n_images", "n_images_outer", "n_left_out")
SUMMARY += ("dice_low", "dice_high", "dice_pooled")
DIFFERENCES = ("model_a", "model_b", "metric", "difference", "ci_low", "ci_high", "p_holm", "p")
DIFFERENCES += ("band", "n_images", "n_left_out")


def _summary(audit: PredictionAudit, model: str, cls: str) -> tuple:
    each = audit.score(model, "all", PER_IMAGE, cls)
    outer, inner = (audit.score(model, band, "recall", cls) for band in ("outer", "inner"))
    index = audit.score(model, "inner-outer", INDEX, cls)
    # The baseline is counted by cells, too coarse for single px.
    erased = "" if model == BASELINE else audit.erased[model, cls].px
    first = (model, cls, each.value, outer.value, *index[4:7], erased, inner.value)
    pooled = audit.score(model, "all", "dice", cls).value
    numbers = (each.n_images, outer.n_images, each.n_left_out)
    return (*first, *numbers, each.ci_low, each.ci_high, pooled)


def _depths(audit: PredictionAudit) -> Iterator[tuple]:
    for model, depth in zip(audit.counts.names, audit.counts.depth.sum(axis=2)):
        for px, counts in enumerate(depth):
            yield model, px, int(counts[0] + counts[2]), int(counts[0]), float(recall(counts))


def _pictures(audit: PredictionAudit, examples: Sequence[Shown]) -> Iterator[Figure]:
    yield Figure(
        "prediction_bands",
        "Dice by half-width of the square ring about the centre, and recall by distance to the "
        f"border (rings of {audit.counts.border_px} px). The border is at the right. All images "
        "together; shaded: 95 % interval. Rings that never hold an object have no point",
        f"Line plots of Dice and recall by place in the frame. {_in_words(audit)}",
        bands_figure(audit),
    )
    if (figure := classes_figure(audit)) is not None:
        yield Figure(
            "prediction_classes",
            "Recall by distance to the border, class by class; shaded: 95 % interval",
            f"Line plots of recall by distance to the border for {len(audit.classes) - 1} classes",
            figure,
        )
    yield Figure(
        "prediction_depths",
        "Recall px by px near the border, and the number of images with an object at most this "
        "far from the border. Upright lines: erased border, where there is one",
        f"Line plot of recall by single px of distance to the border. {_erased_in_words(audit)}",
        depth_figure(audit),
    )
    if (figure := examples_figure(audit, examples)) is not None:
        yield Figure(
            "prediction_examples",
            f"Examples. Rule: {example_rule(audit.counts)}. Dotted: end of the border zone",
            "Outlines of truth and predictions on "
            + ", ".join(f"{shown.chosen.id} ({shown.chosen.label})" for shown in examples),
            figure,
        )


def _in_words(audit: PredictionAudit) -> str:
    found = [
        (model, [audit.score(model, band, "recall").value for band in ("outer", "inner")])
        for model in audit.models
    ]
    said = [
        f"{model}: recall {outer:.2f} at the border, {inner:.2f} inside"
        for model, (outer, inner) in found
        if not np.isnan([outer, inner]).any()
    ]
    return "; ".join(said)


def _erased_in_words(audit: PredictionAudit) -> str:
    return "; ".join(
        f"{model}: erased border {audit.erased[model, POOLED].px} px"
        for model in audit.counts.names
    )
