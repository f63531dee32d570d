"""What a reader should hold against the numbers of a study of annotations."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.report.text import plural
from jaxseg.studies.annotations.arms import TREND_DOSES, is_planned, lines
from jaxseg.studies.annotations.comparisons import ARM, PAIR, of_kind
from jaxseg.studies.annotations.measures import (
    ALL,
    CLEAN,
    SEQUENCE,
    Study,
    bands,
    image_dice,
)
from jaxseg.studies.annotations.names import arm_names
from jaxseg.studies.annotations.tables import DICE, STABILITY
from jaxseg.studies.position.cautions import (
    condition_cautions,
    data_cautions,
    learning_cautions,
    left_out_cautions,
    seed_cautions,
)
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, value_of

FEW_FRAMES = 10
# With so little left to gain, annotations cannot help much, whatever a network makes of them.
LITTLE_ROOM = 0.95


def study_cautions(
    results: Results, study: Study, rows: Sequence[EstimateRow], comparisons: Sequence[ContrastRow]
) -> list[str]:
    """Sentences without markup, most general first."""
    return [
        *seed_cautions(of_kind(comparisons, PAIR) or of_kind(comparisons, ARM), rows),
        *_baseline(results, study),
        *_level(study, rows),
        *_planes(study),
        *_classes(study),
        *_stability(study, rows),
        *_design(results, study),
        *data_cautions(results),
        *left_out_cautions(results),
        *condition_cautions(results),
    ]


def _baseline(results: Results, study: Study) -> Iterator[str]:
    if not is_planned(results, study.roles.baseline):
        yield (
            "The headline should be told of annotations that are drawn, tied, not removed and at "
            "the highest contamination; no such arm has finished, so it is told of "
            f"“{arm_names(results)[study.roles.baseline]}”."
        )


def _level(study: Study, rows: Sequence[EstimateRow]) -> Iterator[str]:
    arm = study.roles.control or study.roles.baseline
    row = value_of(rows, arm, CLEAN, ALL, DICE)
    if row is None:
        return
    if row.value > LITTLE_ROOM:
        yield (
            f"Dice on clean frames is {row.value:.3f} already, without any annotation seen. There "
            "is little room for annotations to help, so a small reliance says little about harder "
            "images."
        )
    yield from learning_cautions([row for row in rows if (row.metric, row.band) == (DICE, ALL)])


def _planes(study: Study) -> Iterator[str]:
    sizes = {
        band.removeprefix("plane:"): int(mask.sum())
        for band, mask in bands(study, CLEAN).items()
        if band != ALL
    }
    few = [f"{name} ({n})" for name, n in sizes.items() if n < FEW_FRAMES]
    if few:
        yield f"Planes with fewer than {FEW_FRAMES} test frames: {', '.join(few)}."


def _stability(study: Study, rows: Sequence[EstimateRow]) -> Iterator[str]:
    row = value_of(rows, study.roles.baseline, SEQUENCE, ALL, STABILITY)
    if row is not None and row.n_left_out > 0:
        yield (
            f"Of {row.n_images} sequences, stability has no value in {row.n_left_out:.3g} "
            "(baseline, averaged over seeds): neither prediction finds a structure that the frame "
            "holds."
        )


def _classes(study: Study) -> Iterator[str]:
    scores = study.by_class[CLEAN, study.roles.baseline]
    names = [name for k, name in enumerate(study.classes) if np.isnan(scores[..., k]).all()]
    if names:
        yield f"No test frame holds {', '.join(names)}: nothing is said of it."
    empty = int(np.isnan(image_dice(study, study.roles.baseline, CLEAN)[0]).sum())
    if empty:
        are = "holds no structure and is" if empty == 1 else "hold no structure and are"
        yield f"{plural(empty, 'test frame')} {are} left out of Dice and reliance."
    if len(names) < len(study.classes) - 1:
        yield (
            "Dice of a frame is the mean over the structures it holds; pixels predicted as a "
            "structure that it does not hold lower it only where they take the place of one that "
            "it does."
        )


def _design(results: Results, study: Study) -> Iterator[str]:
    if study.roles.control is None:
        yield (
            "No arm was trained without any annotation (contamination 0): how much of the "
            "reliance is due to training with annotations is not told."
        )
    if study.roles.mitigated is not None and study.roles.placebo is None:
        yield (
            "No placebo (annotate.drawn False): what removal does is not told apart from the "
            "traces that it leaves."
        )
    if all(len(line.arms) < TREND_DOSES for line in lines(results)):
        yield f"Fewer than {TREND_DOSES} doses of contamination: no trend is tested."
