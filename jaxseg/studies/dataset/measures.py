"""Where the objects of a data set lie, from its masks alone, in one pass over them.

What is kept of a mask is its name and about 370 bytes, 260 more where it has an image; maps and the
sample for the centre prior have a fixed size, so that memory hardly grows with the number of masks.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.duplicates import (
    IMAGES,
    MASKS,
    SIDE,
    Fingerprints,
    Pairs,
    agree,
    fingerprint,
    group_numbers,
    joining,
    near_duplicates,
)
from jaxseg.errors import JaxsegError
from jaxseg.studies.dataset.centre_prior import (
    GRID,
    CentrePrior,
    Sample,
    centre_prior,
)
from jaxseg.studies.dataset.mask_numbers import (
    MaskNumbers,
    inner,
    measure_mask,
    touches,
)
from jaxseg.studies.dataset.outlines import fill_outlines
from jaxseg.studies.dataset.placement import Placement, free_position, placement_test

HEAT_BINS = 32
OUTLINED = 1.5  # filled area over drawn area of the median mask, from which on it is an outline

Frame = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


class Dataset(NamedTuple):
    """Numbers of a data set of n masks that are not empty; all lengths are shares of the frame.

    `centre` float [n, 2] (x, y), `area`, `ring_share` and `touching` (0 or 1) float [n],
    `n_objects` float [n], see `mask_numbers`; `ring_area` is the share of the frame that the outer
    ring has; `heat` float [HEAT_BINS, HEAT_BINS] counts the centres of objects, rows from the top;
    `masks` and `images` are the fingerprints of the n masks and their images, `images` None where
    none were given.
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
    masks: Fingerprints
    images: Fingerprints | None
    outlined: bool
    left_out: list[str]


class Twins(NamedTuple):
    """Two masks, `first` and `second` (data set, id), that are near-duplicates or whose images are.

    `group` counts groups from 1; `agree` is one of the words of AGREE; `image` is the correlation
    of the images' thumbnails, NaN where one has no image, `mask` the Dice of the masks' thumbnails.
    """

    group: int
    first: tuple[str, str]
    second: tuple[str, str]
    agree: str
    image: float
    mask: float


BOTH, IMAGE, MASK, ALONE = AGREE = (
    "image and mask",
    "image only",
    "mask only",
    "mask (no images)",  # that could be compared
)


class _Prints:
    """Fingerprints of a stream of frames."""

    def __init__(self) -> None:
        self.bits, self.thumbnails = array("Q"), bytearray()

    def add(self, frame: NDArray[np.uint8]) -> None:
        bits, thumbnail = fingerprint(frame)
        self.bits.append(bits)
        self.thumbnails += thumbnail

    def all(self) -> Fingerprints:
        rows = np.frombuffer(bytes(self.thumbnails), np.uint8).reshape(len(self.bits), -1)
        return Fingerprints(np.array(self.bits, np.uint64), rows)


class _Tally:
    """What grows while masks pass by."""

    def __init__(self, seed: int):
        self.ids: list[str] = []
        self.empty: list[str] = []
        self.rows, self.positions, self.places = array("d"), array("d"), array("d")
        self.masks, self.images = _Prints(), _Prints()
        self.heat = np.zeros((HEAT_BINS, HEAT_BINS))
        self.sample = Sample(seed=seed)
        self.rng = np.random.default_rng(seed)


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
        tally.masks.add(mask_as_grey(mask))
        if image is not None:
            tally.images.add(image)
        _add(tally, mask, numbers)
    if tally.ids:
        return _summed(name, tally, seed)
    if tally.empty:
        raise JaxsegError(f"{name}: all {len(tally.empty)} masks are empty; nothing to measure")
    return None


def mask_as_grey(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Foreground 255, background 0."""
    return (mask > 0).astype(np.uint8) * np.uint8(255)


def duplicates(datasets: Sequence[Dataset]) -> list[Twins]:
    """Near-duplicates within and across data sets, by IMAGES, by MASKS or by both.

    Masks are compared with all masks, images with all images. A group is whatever such pairs join,
    directly or over others, so that its first and last mask need not be alike; of a group of k the
    k - 1 most alike pairs are returned that join it. Ordered by group, groups by first member.
    """
    names = [(d.name, frame_id) for d in datasets for frame_id in d.ids]
    masks = _joined([d.masks for d in datasets])
    images = _joined([d.images for d in datasets if d.images is not None])
    of_image = np.concatenate([np.full(len(d.ids), d.images is not None) for d in datasets])
    where = np.flatnonzero(of_image)  # masks with an image
    found = near_duplicates(masks, MASKS).frames, where[near_duplicates(images, IMAGES).frames]
    frames = np.unique(np.concatenate(found), axis=0)
    if not len(frames):
        return []
    both = of_image[frames].all(axis=1)
    by_mask, mask = agree(masks, frames, MASKS)
    by_image, image = np.zeros(len(frames), bool), np.full(len(frames), np.nan)
    by_image[both], image[both] = agree(images, np.searchsorted(where, frames[both]), IMAGES)
    # A pair alike in both comes before one alike in image or mask alone.
    total = np.where(by_mask, mask, 0) + np.where(by_image, image, 0)
    kept = joining(Pairs(frames, total), len(names))
    group = group_numbers(frames, len(names))[frames[kept, 0]]
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[number] + 1  # groups in the order of their first mask
    words = np.select([both & by_image & by_mask, by_image, both], [BOTH, IMAGE, MASK], ALONE)
    twins = [
        Twins(int(k), names[a], names[b], str(words[row]), float(image[row]), float(mask[row]))
        for k, row, (a, b) in zip(number, kept, frames[kept])
    ]
    return sorted(twins, key=lambda pair: pair.group)


def _joined(prints: Sequence[Fingerprints]) -> Fingerprints:
    none = Fingerprints(np.empty(0, np.uint64), np.empty((0, SIDE**2), np.uint8))
    bits, thumbnails = zip(none, *prints)
    return Fingerprints(np.concatenate(bits), np.concatenate(thumbnails))


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
        chosen = tally.rng.choice(free)
        tally.positions.extend(free_position(box[chosen], mask.shape, tally.rng))
        tally.places.extend(centre[chosen])


def _summed(name: str, tally: _Tally, seed: int) -> Dataset:
    rows = np.array(tally.rows).reshape(-1, 7)
    positions, centres = (np.array(v).reshape(-1, 2) for v in (tally.positions, tally.places))
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
        placement=placement_test(positions, centres, seed=seed),
        prior=centre_prior(tally.sample, seed=seed),
        masks=tally.masks.all(),
        images=tally.images.all() if len(tally.images.bits) == len(tally.ids) else None,
        outlined=_outlined(tally.sample),
        left_out=[],
    )


def _outlined(sample: Sample) -> bool:
    """Whether most of a hundred masks enclose much more than they cover."""
    masks = sample.kept[: min(len(sample.half), int(sample.counts.sum()), 100)]
    drawn = [(mask.reshape(GRID, GRID) > 0).astype(np.uint8) for mask in masks]
    return bool(np.median([fill_outlines(m).sum() / m.sum() for m in drawn]) > OUTLINED)
