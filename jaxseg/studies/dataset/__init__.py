"""Where do objects lie in a data set, and how far would position alone carry a network?

Measured, from masks alone, are the centres, areas and borders of objects, a test of uniform
placement with the places where objects gather, the Dice of the best fixed mask (the centre prior),
and near-duplicates within and across data sets.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxseg.data.duplicates import IMAGES, MASKS
from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.progress import Progress, silent
from jaxseg.report.section import Section, Table
from jaxseg.report.text import interval, number, p_text, percent, plural, with_interval
from jaxseg.studies.dataset.figures import figures
from jaxseg.studies.dataset.measures import (
    ALONE,
    BOTH,
    IMAGE,
    MASK,
    CopyPair,
    Dataset,
    duplicates,
    measure_folder,
)
from jaxseg.studies.dataset.placement import DEAD_CENTRE, DRAWS, FEWEST, LEVEL, NOTABLE, Gathering

RULE = (
    f"Rule: placement is biased when p < {LEVEL} and the distance from uniform ≥ {NOTABLE} "
    f"(0 uniform, {DEAD_CENTRE:.2f} all in the centre, 1 all in one corner; each object given "
    "the room its size leaves). Places are medians of the objects' centres, with 95 % intervals."
)
# Shares of the masks from which on a note says so: of those that touch the frame, hold several
# objects, or look like another one.
TOUCHING, SEVERAL, ALIKE = 0.5, 0.05, 0.01
ALIKE_IN = {
    BOTH: "in image and mask",
    IMAGE: "in the image only, the masks differ",
    MASK: "in the mask only, the images differ",
    ALONE: "in the mask, there are no images to compare",
}
ROWS: list[tuple[str, Callable[[Dataset], float | int]]] = [
    ("masks", lambda d: len(d.ids) + len(d.empty)),
    ("empty masks, left out below", lambda d: len(d.empty)),
    ("files left out", lambda d: len(d.left_out)),
    ("mask centre x, mean", lambda d: float(d.centre[:, 0].mean())),
    ("mask centre x, SD", lambda d: _sd(d.centre[:, 0])),
    ("mask centre y, mean", lambda d: float(d.centre[:, 1].mean())),
    ("mask centre y, SD", lambda d: _sd(d.centre[:, 1])),
    ("distance from uniform placement, 1 at most", lambda d: d.placement.distance),
    ("p of uniform placement", lambda d: d.placement.p),
    ("objects tested for it", lambda d: d.placement.n),
    ("centre-prior Dice", lambda d: d.prior.dice),
    ("centre-prior Dice, 95 % interval from", lambda d: d.prior.ci_low),
    ("centre-prior Dice, 95 % interval to", lambda d: d.prior.ci_high),
    ("share of a mask in the outer 10 % ring, mean", lambda d: float(d.ring_share.mean())),
    ("share of the frame in that ring", lambda d: d.ring_area),
    ("share of masks touching the frame", lambda d: float(d.touching.mean())),
    ("share of masks with several objects", lambda d: float((d.n_objects > 1).mean())),
    ("objects a mask, mean", lambda d: float(d.n_objects.mean())),
    *[
        (f"mask area, {name}", lambda d, q=q: float(np.quantile(d.area, q)))
        for name, q in (("5 %", 0.05), ("25 %", 0.25), ("median", 0.5), ("75 %", 0.75),
                        ("95 %", 0.95))
    ],
]  # fmt: skip


def section(
    folders: Sequence[tuple[str, str | Path, str | Path | None]],
    *,
    reading: Reading = Reading(),  # noqa: B008
    fill: bool = False,
    progress: Progress = silent,
    seed: int = 0,
) -> Section:
    """The audit of data sets side by side; one that cannot be used is named, the others go on.

    `folders` are (name, folder of masks, folder of their images or None) of each data set; the rest
    is as in `measures.measure_folder`, with its errors.
    """
    datasets, refused = [], []
    for name, masks, images in folders:
        try:
            found = measure_folder(
                name, masks, images, reading=reading, fill=fill, progress=progress, seed=seed
            )
            datasets.append(found)
        except UsageError:
            raise
        except JaxsegError as error:
            refused.append(error)
    if not datasets:
        raise refused[0]
    made = to_section(datasets)
    return made._replace(left_out=[*map(str, refused), *made.left_out])


def to_section(datasets: Sequence[Dataset]) -> Section:
    """The section of the data sets side by side, the first one first."""
    copies = duplicates(datasets)
    title = "Positions and areas are shares of the frame; x from the left, y from the top"
    rows = [(label, *(measure(d) for d in datasets)) for label, measure in ROWS]
    numbers = Table("dataset", title, ("measure", *(d.name for d in datasets)), rows)
    return Section(
        name="dataset",
        title="Where objects lie in the data",
        verdict=[*(line for d in datasets for line in (_prior(d), _placement(d))), RULE],
        tables=[numbers, _table_of_copies(copies)] if copies else [numbers],
        figures=figures(datasets),
        notes=list(_notes(datasets, copies)),
        taken=[line for d in datasets for line in d.taken],
        left_out=[line for d in datasets for line in d.left_out],
    )


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _prior(d: Dataset) -> str:
    prior = d.prior
    if not np.isfinite(prior.dice):
        return f"{d.name}: one mask alone has no other to try a fixed mask on; no centre prior."
    return (
        f"{d.name}: a network that ignores the image would reach Dice "
        f"{with_interval(prior.dice, prior.ci_low, prior.ci_high)}: the best fixed mask, fitted on "
        "one half of the masks and scored on the other."
    )


def _placement(d: Dataset) -> str:
    placed = d.placement
    if placed.verdict == "too few":
        free = plural(placed.n, "mask")
        return (
            f"{d.name}: {free} with an object that does not touch the frame; at least {FEWEST} are "
            "required to say whether objects are placed uniformly."
        )
    floor = 1 / (1 + DRAWS)
    p = f"p ≤ {p_text(floor)}" if placed.p <= floor else f"p {p_text(placed.p)}"
    figures = f"distance from uniform {number(placed.distance)}, {p}"
    if placed.gathering is not None:
        return (
            f"{d.name}: objects {_gathered(placed.gathering)} ({figures}). A network can use that "
            "instead of the image."
        )
    if placed.p < LEVEL:
        return f"{d.name}: a bias of position, but a small one ({figures})."
    return (
        f"{d.name}: no bias of position shown ({figures}). With {plural(placed.n, 'mask')}, "
        "objects gathered about the centre would show from a distance of "
        f"{number(placed.detectable, 2)} on."
    )


def _gathered(gathering: Gathering) -> str:
    """`gather above the centre, about x 0.50 [0.49, 0.51], y 0.25 [0.24, 0.26]`, and the like."""
    first = gathering.places[0]
    if gathering.kind == "places":
        named = [
            f"{_in(p.words)}, about ({number(p.centre[0], 2)}, {number(p.centre[1], 2)}), "
            f"{percent(p.share)}"
            for p in gathering.places
        ]
        return f"gather in {len(named)} places: " + "; ".join(named)
    x, y = (
        f"{axis} {number(at, 2)} {interval(low, high, digits=2)}"
        for axis, at, low, high in zip("xy", first.centre, first.low, first.high)
    )
    about = f"about {x}, {y}"
    side = "" if first.words == "the centre" else f" ({first.words})"
    return {
        "ring": f"lie round {first.words}, {about}, few of them in it",
        "column": f"gather at {x}{side}, at any height",
        "row": f"gather at {y}{side}, anywhere from left to right",
        "border": "lie along the border, as far out as their size lets them, few of them in the "
        "middle",
        "uneven": f"are spread unevenly but gather in no one place; their middle is {about}{side}",
    }.get(gathering.kind, f"gather {_in(first.words)}, {about}")


def _in(words: str) -> str:
    """`at the centre`, `in the upper left corner`, `above the centre`."""
    if not words.startswith("the "):
        return words
    return f"{'in' if words.endswith('corner') else 'at'} {words}"


def _notes(datasets: Sequence[Dataset], copies: Sequence[CopyPair]) -> Iterator[str]:
    for d in datasets:
        yield from d.cautions
    for d in datasets:
        several = d.n_objects > 1
        if d.touching.mean() > TOUCHING:
            yield (
                f"{d.name}: most masks touch the frame. Objects that do are not in the test of "
                "placement, which is about the others alone."
            )
        if several.mean() > SEVERAL:
            yield (
                f"{d.name}: {plural(int(several.sum()), 'mask')} of {len(d.ids)} hold several "
                "objects. The map shows each object's centre, the test takes one object a mask."
            )
        if d.outlined:
            yield (
                f"{d.name}: the masks enclose much more than they cover. If they are outlines, "
                "give --fill."
            )
    if not copies:
        return
    kinds = [c.agree for c in copies]
    counts = "; ".join(f"{kinds.count(k)} {words}" for k, words in ALIKE_IN.items() if k in kinds)
    yield f"{plural(len(copies), 'pair')} of near-duplicates (duplicates.csv): {counts}."
    sets: dict[int, set[str]] = {}
    for c in copies:
        sets.setdefault(c.group, set()).update((c.first[0], c.second[0]))
    if across := sum(len(names) > 1 for names in sets.values()):
        yield (
            f"Near-duplicates in different data sets: {plural(across, 'group')}. Where these are "
            "to be training and test data, scores would flatter."
        )
    if IMAGE in kinds:
        yield (
            "Where images are alike and masks differ, two annotators may have drawn them, or one "
            "mask is wrong: look at these pairs."
        )
    if len(copies) > ALIKE * sum(len(d.ids) for d in datasets):
        yield (
            f"{plural(len(copies), 'mask')} look like another one. Intervals and p take masks as "
            "independent; here they are too narrow and too small."
        )


def _table_of_copies(copies: Sequence[CopyPair]) -> Table:
    columns = ("group", "alike in", "data set", "mask", "like: data set", "like: mask", "image r",
               "mask Dice")  # fmt: skip
    rows = [(c.group, c.agree, *c.first, *c.second, c.image, c.mask) for c in copies]
    title = (
        f"Near-duplicates. Images: at most {IMAGES.distance} of the 64 bits of their hashes differ "
        f"and their 16 × 16 thumbnails correlate by r ≥ {IMAGES.least}. Masks: at most "
        f"{MASKS.distance} bits differ and their thumbnails have Dice ≥ {MASKS.least}. A "
        "group is all that such pairs join, one after the other; its most alike pairs are listed"
    )
    return Table("duplicates", title, columns, rows)
