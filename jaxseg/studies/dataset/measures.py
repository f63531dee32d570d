"""Where the objects of a data set lie, from its masks alone, in one pass over them.

What is kept of a mask is its name and about 370 bytes, 260 more where it has an image; maps and the
sample for the centre prior have a fixed size, so that memory hardly grows with the number of masks.
"""

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.duplicates import Fingerprints, fingerprint
from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError
from jaxseg.studies.dataset.centre_prior import CentrePrior, Sample, centre_prior
from jaxseg.studies.dataset.mask_numbers import (
    fill_outlines,
    inner,
    is_line,
    measure_mask,
    touches,
)
from jaxseg.studies.dataset.placement import Placement, free_position, placement_test
from jaxseg.studies.fixed_mask import GRID
from jaxseg.studies.folders import Paths, read_masks, readable

HEAT_BINS = 32
OUTLINED = 1.5  # filled area over drawn area of the median mask, from which on it is an outline

Frame = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


class Dataset(NamedTuple):
    """Numbers of a data set of n masks that are not empty; all lengths are shares of the frame.

    `centre` float [n, 2] (x, y), `area`, `ring_share` and `touching` (0 or 1) float [n],
    `n_objects` float [n], see `mask_numbers`; `ring_area` is the share of the frame that the outer
    ring has; `heat` float [HEAT_BINS, HEAT_BINS] counts the centres of objects, rows from the top;
    `masks` and `images` are the fingerprints of the n masks and their images, `images` None where
    none were given. `taken`, `cautions` and `left_out` say how files were read, what looks odd
    about them, and which could not be used.
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
    taken: list[str]
    cautions: list[str]
    left_out: list[str]


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


def measure_folder(
    name: str,
    masks: str | Path,
    images: str | Path | None = None,
    *,
    reading: Reading = Reading(),  # noqa: B008
    fill: bool = False,
    progress: Progress = silent,
    seed: int = 0,
) -> Dataset:
    """Measures the masks below a folder; duplicates by the images of another too, where given.

    `reading.truth_pattern` chooses the masks, `reading.pattern` the images. With `fill` masks are
    closed outlines whose inside counts. Files that cannot be read are left out and named. Raises
    UsageError for a folder that is not there, JaxsegError when none of its masks can be used, all
    are empty, or they share no coding.
    """
    found = read_masks(name, masks, images, reading=reading, progress=progress)

    def read(paths: Paths) -> Frame:
        image, mask = found.read(paths)
        if fill:
            mask = fill_outlines(mask)
            if is_line(mask):
                raise JaxsegError(
                    f"{paths[0][0]}: an open outline encloses nothing; close it to have it filled"
                )
        return mask, image

    frames = progress(found.items, len(found.items), name, unit="mask")
    measured = measure_dataset(name, readable(frames, read, found.left_out), seed=seed)
    if measured is None:
        raise JaxsegError(f"{masks}: none of its files can be used; {found.left_out[0]}")
    cautions = [f"{name}: {caution}" for caution in found.masks.cautions]
    return measured._replace(taken=found.taken, cautions=cautions, left_out=found.left_out)


def measure_dataset(
    name: str, frames: Iterable[tuple[str, Frame]], *, seed: int = 0
) -> Dataset | None:
    """Numbers of a stream of (id, (mask uint8 [H, W], image uint8 [H, W, 3] or None)).

    None for a stream of no frames; JaxsegError when all masks are empty.
    """
    ids: list[str] = []
    empty: list[str] = []
    rows, positions, centres = array("d"), array("d"), array("d")
    masks, images = _Prints(), _Prints()
    heat = np.zeros((HEAT_BINS, HEAT_BINS))
    sample, rng = Sample(seed=seed), np.random.default_rng(seed)
    for frame_id, (mask, image) in frames:
        numbers = measure_mask(mask)
        if numbers is None:
            empty.append(frame_id)
            continue
        ids.append(frame_id)
        masks.add((mask > 0).astype(np.uint8) * np.uint8(255))
        if image is not None:
            images.add(image)
        sample.add(mask)
        centre, box = numbers.objects
        rows.extend((
            numbers.centre_x, numbers.centre_y, numbers.area, numbers.ring_share, numbers.touches,
            len(centre), 1 - inner(mask).size / mask.size,
        ))  # fmt: skip
        bins = np.minimum((centre * HEAT_BINS).astype(int), HEAT_BINS - 1)
        np.add.at(heat, (bins[:, 1], bins[:, 0]), 1)
        free = np.flatnonzero(~touches(box, mask.shape))
        if len(free):
            # One object a mask: objects of one frame are not independent of each other.
            chosen = rng.choice(free)
            positions.extend(free_position(box[chosen], mask.shape, rng))
            centres.extend(centre[chosen])
    if empty and not ids:
        raise JaxsegError(f"{name}: all {len(empty)} masks are empty; nothing to measure")
    if not ids:
        return None
    x, y, area, ring_share, touching, n_objects, ring_area = np.array(rows).reshape(-1, 7).T
    free_positions, free_centres = (np.array(v).reshape(-1, 2) for v in (positions, centres))
    return Dataset(
        name=name,
        ids=ids,
        empty=empty,
        centre=np.stack([x, y], axis=1),
        area=area,
        ring_share=ring_share,
        touching=touching,
        n_objects=n_objects,
        ring_area=float(ring_area.mean()),
        heat=heat,
        placement=placement_test(free_positions, free_centres, seed=seed),
        prior=centre_prior(sample, seed=seed),
        masks=masks.all(),
        images=images.all() if len(images.bits) == len(ids) else None,
        outlined=_outlined(sample),
        taken=[],
        cautions=[],
        left_out=[],
    )


def _outlined(sample: Sample) -> bool:
    """Whether most of a hundred masks enclose much more than they cover."""
    masks = sample.masks(0, 1)[:100]
    drawn = [(mask.reshape(GRID, GRID) > 0).astype(np.uint8) for mask in masks]
    return bool(np.median([fill_outlines(m).sum() / m.sum() for m in drawn]) > OUTLINED)
