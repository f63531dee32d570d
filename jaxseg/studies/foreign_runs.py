"""Runs of other frameworks: folders of predicted masks, one per arm and seed, as results of a grid.

Distances are pixels of a frame of 256 to which every image is stretched, so that images of any size
are scored in the same rings.
"""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError, UsageError, printable
from jaxseg.homes import expand
from jaxseg.metrics.bands import FRAME
from jaxseg.progress import Progress, silent
from jaxseg.report.text import plural
from jaxseg.studies.folders import Predicted, read_predictions
from jaxseg.studies.predictions.counts import BORDER_PX, PairCounts, count_predictions
from jaxseg.studies.predictions.figures import choose_examples, example_rule
from jaxseg.studies.results import CountsInMemory, Examples, Results, Scoring
from jaxseg.studies.wording import listed

ARM, SEED = "{arm}", "{seed}"
TEST_SET = "given"
Arrays = dict[tuple[str, int, str], np.ndarray]


class Run(NamedTuple):
    """One training run: its predicted masks lie in `folder`."""

    arm: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Such as `zeros-s0`; of letters, digits and `_.+-`."""
        return f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', self.arm)}-s{self.seed}"


class ForeignRuns(NamedTuple):
    """`results` for the study of position; `images` are the names of its items, in their order.

    `taken` says how masks were read, a line each; `notes` name what is missing; `left_out` the
    files that could not be used.
    """

    results: Results
    images: list[str]
    taken: list[str]
    notes: list[str]
    left_out: list[str]


def find_runs(pattern: str, arms: Sequence[str] = ()) -> list[Run]:
    """The folders that match `pattern`, by arm and seed.

    Args:
      pattern: a path with `{arm}` (no `/`) and `{seed}` (a whole number), such as
        `runs/{arm}/seed{seed}`; `*` and `?` stand for any characters of one name.
      arms: which arms, in this order; by default all, in alphabetical order.
    Raises:
      UsageError: a pattern without `{arm}` or `{seed}` or with another field, one that matches
        nothing, two folders of one arm and seed, an arm that is not there.
    """
    for field in (ARM, SEED):
        if pattern.count(field) != 1:
            raise UsageError(
                f"--runs {pattern!r}: must hold {field} once, such as 'runs/{{arm}}/seed{{seed}}'"
            )
    if other := re.search(r"\{(?!arm\}|seed\})[^}]*\}?", pattern):
        raise UsageError(f"--runs {pattern!r}: {other[0]!r} is unknown; known are {ARM} and {SEED}")
    path = str(expand(pattern))
    meanings = {
        re.escape(ARM): r"(?P<arm>[^/]+?)",
        re.escape(SEED): r"(?P<seed>[0-9]{1,9})",
        re.escape("*"): "[^/]*",
        re.escape("?"): "[^/]",
    }
    expression = re.escape(path)
    for text, meaning in meanings.items():
        expression = expression.replace(text, meaning)
    found: dict[tuple[str, int], Path] = {}
    for folder in sorted(glob.glob(path.replace(ARM, "*").replace(SEED, "*"))):
        match = re.fullmatch(expression, folder)
        if match is None or not Path(folder).is_dir():
            continue
        key = printable(match["arm"]), int(match["seed"])
        if key in found:
            raise UsageError(
                f"--runs {pattern!r}: arm {key[0]!r}, seed {key[1]}: {found[key]} and {folder} "
                "both match; make the pattern narrower"
            )
        found[key] = Path(folder)
    if not found:
        raise UsageError(f"--runs {pattern!r}: no folder matches; check the part before {ARM}")
    names = sorted({arm for arm, _ in found})
    for arm in arms:
        if arm not in names:
            raise UsageError(f"--arms {arm!r}: no folder of that arm; there are {', '.join(names)}")
    wanted = list(dict.fromkeys(arms)) or names
    return [
        Run(arm, seed, found[arm, seed])
        for arm in wanted
        for seed in sorted(seed for name, seed in found if name == arm)
    ]


def read_runs(
    runs: Sequence[Run],
    truth: str | Path,
    images: str | Path | None = None,
    *,
    reading: Reading = Reading(),  # noqa: B008
    resamples: int = Scoring().resamples,
    progress: Progress = silent,
) -> ForeignRuns:
    """Counts of every run against the truth, as the results of a grid with one axis, `arm`.

    An image that a run lacks counts in no number of that run, and in no comparison with it.

    Args:
      runs: of `find_runs`.
      truth: folder of true masks.
      images: folder of images, shown in the examples.
      reading: how masks are read, see `Reading`.
      resamples: of the bootstrap over images.
      progress: shows the way.
    Raises:
      UsageError: a folder that is not there.
      JaxsegError: a run whose masks cannot be used, or of which no file has a truth.
    """
    taken: dict[str, list[Run]] = {}
    cautions: dict[str, None] = {}
    left_out: dict[str, None] = {}
    counted: dict[Run, PairCounts] = {}
    read: dict[Run, Predicted] = {}
    for run in runs:
        label = f"{run.arm}, seed {run.seed}"
        try:
            found = read_predictions(
                truth, [(label, run.folder)], images, reading=reading, progress=progress
            )
            read[run] = found
            counted[run] = count_predictions(
                found.items, [label], border_px=BORDER_PX, scale_to=FRAME, left_out=found.left_out
            )
        except UsageError:
            raise
        except JaxsegError as error:
            raise JaxsegError(f"{run.folder} ({label}): {error}") from error
        for line in found.taken:
            taken.setdefault(line.removeprefix(f"{label}: "), []).append(run)
        cautions |= dict.fromkeys(found.cautions)
        left_out |= dict.fromkeys(found.left_out)
    names = sorted({name for counts in counted.values() for name in counts.ids})
    results = _results(counted, names, resamples, *_examples(counted, read))
    notes = [*cautions, *_missing(results, counted, names)]
    read_as = [_of_runs(line, those) for line, those in taken.items()]
    return ForeignRuns(results, names, read_as, notes, list(left_out))


def _of_runs(line: str, runs: Sequence[Run]) -> str:
    """A line on how masks were read, with the runs that it holds for."""
    if line.startswith("truth: "):
        return line
    seeds: dict[str, list[str]] = {}
    for run in runs:
        seeds.setdefault(run.arm, []).append(str(run.seed))
    named = [f"{arm} (seeds {', '.join(numbers)})" for arm, numbers in seeds.items()]
    return f"{'; '.join(named)}: {line}"


def _results(
    counted: Mapping[Run, PairCounts],
    images: list[str],
    resamples: int,
    examples: Examples | None,
    predicted: Arrays,
) -> Results:
    classes = max(counts.border.shape[3] for counts in counted.values())
    arms = list(dict.fromkeys(run.arm for run in counted))
    stored = dict(predicted)
    missing: dict[tuple[str, int], np.ndarray] = {}
    for run, counts in counted.items():
        place = {name: k for k, name in enumerate(counts.ids)}
        rows = np.array([place.get(name, -1) for name in images])
        for layout, of_images in (("centre", counts.centre), ("border", counts.border)):
            whole = np.zeros((len(images), of_images.shape[2], classes, 3), np.int32)
            whole[rows >= 0, :, : of_images.shape[3]] = of_images[rows[rows >= 0], 0]
            stored[run.arm, run.seed, f"{TEST_SET}.{layout}"] = whole
        stored[run.arm, run.seed, f"{TEST_SET}.image"] = np.arange(len(images), dtype=np.int32)
        missing[run.arm, run.seed] = rows < 0
    return Results(
        arms=arms,
        seeds={arm: tuple(sorted(run.seed for run in counted if run.arm == arm)) for arm in arms},
        settings={arm: {"arm": arm} for arm in arms},
        axes={"arm": arms} if len(arms) > 1 else {},
        test_sets=[TEST_SET],
        stored=CountsInMemory(stored),
        scoring=Scoring(size=FRAME, border_px=BORDER_PX, resamples=resamples),
        examples=examples,
        missing=missing if any(lost.any() for lost in missing.values()) else {},
    )


def _examples(
    counted: Mapping[Run, PairCounts], read: Mapping[Run, Predicted]
) -> tuple[Examples | None, Arrays]:
    """The images that the first run chooses, and what every run predicts there."""
    first, counts = next(iter(counted.items()))
    chosen = choose_examples(counts)
    stored: Arrays = {}
    pictures: list[Any] = []
    for run, found in read.items():
        there = set(counted[run].ids)
        if not all(example.id in there for example in chosen):
            continue
        shown = [found.show(example.id) for example in chosen]
        predicted = [_square(predictions[0]) for _, predictions, _ in shown]
        stored[run.arm, run.seed, "examples.prediction"] = np.stack(predicted)
        pictures = pictures or shown
    if not pictures:
        return None, {}
    truths = np.stack([_square(truth) for truth, _, _ in pictures])
    blank = np.full((FRAME, FRAME, 3), 235, np.uint8)
    images = np.stack([blank if image is None else _square(image) for _, _, image in pictures])
    rule = f"{example_rule(counts)}, of {first.arm}, seed {first.seed}; frames are drawn as squares"
    return Examples(images, truths, [f"{one.label} {one.id}" for one in chosen], rule), stored


def _square(picture: np.ndarray) -> np.ndarray:
    """The picture stretched to FRAME × FRAME pixels; labels of masks are kept."""
    way = cv2.INTER_AREA if picture.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(picture.astype(np.uint8), (FRAME, FRAME), interpolation=way)


def _missing(
    results: Results, counted: Mapping[Run, PairCounts], images: Sequence[str]
) -> Iterator[str]:
    """Seeds and images that some runs have and others lack."""
    every = sorted(set().union(*results.seeds.values()))
    for arm in results.arms:
        if lost := [seed for seed in every if seed not in results.seeds[arm]]:
            yield (
                f"{arm} lacks {plural(len(lost), 'seed')} that another arm has "
                f"({', '.join(map(str, lost))}): left out of its comparisons."
            )
    for run, counts in counted.items():
        if names := sorted(set(images) - set(counts.ids)):
            yield (
                f"{run.arm}, seed {run.seed}, lacks {plural(len(names), 'image')} that another run "
                f"has ({listed(names)}): left out of its comparisons."
            )
