"""What a study of annotations measures: Dice with annotations minus Dice without, by image.

`estimates` are the rows of summary.csv. Their `band` is `all`, `plane:<name>` or `stage:<k>` (0
before any annotation), their `test_set` is `<set>-clean` for a difference between two test sets.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError, printable
from jaxseg.metrics import statistics
from jaxseg.metrics.dice import dice
from jaxseg.studies.annotations.arms import Roles, file_of, roles
from jaxseg.studies.estimates import (
    BAND_RESAMPLES,
    DIFFERENCE,
    SHARE,
    Scored,
    by_image,
    class_rows,
    regions,
    row_of,
    spread_row,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import EstimateRow

CLEAN, ANNOTATED, SEQUENCE = "clean", "annotated", "sequence"
ALL = "all"
DICE, RELIANCE, STABILITY, TO_LAST = "dice_per_image", "reliance", "stability", "dice_to_last"


class Study(NamedTuple):
    """The scores a study is made of; NaN where a class or an image has no value.

    `by_class` maps (test set, arm) to Dice float [seeds, images, classes], of the classes that the
    image's truth holds. `to_last` maps an arm to Dice with the prediction at the last stage, float
    [seeds, frames, stages]; empty without sequences. `image` maps a test set to the frame index of
    its images (of its sequences), int [images].
    """

    roles: Roles
    classes: list[str]
    planes: list[str]
    image: dict[str, np.ndarray]
    by_class: dict[tuple[str, str], np.ndarray]
    to_last: dict[str, np.ndarray]

    @property
    def test_sets(self) -> list[str]:
        """Test sets with one item a frame, `clean` first."""
        return list(dict.fromkeys(test_set for test_set, _ in self.by_class))

    @property
    def marked_sets(self) -> list[str]:
        """Test sets that are compared with `clean`."""
        return [test_set for test_set in self.test_sets if test_set != CLEAN]


def study(results: Results) -> Study:
    """All scores of a study of annotations; `clean` and `annotated` are among the test sets.

    Raises JaxsegError when test sets do not hold the same frames in the same order, when the
    stages of a sequence do not stand together, or when config.json names too few planes.
    """
    names = [t for t in results.test_sets if t != SEQUENCE and _is_paired(results, t)]
    image = {name: results.clusters(name) for name in names}
    by_class = {}
    for name in names:
        for arm in results.arms:
            summed = results.counts(arm, name, "border").sum(axis=2)
            by_class[name, arm] = np.where(in_truth(summed), dice(summed), np.nan)
    n_classes = next(iter(by_class.values())).shape[-1]
    named = [printable(name) for name in results.data.get("classes") or []]
    classes = [named[k] if k < len(named) else str(k + 1) for k in range(n_classes)]
    to_last = {}
    if SEQUENCE in results.test_sets:
        by_frame = _stages_by_frame(results)
        image[SEQUENCE] = by_frame[:, 0]
        to_last = {arm: _to_last(results, arm, by_frame.shape) for arm in results.arms}
    needed = 1 + max(int(frames.max()) for frames in image.values())
    planes = results.planes
    if planes and len(planes) < needed:
        raise JaxsegError(
            f"{file_of(results, 'config.json')}: data.planes names {len(planes)} frames, counts "
            f"hold {needed}; run the same command again"
        )
    return Study(roles(results), classes, planes, image, by_class, to_last)


def in_truth(counted: np.ndarray) -> np.ndarray:
    """Whether the truth holds each class, bool [...], from counts [..., 3] of (tp, fp, fn)."""
    return counted[..., 0] + counted[..., 2] > 0


def defined_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    total, n = np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1)
    return np.divide(total, n, out=np.full(total.shape, math.nan), where=n > 0)


def image_dice(study: Study, arm: str, test_set: str) -> np.ndarray:
    """Dice of every image, float [seeds, images]: the mean over the classes its truth holds.

    False positives of classes that the truth does not hold do not enter. NaN where it holds none.
    """
    return defined_mean(study.by_class[test_set, arm])


def reliance(study: Study, arm: str, test_set: str = ANNOTATED) -> np.ndarray:
    """Dice of every image with annotations minus Dice without, float [seeds, images]."""
    return image_dice(study, arm, test_set) - image_dice(study, arm, CLEAN)


def stage_dice(study: Study, arm: str, stage: int = 0) -> np.ndarray:
    """Dice between the predictions at a stage and at the last one, float [seeds, frames].

    Stage 0 (before any annotation) is the stability of the prediction.
    """
    return study.to_last[arm][:, :, stage]


def bands(study: Study, test_set: str) -> dict[str, np.ndarray]:
    """Masks over the images of a test set, bool [images]: `all`, then `plane:<name>` each.

    One plane alone is all there is and has no band of its own.
    """
    image = study.image[test_set]
    found = {ALL: np.ones(len(image), bool)}
    named = list(dict.fromkeys(study.planes[k] for k in image)) if study.planes else []
    if len(named) < 2:
        return found
    of_image = np.array([study.planes[k] for k in image])
    return found | {f"plane:{name}": of_image == name for name in named if name}


def difference_of(test_set: str) -> str:
    """Name of the difference between a test set and `clean`, such as `annotated-clean`."""
    return f"{test_set}-{CLEAN}"


def estimates(results: Results, study: Study) -> list[EstimateRow]:
    """All rows, arm by arm in grid order.

    `dice_per_image` is the mean over images of `image_dice` and `reliance` that of its difference
    between two test sets, so that their `n_left_out` counts images without any structure.
    `reliance:<class>` is the same for one class. `dice` is pooled, all classes together.
    Intervals: two-level bootstrap over seeds and images, with `eval.resamples` resamples; with
    BAND_RESAMPLES for pooled Dice, single classes and stages.
    """
    return [row for arm in results.arms for row in _arm_rows(results, study, arm)]


def _arm_rows(results: Results, study: Study, arm: str) -> Iterator[EstimateRow]:
    for test_set in results.test_sets:
        if test_set != SEQUENCE:
            yield from _pooled_rows(results, study, arm, test_set)
    for test_set in study.test_sets:
        scores, masks = image_dice(study, arm, test_set), bands(study, test_set)
        for mean in _by_band(results, study, arm, test_set, DICE, scores):
            yield mean
            yield spread_row(mean, scores[:, masks[mean.band]])
    for test_set in study.marked_sets:
        scores = reliance(study, arm, test_set)
        yield from _by_band(results, study, arm, test_set, RELIANCE, scores)
    if len(study.classes) > 1:
        gained = study.by_class[ANNOTATED, arm] - study.by_class[CLEAN, arm]
        for k, name in enumerate(study.classes):
            scored = Scored(arm, difference_of(ANNOTATED), gained[:, :, k], BAND_RESAMPLES)
            metric = f"{RELIANCE}:{name}"
            yield row_of(scored, ALL, metric, statistics.item_mean, within=DIFFERENCE)
    if study.to_last:
        yield from _by_band(results, study, arm, SEQUENCE, STABILITY, stage_dice(study, arm))
        for k in range(study.to_last[arm].shape[-1]):
            scored = Scored(arm, SEQUENCE, stage_dice(study, arm, k), BAND_RESAMPLES)
            yield row_of(scored, f"stage:{k}", TO_LAST, statistics.item_mean)


def _pooled_rows(results: Results, study: Study, arm: str, test_set: str) -> Iterator[EstimateRow]:
    """Dice of all classes together, and of each where there are several."""
    border = by_image(results.counts(arm, test_set, "border"), results.clusters(test_set))
    scored = Scored(arm, test_set, regions(border), BAND_RESAMPLES)
    yield row_of(scored, ALL, "dice", statistics.pooled(dice))
    yield from class_rows(scored, border, study.classes)


def _by_band(
    results: Results, study: Study, arm: str, test_set: str, metric: str, scores: np.ndarray
) -> Iterator[EstimateRow]:
    is_difference = metric == RELIANCE
    name = difference_of(test_set) if is_difference else test_set
    within = DIFFERENCE if is_difference else SHARE
    for band, mask in bands(study, test_set).items():
        scored = Scored(arm, name, scores[:, mask], results.scoring.resamples)
        yield row_of(scored, band, metric, statistics.item_mean, within=within)


def _is_paired(results: Results, test_set: str) -> bool:
    """Crops (`quarter`) are other items than frames; sets of whole frames must be the same ones."""
    image, clean = results.clusters(test_set), results.clusters(CLEAN)
    if len(np.unique(image)) < len(image):
        return False
    if not np.array_equal(image, clean):
        raise JaxsegError(
            f"{file_of(results, 'counts')}: test sets clean and {test_set} hold other frames "
            f"({len(clean)} and {len(image)}); they are paired by frame, run the evaluation again"
        )
    return True


def _stages_by_frame(results: Results) -> np.ndarray:
    """Frame index of every item of the sequences, int [frames, stages]."""
    image = results.clusters(SEQUENCE)
    frames = len(np.unique(image))
    by_frame = image.reshape(frames, -1) if len(image) % frames == 0 else image[:, None]
    if len(by_frame) != frames or (by_frame != by_frame[:, :1]).any():
        raise JaxsegError(
            f"{file_of(results, 'counts')}: sequence.image must hold the stages of each frame "
            f"together, equally many ({len(image)} items of {frames} frames); run the evaluation "
            "again"
        )
    return by_frame


def _to_last(results: Results, arm: str, shape: tuple[int, ...]) -> np.ndarray:
    """Classes of the truth that neither prediction holds are left out, like all others."""
    held = in_truth(results.counts(arm, SEQUENCE, "border").sum(axis=2))
    scores = np.where(held, dice(results.stability(arm)), np.nan)
    return defined_mean(scores).reshape(len(scores), *shape)
