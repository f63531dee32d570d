"""The results of a grid: arms, seeds, test sets and counts, from a workdir or from memory.

Nothing here trains, evaluates or writes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxseg.errors import JaxsegError, check_choice, printable
from jaxseg.grid.config import Config, make_config
from jaxseg.metrics.bootstrap import RESAMPLES

LAYOUTS = ("centre", "border")
AGAIN = "delete it and run the same command again"


class Cell(NamedTuple):
    """One row of cells.csv; `settings` holds the value of every axis as text."""

    name: str
    arm: str
    seed: int
    status: str
    epochs: str
    wall_s: str
    message: str
    settings: dict[str, str]


class Examples(NamedTuple):
    """The shown items: image uint8 [k,H,W,3], truth uint8 [k,H,W], and why each was chosen.

    `clean_image` uint8 [k,H,W,3] is the same frame without annotations, where it was stored.
    """

    image: np.ndarray
    truth: np.ndarray
    label: list[str]
    rule: str
    clean_image: np.ndarray | None = None


class Scoring(NamedTuple):
    """How counts were made: side of a frame and width of its border rings in pixels, width of the
    square rings in pixels of a frame of 256; `empty` as for `metrics.dice`."""

    size: int = 256
    ring_width: float = 10
    border_px: int = 8
    resamples: int = RESAMPLES
    empty: str = "nan"


class Counts(Protocol):
    """Where the arrays of a run come from.

    Keys are `<test set>.centre` and `.border`, counts [items, bands, classes, 3] whose last axis is
    (tp, fp, fn), and `<test set>.image`, the image of every item, int [items].
    """

    def __call__(self, arm: str, seed: int, key: str) -> np.ndarray | None:
        """The array, or None where there is none; JaxsegError for a damaged one."""
        ...

    def place(self, arm: str, seed: int) -> str:
        """Where the arrays of this run lie, for messages."""
        ...


class CountsInMemory(NamedTuple):
    """Arrays by (arm, seed, key), see `Counts`."""

    arrays: Mapping[tuple[str, int, str], np.ndarray]

    def __call__(self, arm: str, seed: int, key: str) -> np.ndarray | None:
        """The array, or None where there is none."""
        return self.arrays.get((arm, seed, key))

    def place(self, arm: str, seed: int) -> str:
        """Such as `counts of 'zeros', seed 0`."""
        return f"counts of {arm!r}, seed {seed}"


class Results(NamedTuple):
    """All that a report says of one grid. `arms` and `seeds` hold only cells that are done.

    Results that do not come from a workdir have `arms` to `stored`, with all else left empty.

    Attributes:
      arms: names, in grid order.
      seeds: of every arm, ascending.
      settings: of every arm, the value on each axis.
      axes: values of every axis, the baseline's first.
      test_sets: their names.
      stored: gives the counts.
      scoring: how they were made.
      workdir: the folder, or None.
      config, environment, data, progress: the objects of config.json and progress.json.
      cells: all rows of cells.csv.
      curves: rows of metrics.jsonl by cell.
      examples: shown frames, or None.
      missing: images that a run (arm, seed) was not scored on, bool [images]; their counts are 0.
    """

    arms: list[str]
    seeds: dict[str, tuple[int, ...]]
    settings: dict[str, dict[str, str]]
    axes: dict[str, list[str]]
    test_sets: list[str]
    stored: Counts
    scoring: Scoring = Scoring()
    workdir: Path | None = None
    config: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    data: Mapping[str, Any] = {}
    progress: Mapping[str, Any] = {}
    cells: Sequence[Cell] = ()
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = {}
    examples: Examples | None = None
    missing: Mapping[tuple[str, int], np.ndarray] = {}

    @property
    def fields(self) -> Config:
        """The config with its types; what an older or foreign workdir lacks has its default."""
        return make_config(self.config, strict=False)

    @property
    def left_out(self) -> list[Cell]:
        """Cells that diverged or are pending: no number of the report contains them."""
        return [cell for cell in self.cells if cell.status != "done"]

    @property
    def probe(self) -> str:
        """Test set on which border behaviour is judged: quarter, else random, else the first."""
        return next((t for t in ("quarter", "random") if t in self.test_sets), self.test_sets[0])

    def file(self, name: str) -> str:
        """The file or folder of the workdir, for messages."""
        return str(self.workdir / name) if self.workdir else name

    @property
    def planes(self) -> list[str]:
        """The plane of every test frame by its index; empty where frames have none."""
        named = [printable(plane) for plane in self.data.get("planes") or []]
        return named if any(named) else []

    def counts(self, arm: str, test_set: str, layout: str) -> np.ndarray:
        """Counts of one arm, int32 [seeds, items, bands, classes, 3], last axis (tp, fp, fn).

        `layout` is `centre` (square rings, innermost first) or `border` (rings by distance to the
        border, outermost first). Raises JaxsegError when a file is missing or the seeds were not
        scored on the same items.
        """
        check_choice("layout", layout, LAYOUTS)
        return self._stacked(arm, f"{test_set}.{layout}")

    def stability(self, arm: str) -> np.ndarray:
        """Counts of the predictions along the sequences, int32 [seeds, items, classes, 3].

        Every prediction is scored against the same cell's prediction at the frame's last stage.
        Raises JaxsegError as `counts` does.
        """
        return self._stacked(arm, "sequence.stability")

    def clusters(self, test_set: str) -> np.ndarray:
        """Image index of every item, int32 [items]; items of one image are resampled together."""
        arm = self.arms[0]
        seed = self.seeds[arm][0]
        image = self._array(arm, seed, f"{test_set}.image")
        items = self._array(arm, seed, f"{test_set}.border")
        if len(items) != len(image):
            raise JaxsegError(
                f"{self.stored.place(arm, seed)}: {test_set}.image names {len(image)} items, "
                f"{test_set}.border holds {len(items)}; {AGAIN}"
            )
        return image

    def common_seeds(self, arms: Sequence[str]) -> tuple[int, ...]:
        """Seeds done in every one of `arms`, ascending: what a paired comparison may use."""
        shared = set.intersection(*(set(self.seeds[arm]) for arm in arms))
        return tuple(sorted(shared))

    def shown_seed(self, arms: Sequence[str]) -> int:
        """The lowest seed that all `arms` have done; the first arm's own if none."""
        return (self.common_seeds(arms) or self.seeds[arms[0]])[0]

    def example_prediction(
        self, arm: str, seed: int, key: str = "examples.prediction"
    ) -> np.ndarray | None:
        """Predicted class indices of the examples, uint8 [k, H, W]; None when not stored.

        `key` is `examples.clean_prediction` for what is predicted on `Examples.clean_image`.
        """
        found = self.stored(arm, seed, key) if self.examples is not None else None
        if found is None or self.examples is None:
            return None
        if found.shape != self.examples.truth.shape:
            raise JaxsegError(
                f"{self.stored.place(arm, seed)}: {key!r} of shape {found.shape}, but examples.npz "
                f"holds frames of {self.examples.truth.shape}; {AGAIN}"
            )
        return found

    def _stacked(self, arm: str, key: str) -> np.ndarray:
        stacks = [self._array(arm, seed, key) for seed in self.seeds[arm]]
        if len({stack.shape for stack in stacks}) != 1:
            shapes = ", ".join(str(stack.shape) for stack in stacks)
            raise JaxsegError(
                f"counts of arm {arm!r}, {key}: shapes {shapes} must be equal; "
                "the cells were not scored on the same items, run the evaluation again"
            )
        return np.stack(stacks)

    def _array(self, arm: str, seed: int, key: str) -> np.ndarray:
        found = self.stored(arm, seed, key)
        if found is None:
            raise JaxsegError(f"{self.stored.place(arm, seed)}: holds no {key!r}; {AGAIN}")
        return found
