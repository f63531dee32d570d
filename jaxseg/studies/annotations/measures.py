"""What a study of annotations measures: Dice with annotations minus Dice without, by image.

`estimates` are the rows of summary.csv. Their `band` is `all`, `plane:<name>` or `stage:<k>` (0
before any annotation), their `test_set` is `<set>-clean` for a difference between two test sets.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.metrics import statistics
from jaxseg.metrics.dice import dice
from jaxseg.metrics.statistics import item_mean
from jaxseg.studies.annotations.arms import (
    DOSE,
    TREND_DOSES,
    Line,
    Roles,
    arm_names,
    file_of,
    lines,
    roles,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import (
    BAND_RESAMPLES,
    DIFFERENCE,
    SHARE,
    ContrastRow,
    Design,
    EstimateRow,
    Scored,
    by_image,
    class_rows,
    compare,
    corrected,
    designs,
    regions,
    row_of,
    spread_row,
    value_of,
)
from jaxseg.studies.workdir_files import SALIENCY, SALIENCY_TOO, read_forms

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


ARM, CONTRAST, PAIR, TREND = "arm", "contrast", "pair", "trend"
SLOPE = "reliance_slope"
Key = tuple[str, str, str]


def contrasts(results: Results, study: Study) -> list[ContrastRow]:
    """All rows: first what the study was made for, then every pair of the grid."""
    gained, on_clean = (difference_of(ANNOTATED), ALL, RELIANCE), (CLEAN, ALL, DICE)
    each_arm = [Design(ARM, "", (arm,)) for arm in results.arms]
    baseline, mitigated, control, placebo = study.roles
    # What removal takes away, what annotations brought, and what a removal's traces do.
    wanted = [
        ("baseline - mitigated", baseline, mitigated),
        ("baseline - control", baseline, control),
        ("mitigated - control", mitigated, control),
        ("placebo - control", placebo, control),
    ]
    roles = [Design(CONTRAST, name, (a, b)) for name, a, b in wanted if a and b]
    pairs = [design for design in designs(results) if design.kind == PAIR]
    paired = [gained, on_clean, (ANNOTATED, ALL, DICE)]
    paired += [(SEQUENCE, ALL, STABILITY)] if study.to_last else []
    rows = []
    for test_set in study.marked_sets:
        rows += _family(results, study, (difference_of(test_set), ALL, RELIANCE), each_arm)
    for key in (gained, on_clean):
        rows += _family(results, study, key, roles)
    rows += _trends(results, study)
    for key in paired:
        rows += _family(results, study, key, pairs)
    return rows


class Analysis(NamedTuple):
    """All that the page is made of; `rows` are `estimates` and those of saliency."""

    results: Results
    study: Study
    rows: list[EstimateRow]
    contrasts: list[ContrastRow]

    @property
    def roles(self) -> Roles:
        """The arms that the headline and its findings are about."""
        return self.study.roles

    @property
    def names(self) -> dict[str, str]:
        """The readers' name of every arm."""
        return arm_names(self.results)

    @property
    def pairs(self) -> list[ContrastRow]:
        """The comparisons that any grid has."""
        return [row for row in self.contrasts if row.kind == PAIR]

    def estimate(
        self, arm: str | None, test_set: str, metric: str, band: str = ALL
    ) -> EstimateRow | None:
        """The one row with these keys, or None."""
        return value_of(self.rows, arm, test_set, band, metric) if arm else None

    def class_reliance(self, arm: str, name: str) -> EstimateRow | None:
        """The reliance in one class, where there are several."""
        return self.estimate(arm, difference_of(ANNOTATED), f"{RELIANCE}:{name}")

    def reliance(self, arm: str, test_set: str = ANNOTATED) -> ContrastRow:
        """The reliance of one arm on a marked test set; every finished arm has one."""
        key = (ARM, RELIANCE, (arm,), difference_of(test_set))
        return next(r for r in self.contrasts if (r.kind, r.metric, r.arms, r.test_set) == key)

    def contrast(self, metric: str, arm: str | None, other: str | None) -> ContrastRow | None:
        """The contrast of two arms of `roles`, or None."""
        return self._find(CONTRAST, metric, arm, other)

    def trend(self, line: Line) -> ContrastRow | None:
        """The slope of reliance over the doses of a line, or None."""
        arms = [*line.arms.values()]
        return self._find(TREND, SLOPE, arms[-1], arms[0])

    def _find(self, kind: str, metric: str, *arms: str | None) -> ContrastRow | None:
        key = (kind, metric, arms)
        return next((r for r in self.contrasts if (r.kind, r.metric, r.arms) == key), None)


def _family(
    results: Results, study: Study, key: Key, planned: Sequence[Design]
) -> list[ContrastRow]:
    parts = {arm: _scores(study, arm, key) for arm in results.arms}
    return corrected(compare(results, parts, design, key, item_mean) for design in planned)


def _scores(study: Study, arm: str, key: Key) -> np.ndarray:
    """What a row of this key is the mean of: float [seeds, images]."""
    test_set, _, metric = key
    if metric == STABILITY:
        return stage_dice(study, arm)
    if metric == DICE:
        return image_dice(study, arm, test_set)
    return reliance(study, arm, test_set.removesuffix(f"-{CLEAN}"))


def _trends(results: Results, study: Study) -> list[ContrastRow]:
    """A least-squares slope is a weighted sum over doses, so that it is a contrast like others."""
    key = (difference_of(ANNOTATED), ALL, SLOPE)
    parts = {arm: reliance(study, arm) for arm in results.arms}
    rows = []
    for line in lines(results):
        if len(line.arms) < TREND_DOSES:
            continue
        arms = tuple(line.arms.values())
        away = np.array([*line.arms]) - np.mean([*line.arms])
        weights = list(away / (away**2).sum())
        row = compare(results, parts, Design(TREND, DOSE, arms), key, item_mean, weights)
        if row is not None:
            rows.append(row._replace(arm_a=arms[-1], arm_b=arms[0], arm_c="", arm_d=""))
    return corrected(rows)


RATIO, POINTING = "saliency_ratio", "saliency_pointing"
RANDOM = "_random"


class Saliency(NamedTuple):
    """saliency.npz, its cells by arm and seed.

    `arrays` are those of the file, unchanged: share and hit [cells, frames, classes], area
    [frames], example_image uint8 [e, H, W, 3], example_annotated bool [e, H, W] and example_map
    float32 [cells, e, H, W] in [0, 1] among them; example_class int [e] (whose map it is) and
    example_rule where the file has them. `place` maps (arm, seed) to an index of cells.
    """

    layer: str
    test_set: str
    place: dict[tuple[str, int], int]
    arrays: dict[str, Any]

    @property
    def example_names(self) -> list[str]:
        """The structure of every example's map; empty text where the file does not say."""
        images = self.arrays["example_image"]
        places = self.arrays.get("example_class", np.zeros(len(images), int))
        names = [printable(str(name)) for name in self.arrays["classes"]]
        return [names[k - 1] if 0 < k <= len(names) else "" for k in places]

    def cells(self, arm: str) -> list[int]:
        """Places of the arm's cells, by seed."""
        return [k for (name, _), k in sorted(self.place.items()) if name == arm]


def read_saliency(results: Results) -> Saliency | None:
    """The file of the workdir; None where there is none.

    Cells that are no longer done take no part. Raises JaxsegError for a file that lacks an array or
    holds none of the workdir's cells.
    """
    path = results.workdir / "saliency.npz" if results.workdir else None
    if path is None or not path.is_file():
        return None
    arrays = read_forms(path, SALIENCY, SALIENCY_TOO)
    done = {cell.name: (cell.arm, cell.seed) for cell in results.cells if cell.status == "done"}
    place = {done[str(n)]: k for k, n in enumerate(arrays["cells"]) if str(n) in done}
    if not place:
        raise JaxsegError(
            f"{path}: holds none of the finished cells of cells.csv; delete it and make it again"
        )
    layer, test_set = (printable(str(arrays[name])) for name in ("layer", "test_set"))
    return Saliency(layer, test_set, place, arrays)


def saliency_rows(results: Results, saliency: Saliency | None) -> list[EstimateRow]:
    """Rows of summary.csv, arm by arm in grid order, and the same of randomised weights.

    `saliency_ratio`: mean share of the saliency that lies on annotation pixels over these pixels'
    mean share of the frame; 1 is chance. `saliency_pointing`: how often the map's maximum lies on
    an annotation (the pointing game). Classes of a frame are averaged first, then frames; a class
    without a map has no part. `…_random`: networks of the same form with randomised weights.
    """
    if saliency is None:
        return []
    return [row for arm in results.arms for row in _saliency_rows(results, saliency, arm)]


def _saliency_rows(results: Results, saliency: Saliency, arm: str) -> Iterator[EstimateRow]:
    cells, arrays = saliency.cells(arm), saliency.arrays
    if not cells:
        return
    frame, resamples = arrays["frame"], results.scoring.resamples
    for prefix, suffix in (("", ""), ("random_", RANDOM)):
        share = defined_mean(arrays[f"{prefix}share"][cells].astype(float))
        # Share and area [cells, frames, 2], both of the frames that have a map.
        parts = np.stack([share, np.where(np.isnan(share), np.nan, arrays["area"])], axis=-1)
        found = Scored(arm, saliency.test_set, parts, resamples)
        yield row_of(found, ALL, RATIO + suffix, _ratio_of_means, frame, within=(0.0, math.inf))
        hit = arrays[f"{prefix}hit"][cells].astype(float)
        found = found._replace(parts=defined_mean(np.where(hit < 0, np.nan, hit)))
        yield row_of(found, ALL, POINTING + suffix, item_mean, frame)


def _ratio_of_means(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # A ratio for each frame would be ruled by frames with hardly an annotation in them.
    area = item_mean(parts[..., 1], weights)
    area = np.where(area > 0, area, np.nan)
    return item_mean(parts[..., 0], weights) / area
