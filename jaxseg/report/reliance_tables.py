"""The rows of summary.csv of a study of annotations: reliance, Dice by image and plane, stability.

Rows are `tables.SummaryRow`. `band` is `all`, `plane:<name>` or `stage:<k>` (0 before any
annotation). `test_set` is `<set>-clean` for a difference between two test sets.
"""

from collections.abc import Iterator

import numpy as np

from jaxseg.metrics import statistics
from jaxseg.metrics.dice import dice
from jaxseg.report.reliance import (
    ALL,
    ANNOTATED,
    CLEAN,
    SEQUENCE,
    Study,
    bands,
    image_dice,
    reliance,
    stage_dice,
)
from jaxseg.report.results import Results, clusters, counts
from jaxseg.report.tables import (
    BAND_RESAMPLES,
    DIFFERENCE,
    SHARE,
    Scored,
    SummaryRow,
    by_image,
    class_rows,
    regions,
    row_of,
    spread_row,
)

DICE, RELIANCE, STABILITY, TO_LAST = "dice_per_image", "reliance", "stability", "dice_to_last"


def difference_of(test_set: str) -> str:
    """Name of the difference between a test set and `clean`, such as `annotated-clean`."""
    return f"{test_set}-{CLEAN}"


def study_rows(results: Results, study: Study) -> list[SummaryRow]:
    """All rows, arm by arm in grid order; intervals as `tables.summary` has them.

    `dice_per_image` is the mean over images of `reliance.image_dice` and `reliance` that of its
    difference between two test sets, so that their `n_left_out` counts images without any
    structure. `reliance:<class>` is the same for one class. `dice` is pooled, all classes together.
    """
    return [row for arm in results.arms for row in _arm_rows(results, study, arm)]


def _arm_rows(results: Results, study: Study, arm: str) -> Iterator[SummaryRow]:
    for test_set in results.test_sets:
        if test_set != SEQUENCE:
            yield from _pooled_rows(results, study, arm, test_set)
    for test_set in study.test_sets:
        yield from _image_rows(results, study, arm, test_set)
    for test_set in study.marked_sets:
        scores = reliance(study, arm, test_set)
        yield from _by_band(results, study, arm, test_set, RELIANCE, scores)
    yield from _class_reliance(study, arm)
    if study.to_last:
        yield from _by_band(results, study, arm, SEQUENCE, STABILITY, stage_dice(study, arm))
        yield from _stage_rows(study, arm)


def _pooled_rows(results: Results, study: Study, arm: str, test_set: str) -> Iterator[SummaryRow]:
    image = clusters(results, test_set)
    border = by_image(counts(results, arm, test_set, "border"), image)
    scored = Scored(arm, test_set, regions(border), BAND_RESAMPLES)
    yield row_of(scored, ALL, "dice", statistics.pooled(dice))
    yield from class_rows(scored, border, study.classes)


def _image_rows(results: Results, study: Study, arm: str, test_set: str) -> Iterator[SummaryRow]:
    scores = image_dice(study, arm, test_set)
    masks = bands(study, test_set)
    for mean in _by_band(results, study, arm, test_set, DICE, scores):
        yield mean
        yield spread_row(mean, scores[:, masks[mean.band]])


def _by_band(
    results: Results, study: Study, arm: str, test_set: str, metric: str, scores: np.ndarray
) -> Iterator[SummaryRow]:
    is_difference = metric == RELIANCE
    name = difference_of(test_set) if is_difference else test_set
    within = DIFFERENCE if is_difference else SHARE
    resamples = results.fields.eval.resamples
    for band, mask in bands(study, test_set).items():
        scored = Scored(arm, name, scores[:, mask], resamples)
        yield row_of(scored, band, metric, statistics.item_mean, within=within)


def _class_reliance(study: Study, arm: str) -> Iterator[SummaryRow]:
    if len(study.classes) == 1:
        return
    gained = study.by_class[ANNOTATED, arm] - study.by_class[CLEAN, arm]
    for k, name in enumerate(study.classes):
        scored = Scored(arm, difference_of(ANNOTATED), gained[:, :, k], BAND_RESAMPLES)
        metric = f"{RELIANCE}:{name}"
        yield row_of(scored, ALL, metric, statistics.item_mean, within=DIFFERENCE)


def _stage_rows(study: Study, arm: str) -> Iterator[SummaryRow]:
    for k in range(study.to_last[arm].shape[-1]):
        scored = Scored(arm, SEQUENCE, stage_dice(study, arm, k), BAND_RESAMPLES)
        yield row_of(scored, f"stage:{k}", TO_LAST, statistics.item_mean)
