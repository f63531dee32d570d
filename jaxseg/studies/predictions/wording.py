"""What an audit of predictions says in sentences, with the rules behind them."""

import math
from collections.abc import Iterator

from jaxseg.report.text import (
    interval,
    number,
    p_text,
    plural,
)
from jaxseg.studies.predictions.differences import Difference
from jaxseg.studies.predictions.erased_border import ERASED
from jaxseg.studies.predictions.predictions import PredictionAudit
from jaxseg.studies.predictions.scores import (
    BASELINE,
    INDEX,
    PER_IMAGE,
    POOLED,
)

FEW_IMAGES = 20
NO_DIFFERENCE = "No difference shown."


def verdict(audit: PredictionAudit) -> list[str]:
    """Sentences on the border, the erased margin, the baseline and two models; rules come last."""
    models = audit.counts.names
    sentences = [_border(audit, model) for model in models]
    sentences += [_erased(audit, model) for model in models]
    alone = [row for row in audit.differences if row.model_b == BASELINE]
    sentences += [_against_baseline(audit, row) for row in alone]
    sentences += [_between(row) for row in audit.differences if row.model_b != BASELINE]
    return [*sentences, _rules(audit)]


def notes(audit: PredictionAudit) -> list[str]:
    """Cautions: what the numbers do not cover, what was left out, and what looks wrong."""
    found = [*_few(audit), *_sizes(audit), *_empty(audit), *_classes(audit), *_hollow(audit)]
    return [
        "Intervals and p say what other images would give, not what another training run of the "
        "same model would.",
        "Near the border lie mostly the rims of objects, where any error of the outline costs "
        "more than inside. A small index above 0 is no proof of a shortcut; compare models, or "
        "the same model on crops.",
        *found,
    ]


def px_text(audit: PredictionAudit) -> str:
    """The unit of distances to the border: `px`, or `px of a 256 px frame`."""
    scale = audit.counts.scale_to
    return "px" if scale is None else f"px of a {scale} px frame"


def _border(audit: PredictionAudit, model: str) -> str:
    outer, inner = (audit.score(model, band, "recall") for band in ("outer", "inner"))
    index, n = audit.score(model, "inner-outer", INDEX), len(audit.counts.ids)
    zone = f"{audit.counts.border_px} {px_text(audit)} of the border"
    if not outer.n_images or not inner.n_images:
        side = "within" if not outer.n_images else "deeper than"
        return (
            f"No object lies {side} {zone} in any of the {n} images: nothing can be said of what "
            f"{model} does there."
        )
    return (
        f"Within {zone} {model} finds {share(outer.value)} of the object, inside "
        f"{share(inner.value)}: difference {number(index.value)} "
        f"{interval(index.ci_low, index.ci_high)} over {plural(n, 'image')}, {outer.n_images} of "
        f"them with an object there. {_judged(index.ci_low, index.ci_high)}"
    )


def _judged(low: float, high: float) -> str:
    if math.isnan(low):
        return "One image gives no interval, so no verdict."
    if low > 0:
        return "Less is found at the border than inside."
    return "More is found at the border than inside." if high < 0 else NO_DIFFERENCE


def _erased(audit: PredictionAudit, model: str) -> str:
    found = audit.erased[model, POOLED]
    if not found.recall_beyond > 0:
        return f"{model} finds nothing anywhere, so an erased border cannot be told."
    if found.px:
        n = int(((audit.counts.nearest >= 0) & (audit.counts.nearest < found.px)).sum())
        return (
            f"Erased border of {model}: {found.px} {px_text(audit)}. Within them it finds "
            f"{share(found.recall_within)} of the object, deeper {share(found.recall_beyond)}; "
            f"{plural(n, 'image')} with an object there."
        )
    if found.first_px:
        return (
            f"Erased border of {model}: none seen, but no object lies within {found.first_px} "
            f"{px_text(audit)} of the border, so what it does there cannot be told."
        )
    return f"Erased border of {model}: none."


def _against_baseline(audit: PredictionAudit, row: Difference) -> str:
    fixed = audit.score(BASELINE, "all", PER_IMAGE).value
    # Of the same images: those without an object are not scored here.
    own = fixed + row.difference
    if row.ci_low > 0:
        judged = "better than position alone."
    else:
        judged = "worse than position alone." if row.ci_high < 0 else NO_DIFFERENCE.lower()
    return (
        f"A fixed mask that ignores the image reaches Dice {number(fixed)}, {row.model_a} "
        f"{number(own)} on the {plural(row.n_images, 'image')} with an object: difference "
        f"{_amount(row)}, p {p_text(row.p)}: {judged}"
    )


def _between(row: Difference) -> str:
    names = {INDEX: "border shortcut index", "recall": "recall at the border"}
    metric = names.get(row.metric, "Dice per image")
    shown = row.ci_low > 0 or row.ci_high < 0
    judged = f"{'higher' if row.difference > 0 else 'lower'}." if shown else NO_DIFFERENCE.lower()
    return (
        f"{row.model_a} against {row.model_b}, {metric}: {_amount(row)}, p {p_text(row.p_holm)} "
        f"over {plural(row.n_images, 'image')}: {judged}"
    )


def _amount(row: Difference) -> str:
    """Such as `+0.329 [+0.321, +0.336]`."""
    low_to_high = interval(row.ci_low, row.ci_high, signed=True)
    return f"{number(row.difference, signed=True)} {low_to_high}".strip()


def _rules(audit: PredictionAudit) -> str:
    text = (
        "Rules: recall counts the pixels of all images together; a difference is shown when its "
        "95 % interval over images excludes 0. Erased border: the largest k such that the recall "
        "of the object within k px of the border, and that of its k-th px alone, are below "
        f"{share(ERASED)} of the recall deeper inside. Fixed mask: the places that most truths of "
        "one half of the images cover, cut where Dice is highest, scored on the other half."
    )
    if len(audit.counts.names) > 1:
        text += " p: predictions exchanged image by image, Holm-corrected over models."
    return text


def _few(audit: PredictionAudit) -> Iterator[str]:
    n = audit.score(audit.models[0], "outer", "recall").n_images
    if 0 < n < FEW_IMAGES:
        yield (
            f"Only {plural(n, 'image')} with an object within {audit.counts.border_px} "
            f"{px_text(audit)} of the border: intervals from so few are too narrow."
        )
    if BASELINE not in audit.models:
        yield "Too few images with an object for the fixed mask: both halves need one."


def _sizes(audit: PredictionAudit) -> Iterator[str]:
    sizes = sorted(set(audit.counts.shapes))
    if len(sizes) > 1 and audit.counts.scale_to is None:
        (low, _), (high, _) = sizes[0], sizes[-1]
        yield (
            f"Frames have {len(sizes)} sizes, {low} to {high} px high. Distances to the border are "
            "px of each frame; where the model saw all frames resized to one size, measure in px "
            "of that size instead."
        )


def _empty(audit: PredictionAudit) -> Iterator[str]:
    empty = int((audit.counts.nearest < 0).sum())
    if empty:
        yield f"{plural(empty, 'image')} of {len(audit.counts.ids)} without an object."
    for model in audit.counts.names:
        if n := audit.score(model, "all", PER_IMAGE).n_left_out:
            yield (
                f"{plural(n, 'image')} left out of {model}'s Dice per image: nothing there and "
                "nothing predicted."
            )


def _classes(audit: PredictionAudit) -> Iterator[str]:
    classes = audit.classes[1:]
    if classes:
        yield f"Sentences and curves hold {len(classes)} classes together; the tables each."
    for cls in classes:
        if not audit.score(audit.models[0], "all", "recall", cls).n_images:
            yield (
                f"{cls[0].upper()}{cls[1:]} is predicted but never true: are predictions and "
                "truth coded alike?"
            )


def _hollow(audit: PredictionAudit) -> Iterator[str]:
    pairs = [row for row in audit.differences if row.model_b != BASELINE]
    recall = {row.model_a: row for row in pairs if row.metric == "recall"}
    for row in pairs:
        if row.metric == INDEX and row.ci_high < 0 and not recall[row.model_a].ci_low > 0:
            yield (
                f"The index of {row.model_a} is lower than that of {row.model_b}, but recall at "
                "the border is not shown to be higher: it can have fallen with recall inside, "
                "which is no cure."
            )


def share(value: float) -> str:
    """Such as `31 %`."""
    return f"{100 * value:.0f} %"
