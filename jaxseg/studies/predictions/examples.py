"""The paper's Fig. 3 for any predictions: which images to look at, by a rule stated beforehand."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxseg.metrics.dice import dice
from jaxseg.studies.predictions.counts import PairCounts


class Chosen(NamedTuple):
    """An image to show: its place in `PairCounts.ids`, its id and why it was chosen."""

    index: int
    id: str
    label: str


class Shown(NamedTuple):
    """What is drawn of one image: masks are class indices [H, W], `image` uint8 [H, W, 3]."""

    chosen: Chosen
    truth: np.ndarray
    predictions: list[np.ndarray]
    image: np.ndarray | None = None


def choose_examples(counts: PairCounts) -> list[Chosen]:
    """The images of `example_rule`, at most three, none twice; the first of equals is taken."""
    chosen: list[Chosen] = []
    for label, ranked in _rankings(counts):
        taken = {one.index for one in chosen}
        left = [int(k) for k in ranked if k not in taken]
        if left:
            chosen.append(Chosen(left[0], counts.ids[left[0]], label))
    return chosen


def example_rule(counts: PairCounts) -> str:
    """The rule of `choose_examples` in words."""
    several = len(counts.names) > 1
    who = "the predictions differ" if several else "prediction and truth differ"
    of = "Dice averaged over the models" if several else "Dice"
    return (
        f"largest disagreement near the border: the image with the largest share of its pixels "
        f"within {counts.border_px} px of the border on which {who}; median and best: by {of}, all "
        "classes together, among images with an object; no image twice"
    )


def _rankings(counts: PairCounts) -> Iterator[tuple[str, np.ndarray]]:
    """(label, indices of images, the most fitting first)."""
    if counts.disagreement.any():
        ranked = np.argsort(-counts.disagreement, kind="stable")
        yield "largest disagreement near the border", ranked
    totals = counts.centre.sum(axis=(2, 3), dtype=np.int64)
    has = np.flatnonzero(totals[:, 0, 0] + totals[:, 0, 2])
    score = dice(totals[has]).mean(axis=1)
    upper = np.sort(score)[len(score) // 2]
    yield "median Dice", has[np.argsort(np.abs(score - upper), kind="stable")]
    yield "best Dice", has[np.argsort(-score, kind="stable")]
