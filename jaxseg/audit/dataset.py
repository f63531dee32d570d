"""Where the objects of a data set lie, from its masks alone, in one pass over them.

What is kept of a mask is 80 bytes and its name; maps and the sample for the centre prior have a
fixed size, so that memory hardly grows with the number of masks.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.audit.centre_prior import GRID, CentrePrior, Sample, centre_prior
from jaxseg.audit.duplicates import difference_hash, duplicate_groups
from jaxseg.audit.mask_numbers import MaskNumbers, inner, measure_mask, touches
from jaxseg.audit.outlines import fill_outlines
from jaxseg.audit.placement import Placement, free_position, placement_test
from jaxseg.errors import JaxsegError

HEAT_BINS = 32
OUTLINED = 1.5  # filled area over drawn area of the median mask, from which on it is an outline

Frame = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


class Dataset(NamedTuple):
    """Numbers of a data set of n masks that are not empty; all lengths are shares of the frame.

    `centre` float [n, 2] (x, y), `area`, `ring_share` and `touching` (0 or 1) float [n],
    `n_objects` float [n], see `mask_numbers`; `ring_area` is the share of the frame that the outer
    ring has; `heat` float [HEAT_BINS, HEAT_BINS] counts the centres of objects, rows from the top;
    `bits` uint64 [n] are hashes of the images if `by_image`, else of the masks.
    """

    name: str
    ids: list[str]
    empty: list[str]
    centre: NDArray[np.float64]
    area: NDArray[np.float64]
    ring_share: NDArray[np.float64]
    touching: NDArray[np.float64]
    n_objects: NDArray[np.float64]
    ring_area: float
    heat: NDArray[np.float64]
    placement: Placement
    prior: CentrePrior
    bits: NDArray[np.uint64]
    by_image: bool
    outlined: bool
    left_out: list[str]


class _Tally:
    """What grows while masks pass by."""

    def __init__(self, seed: int):
        self.ids: list[str] = []
        self.empty: list[str] = []
        self.rows, self.bits, self.positions = array("d"), array("Q"), array("d")
        self.heat = np.zeros((HEAT_BINS, HEAT_BINS))
        self.sample = Sample(seed=seed)
        self.rng = np.random.default_rng(seed)
        self.by_image = False


def measure_dataset(
    name: str, frames: Iterable[tuple[str, Frame]], *, seed: int = 0
) -> Dataset | None:
    """Numbers of a stream of (id, (mask uint8 [H, W], image uint8 [H, W, 3] or None)).

    None for a stream of no frames; JaxsegError when all masks are empty.
    """
    tally = _Tally(seed)
    for frame_id, (mask, image) in frames:
        numbers = measure_mask(mask)
        if numbers is None:
            tally.empty.append(frame_id)
            continue
        tally.ids.append(frame_id)
        tally.bits.append(difference_hash(mask_as_grey(mask) if image is None else image))
        tally.by_image = image is not None
        _add(tally, mask, numbers)
    if tally.ids:
        return _summed(name, tally, seed)
    if tally.empty:
        raise JaxsegError(f"{name}: all {len(tally.empty)} masks are empty; nothing to measure")
    return None


def mask_as_grey(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Foreground 255, background 0."""
    return (mask > 0).astype(np.uint8) * np.uint8(255)


def duplicates(datasets: Sequence[Dataset]) -> list[list[tuple[str, str]]]:
    """Groups of (data set, id) that look alike, within and across data sets.

    Equal dHash of the images; of the masks, equal dHash and equal area and centre to 0.05 % of the
    frame. Images are compared with images and masks with masks only.
    """
    groups = []
    for by_image in (True, False):
        chosen = [d for d in datasets if d.by_image == by_image]
        names = [(d.name, frame_id) for d in chosen for frame_id in d.ids]
        if names:
            numbers = np.concatenate([np.column_stack([d.area, d.centre]) for d in chosen])
            bits = np.concatenate([d.bits for d in chosen])
            found = duplicate_groups(bits, numbers[:, : 0 if by_image else None])
            groups += [[names[k] for k in group] for group in found]
    return groups


def _add(tally: _Tally, mask: NDArray[np.uint8], numbers: MaskNumbers) -> None:
    centre, box = numbers.objects
    ring_area = 1 - inner(mask).size / mask.size
    tally.rows.extend((*numbers[:5], len(centre), ring_area))
    cells = np.minimum((centre * HEAT_BINS).astype(int), HEAT_BINS - 1)
    np.add.at(tally.heat, (cells[:, 1], cells[:, 0]), 1)
    tally.sample.add(mask)
    free = np.flatnonzero(~touches(box, mask.shape))
    if len(free):
        # One object a mask: objects of one frame are not independent of each other.
        chosen = box[tally.rng.choice(free)]
        tally.positions.extend(free_position(chosen, mask.shape, tally.rng))


def _summed(name: str, tally: _Tally, seed: int) -> Dataset:
    rows = np.array(tally.rows).reshape(-1, 7)
    return Dataset(
        name=name,
        ids=tally.ids,
        empty=tally.empty,
        centre=rows[:, :2],
        area=rows[:, 2],
        ring_share=rows[:, 3],
        touching=rows[:, 4],
        n_objects=rows[:, 5],
        ring_area=float(rows[:, 6].mean()),
        heat=tally.heat,
        placement=placement_test(np.array(tally.positions).reshape(-1, 2), seed=seed),
        prior=centre_prior(tally.sample, seed=seed),
        bits=np.array(tally.bits, np.uint64),
        by_image=tally.by_image,
        outlined=_outlined(tally.sample),
        left_out=[],
    )


def _outlined(sample: Sample) -> bool:
    """Whether most of a hundred masks enclose much more than they cover."""
    masks = sample.kept[: min(len(sample.half), int(sample.counts.sum()), 100)]
    drawn = [(mask.reshape(GRID, GRID) > 0).astype(np.uint8) for mask in masks]
    return bool(np.median([fill_outlines(m).sum() / m.sum() for m in drawn]) > OUTLINED)
