"""What a study of annotations measures: Dice with annotations minus Dice without, by image."""

import math
from typing import NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.metrics.dice import dice
from jaxseg.studies.annotations.arms import Roles, roles
from jaxseg.studies.results import (
    Results,
    clusters,
    counts,
    planes,
    stability,
)

CLEAN, ANNOTATED, SEQUENCE = "clean", "annotated", "sequence"
ALL = "all"


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


def is_study(results: Results) -> bool:
    """Whether the same test frames were scored with and without annotations."""
    return {CLEAN, ANNOTATED} <= set(results.test_sets)


def study(results: Results) -> Study | None:
    """All scores of a study of annotations; None when `is_study` says that it is none.

    Raises JaxsegError when test sets do not hold the same frames in the same order, when the
    stages of a sequence do not stand together, or when config.json names too few planes.
    """
    if not is_study(results):
        return None
    names = [t for t in results.test_sets if t != SEQUENCE and _is_paired(results, t)]
    image = {name: clusters(results, name) for name in names}
    by_class = {
        (name, arm): _by_class(results, arm, name) for name in names for arm in results.arms
    }
    to_last, frames = _sequences(results) if SEQUENCE in results.test_sets else ({}, {})
    found = Study(
        roles(results), _class_names(results, by_class), planes(results), image | frames, by_class,
        to_last,
    )  # fmt: skip
    _check_planes(results, found)
    return found


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


def _is_paired(results: Results, test_set: str) -> bool:
    """Crops (`quarter`) are other items than frames; sets of whole frames must be the same ones."""
    image, clean = clusters(results, test_set), clusters(results, CLEAN)
    if len(np.unique(image)) < len(image):
        return False
    if not np.array_equal(image, clean):
        raise JaxsegError(
            f"{results.workdir / 'counts'}: test sets clean and {test_set} hold other frames "
            f"({len(clean)} and {len(image)}); they are paired by frame, run the evaluation again"
        )
    return True


def _by_class(results: Results, arm: str, test_set: str) -> np.ndarray:
    summed = counts(results, arm, test_set, "border").sum(axis=2)
    return np.where(in_truth(summed), dice(summed), np.nan)


def _sequences(results: Results) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    image = clusters(results, SEQUENCE)
    frames = len(np.unique(image))
    by_frame = image.reshape(frames, -1) if len(image) % frames == 0 else image[:, None]
    if len(by_frame) != frames or (by_frame != by_frame[:, :1]).any():
        raise JaxsegError(
            f"{results.workdir / 'counts'}: sequence.image must hold the stages of each frame "
            f"together, equally many ({len(image)} items of {frames} frames); run the evaluation "
            "again"
        )
    to_last = {arm: _to_last(results, arm, by_frame.shape) for arm in results.arms}
    return to_last, {SEQUENCE: by_frame[:, 0]}


def _to_last(results: Results, arm: str, shape: tuple[int, ...]) -> np.ndarray:
    """Classes of the truth that neither prediction holds are left out, like all others."""
    held = in_truth(counts(results, arm, SEQUENCE, "border").sum(axis=2))
    scores = np.where(held, dice(stability(results, arm)), np.nan)
    return defined_mean(scores).reshape(len(scores), *shape)


def _class_names(results: Results, by_class: dict[tuple[str, str], np.ndarray]) -> list[str]:
    n = next(iter(by_class.values())).shape[-1]
    named = [printable(name) for name in results.data.get("classes") or []]
    return [named[k] if k < len(named) else str(k + 1) for k in range(n)]


def _check_planes(results: Results, found: Study) -> None:
    needed = 1 + max(int(image.max()) for image in found.image.values())
    if found.planes and len(found.planes) < needed:
        raise JaxsegError(
            f"{results.workdir / 'config.json'}: data.planes names {len(found.planes)} frames, "
            f"counts hold {needed}; run the same command again"
        )
