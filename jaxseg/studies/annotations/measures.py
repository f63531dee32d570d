"""What a study of annotations measures: Dice with annotations minus Dice without, by image.

`estimates` and `saliency_rows` are the rows of summary.csv. Their `band` is `all`, `plane:<name>`
or `stage:<k>` (0 before any annotation), their `test_set` is `<set>-clean` for a difference between
two test sets. `contrasts` are the rows of comparisons.csv, of four kinds:
  arm       the reliance of one arm (arm_a): Dice of the same images with annotations minus without.
  contrast  arm_a − arm_b for arms of `Roles`; `axis` says which.
  pair      arm_a − arm_b along one axis, as in any grid.
  trend     slope of reliance over contamination, from arm_b (lowest) to arm_a (highest): the change
            of Dice from 0 to 100 % by the straight line of least squares through each seed's doses.
Holm's correction runs over the rows of one kind, metric and test set. p is the exact sign-flip p
over seeds, as everywhere.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import JaxsegError, printable
from jaxseg.metrics import statistics
from jaxseg.metrics.dice import dice
from jaxseg.metrics.statistics import item_mean
from jaxseg.studies.annotations.arms import (
    DOSE,
    TREND_DOSES,
    Line,
    Roles,
    arm_names,
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
    contrast_rows,
    designs,
    regions,
    row_of,
    spread_row,
    value_of,
)
from jaxseg.studies.workdir_files import SALIENCY, read_forms

CLEAN, ANNOTATED, SEQUENCE = "clean", "annotated", "sequence"
ALL = "all"
DICE, RELIANCE, STABILITY, TO_LAST = "dice_per_image", "reliance", "stability", "dice_to_last"
SLOPE = "reliance_slope"
ARM, CONTRAST, PAIR, TREND = "arm", "contrast", "pair", "trend"
RATIO, POINTING = "saliency_ratio", "saliency_pointing"
RANDOM = "_random"


class Study(NamedTuple):
    """The scores a study is made of; NaN where a class or an image has no value.

    `by_class` maps (test set, arm) to Dice float [seeds, images, classes], of the classes that the
    image's truth holds. `to_last` maps an arm to Dice with the prediction at the last stage, float
    [seeds, frames, stages]; empty without sequences. `image` maps a test set to the frame index of
    its images (of its sequences), int [images].
    """

    results: Results
    roles: Roles
    classes: list[str]
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
    stages of a sequence do not follow each other, or when config.json names too few planes.
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
        for arm in results.arms:
            # Classes of the truth that neither prediction holds are left out, like all others.
            held = in_truth(results.counts(arm, SEQUENCE, "border").sum(axis=2))
            scores = defined_mean(np.where(held, dice(results.stability(arm)), np.nan))
            to_last[arm] = scores.reshape(len(scores), *by_frame.shape)
    frames = 1 + max(int(index.max()) for index in image.values())
    planes = results.planes
    if planes and len(planes) < frames:
        raise JaxsegError(
            f"{results.file('config.json')}: data.planes names {len(planes)} frames, counts "
            f"hold {frames}; run the same command again"
        )
    return Study(results, roles(results), classes, image, by_class, to_last)


def _is_paired(results: Results, test_set: str) -> bool:
    """Crops (`quarter`) are other items than frames; sets of whole frames must be the same ones."""
    image, clean = results.clusters(test_set), results.clusters(CLEAN)
    if len(np.unique(image)) < len(image):
        return False
    if not np.array_equal(image, clean):
        raise JaxsegError(
            f"{results.file('counts')}: test sets clean and {test_set} hold other frames "
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
            f"{results.file('counts')}: sequence.image must hold the stages of each frame "
            f"together, equally many ({len(image)} items of {frames} frames); run the evaluation "
            "again"
        )
    return by_frame


# Scores.


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
    image, planes = study.image[test_set], study.results.planes
    found = {ALL: np.ones(len(image), bool)}
    of_image = np.array([planes[k] for k in image]) if planes else np.array([])
    named = list(dict.fromkeys(of_image.tolist()))
    if len(named) < 2:
        return found
    return found | {f"plane:{name}": of_image == name for name in named if name}


def difference_of(test_set: str) -> str:
    """Name of the difference between a test set and `clean`, such as `annotated-clean`."""
    return f"{test_set}-{CLEAN}"


# The rows of summary.csv.


def estimates(study: Study) -> list[EstimateRow]:
    """All rows, arm by arm in grid order.

    `dice_per_image` is the mean over images of `image_dice` and `reliance` that of its difference
    between two test sets, so that their `n_left_out` counts images without any structure.
    `reliance:<class>` is the same for one class. `dice` is pooled, all classes together.
    Intervals: two-level bootstrap over seeds and images, with `eval.resamples` resamples; with
    BAND_RESAMPLES for pooled Dice, single classes and stages.
    """
    return [row for arm in study.results.arms for row in _arm_rows(study, arm)]


def _arm_rows(study: Study, arm: str) -> Iterator[EstimateRow]:
    results, gained_on = study.results, difference_of(ANNOTATED)
    for test_set in results.test_sets:
        if test_set != SEQUENCE:
            counts = results.counts(arm, test_set, "border")
            border = by_image(counts, results.clusters(test_set))
            scored = Scored(arm, test_set, regions(border), BAND_RESAMPLES)
            yield row_of(scored, ALL, "dice", statistics.pooled(dice))
            yield from class_rows(scored, border, study.classes)
    for test_set in study.test_sets:
        scores, masks = image_dice(study, arm, test_set), bands(study, test_set)
        for mean in _by_band(study, arm, test_set, DICE, scores):
            yield mean
            yield spread_row(mean, scores[:, masks[mean.band]])
    for test_set in study.marked_sets:
        yield from _by_band(study, arm, test_set, RELIANCE, reliance(study, arm, test_set))
    if len(study.classes) > 1:
        gained = study.by_class[ANNOTATED, arm] - study.by_class[CLEAN, arm]
        for k, name in enumerate(study.classes):
            scored = Scored(arm, gained_on, gained[:, :, k], BAND_RESAMPLES)
            yield row_of(scored, ALL, f"{RELIANCE}:{name}", item_mean, within=DIFFERENCE)
    if study.to_last:
        yield from _by_band(study, arm, SEQUENCE, STABILITY, stage_dice(study, arm))
        for k in range(study.to_last[arm].shape[-1]):
            scored = Scored(arm, SEQUENCE, stage_dice(study, arm, k), BAND_RESAMPLES)
            yield row_of(scored, f"stage:{k}", TO_LAST, item_mean)


def _by_band(
    study: Study, arm: str, test_set: str, metric: str, scores: np.ndarray
) -> Iterator[EstimateRow]:
    is_difference = metric == RELIANCE
    name = difference_of(test_set) if is_difference else test_set
    within = DIFFERENCE if is_difference else SHARE
    for band, mask in bands(study, test_set).items():
        scored = Scored(arm, name, scores[:, mask], study.results.scoring.resamples)
        yield row_of(scored, band, metric, item_mean, within=within)


# The rows of comparisons.csv.


def contrasts(study: Study) -> list[ContrastRow]:
    """All rows: first what the study was made for, then every pair of the grid."""
    results, found = study.results, []
    baseline, mitigated, control, placebo = study.roles
    gained = {arm: reliance(study, arm) for arm in results.arms}
    on_clean = {arm: image_dice(study, arm, CLEAN) for arm in results.arms}
    families = {
        (difference_of(ANNOTATED), ALL, RELIANCE): gained,
        (CLEAN, ALL, DICE): on_clean,
    }

    each_arm = [Design(ARM, "", (arm,)) for arm in results.arms]
    for test_set in study.marked_sets:
        key = difference_of(test_set), ALL, RELIANCE
        parts = {arm: reliance(study, arm, test_set) for arm in results.arms}
        found += contrast_rows(results, each_arm, key, parts, item_mean)

    # What removal takes away, what annotations brought, and what a removal's traces do.
    wanted = [
        ("baseline - mitigated", baseline, mitigated),
        ("baseline - control", baseline, control),
        ("mitigated - control", mitigated, control),
        ("placebo - control", placebo, control),
    ]
    of_roles = [Design(CONTRAST, name, (a, b)) for name, a, b in wanted if a and b]
    for key, parts in families.items():
        found += contrast_rows(results, of_roles, key, parts, item_mean)

    # A least-squares slope is a weighted sum over doses, so that it is a contrast like others.
    trends = []
    for line in lines(results):
        if len(line.arms) >= TREND_DOSES:
            arms = tuple(line.arms.values())
            away = np.array([*line.arms]) - np.mean([*line.arms])
            weights = tuple(away / (away**2).sum())
            trends.append(Design(TREND, DOSE, arms, weights, names=(arms[-1], arms[0])))
    key = difference_of(ANNOTATED), ALL, SLOPE
    found += contrast_rows(results, trends, key, gained, item_mean)

    families[ANNOTATED, ALL, DICE] = {arm: image_dice(study, arm, ANNOTATED) for arm in gained}
    if study.to_last:
        families[SEQUENCE, ALL, STABILITY] = {arm: stage_dice(study, arm) for arm in gained}
    pairs = [design for design in designs(results) if design.kind == PAIR]
    for key, parts in families.items():
        found += contrast_rows(results, pairs, key, parts, item_mean)
    return found


class Analysis(NamedTuple):
    """All that the page is made of; `rows` are `estimates` and those of saliency."""

    study: Study
    rows: list[EstimateRow]
    contrasts: list[ContrastRow]

    @property
    def results(self) -> Results:
        """The results of the grid."""
        return self.study.results

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
        key = (CONTRAST, metric, (arm, other))
        return next((r for r in self.contrasts if (r.kind, r.metric, r.arms) == key), None)

    def trend(self, line: Line) -> ContrastRow | None:
        """The slope of reliance over the doses of a line, or None."""
        arms = [*line.arms.values()]
        key = (TREND, SLOPE, (arms[-1], arms[0]))
        return next((r for r in self.contrasts if (r.kind, r.metric, r.arms) == key), None)


# Saliency maps: do they dwell on the annotations?


class Saliency(NamedTuple):
    """saliency.npz (see `grid_saliency`), its cells by arm and seed.

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
    arrays = read_forms(path, SALIENCY)
    done = {cell.name: (cell.arm, cell.seed) for cell in results.cells if cell.status == "done"}
    place = {done[str(n)]: k for k, n in enumerate(arrays["cells"]) if str(n) in done}
    if not place:
        raise JaxsegError(
            f"{path}: holds none of the finished cells of cells.csv; delete it and make it again"
        )
    layer, test_set = (printable(str(arrays[name])) for name in ("layer", "test_set"))
    return Saliency(layer, test_set, place, arrays)


def saliency_rows(results: Results, saliency: Saliency | None) -> Iterator[EstimateRow]:
    """Rows of summary.csv, arm by arm in grid order, and the same of randomised weights.

    `saliency_ratio`: mean share of the saliency that lies on annotation pixels over these pixels'
    mean share of the frame; 1 is chance. `saliency_pointing`: how often the map's maximum lies on
    an annotation (the pointing game). Classes of a frame are averaged first, then frames; a class
    without a map has no part. `…_random`: networks of the same form with randomised weights.
    """
    if saliency is None:
        return
    kinds, arrays = (("", ""), ("random_", RANDOM)), saliency.arrays
    for arm in results.arms:
        cells = saliency.cells(arm)
        for prefix, suffix in kinds if cells else ():
            share = defined_mean(arrays[f"{prefix}share"][cells].astype(float))
            # Share and area [cells, frames, 2], both of the frames that have a map.
            parts = np.stack([share, np.where(np.isnan(share), np.nan, arrays["area"])], axis=-1)
            found = Scored(arm, saliency.test_set, parts, results.scoring.resamples)
            frame, within = arrays["frame"], (0.0, math.inf)
            yield row_of(found, ALL, RATIO + suffix, _ratio_of_means, frame, within=within)
            hit = arrays[f"{prefix}hit"][cells].astype(float)
            found = found._replace(parts=defined_mean(np.where(hit < 0, np.nan, hit)))
            yield row_of(found, ALL, POINTING + suffix, item_mean, frame)


def _ratio_of_means(parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Frames with hardly an annotation in them would dominate a mean of ratios.
    area = item_mean(parts[..., 1], weights)
    area = np.where(area > 0, area, np.nan)
    return item_mean(parts[..., 0], weights) / area
