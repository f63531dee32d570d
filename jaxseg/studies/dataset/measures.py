"""Where the objects of a data set lie, from its masks alone, in one pass over them.

What is kept of a mask is its name and about 500 bytes, 400 more where it has an image; maps and the
sample for the centre prior have a fixed size, so that memory hardly grows with the number of masks.

Coordinates are those of pixel centres: pixel (x, y) of a frame of W × H lies at
((x + 0.5) / W, (y + 0.5) / H), x from the left, y from the top.
"""

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
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
from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError
from jaxseg.progress import Progress, silent
from jaxseg.studies.dataset.placement import Placement, free_position, placement_test
from jaxseg.studies.fixed_mask import GRID, CentrePrior, Sample, centre_prior
from jaxseg.studies.folders import Paths, read_masks, readable

RING = 0.1  # width of the outer ring, of the frame's side
LINE = 0.05  # inscribed radius over the longer side, below which a shape is a line
SPECK = 0.01  # of a mask's foreground: smaller pieces are no objects of their own
HEAT_BINS = 32
OUTLINED = 1.5  # filled area over drawn area of the median mask, from which on it is an outline

Frame = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


class MaskNumbers(NamedTuple):
    """Numbers of one mask, as shares of the frame; all classes together.

    Attributes:
      centre_x, centre_y: mean of the foreground's pixel centres.
      area: of the foreground.
      ring_share: share of the foreground in the outer ring: pixel centres less than 10 % of the
        frame's width from its left or right, or 10 % of its height from its top or bottom.
      touches: whether a foreground pixel lies in an outermost row or column.
      centres: float [n, 2] as (x, y), of objects: connected pieces (8 neighbours) of at least SPECK
        of the foreground, largest first.
      boxes: int [n, 4] as (left, top, width, height) in pixels, of the same objects.
    """

    centre_x: float
    centre_y: float
    area: float
    ring_share: float
    touches: bool
    centres: NDArray[np.float64]
    boxes: NDArray[np.int64]


class Dataset(NamedTuple):
    """Numbers of a data set of n masks that are not empty; all lengths are shares of the frame.

    `centre` float [n, 2] (x, y), `area`, `ring_share` and `touching` (0 or 1) float [n],
    `n_objects` float [n], see `MaskNumbers`; `ring_area` is the share of the frame that the outer
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
    rows, positions, tested = array("d"), array("d"), array("d")
    masks: list[tuple[int, bytes]] = []
    images: list[tuple[int, bytes]] = []
    heat = np.zeros((HEAT_BINS, HEAT_BINS))
    sample, rng = Sample(seed=seed), np.random.default_rng(seed)
    for frame_id, (mask, image) in frames:
        numbers = measure_mask(mask)
        if numbers is None:
            empty.append(frame_id)
            continue
        ids.append(frame_id)
        masks.append(fingerprint((mask > 0).astype(np.uint8) * np.uint8(255)))
        if image is not None:
            images.append(fingerprint(image))
        sample.add(mask)
        centres, boxes = numbers.centres, numbers.boxes
        rows.extend((
            numbers.centre_x, numbers.centre_y, numbers.area, numbers.ring_share, numbers.touches,
            len(centres), 1 - inner(mask).size / mask.size,
        ))  # fmt: skip
        bins = np.minimum((centres * HEAT_BINS).astype(int), HEAT_BINS - 1)
        np.add.at(heat, (bins[:, 1], bins[:, 0]), 1)
        free = np.flatnonzero(~touches(boxes, mask.shape))
        if len(free):
            # One object a mask: objects of one frame are not independent of each other.
            chosen = rng.choice(free)
            positions.extend(free_position(boxes[chosen], mask.shape, rng))
            tested.extend(centres[chosen])
    if empty and not ids:
        raise JaxsegError(f"{name}: all {len(empty)} masks are empty; nothing to measure")
    if not ids:
        return None
    x, y, area, ring_share, touching, n_objects, ring_area = np.array(rows).reshape(-1, 7).T
    some = [(mask.reshape(GRID, GRID) > 0).astype(np.uint8) for mask in sample.masks(0, 1)[:100]]
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
        placement=placement_test(
            *(np.array(v).reshape(-1, 2) for v in (positions, tested)), seed=seed
        ),
        prior=centre_prior(sample, seed=seed),
        masks=_fingerprints(masks),
        images=_fingerprints(images) if len(images) == len(ids) else None,
        outlined=bool(np.median([fill_outlines(m).sum() / m.sum() for m in some]) > OUTLINED),
        taken=[],
        cautions=[],
        left_out=[],
    )


def _fingerprints(prints: Sequence[tuple[int, bytes]]) -> Fingerprints:
    bits, thumbnails = zip(*prints)
    rows = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(prints), -1)
    return Fingerprints(np.array(bits, np.uint64), rows)


def measure_mask(mask: NDArray[np.uint8]) -> MaskNumbers | None:
    """Numbers of a mask uint8 [H, W], all classes together; None when it is empty."""
    drawn = (mask > 0).astype(np.uint8)
    _, _, stats, centroids = cv2.connectedComponentsWithStats(drawn, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.int64)
    total = int(areas.sum())
    if not total:
        return None
    height, width = drawn.shape
    centres = (centroids[1:] + 0.5) / (width, height)
    centre = areas @ centres / total
    kept = np.argsort(-areas, kind="stable")[: int((areas >= SPECK * total).sum())]
    return MaskNumbers(
        centre_x=float(centre[0]),
        centre_y=float(centre[1]),
        area=total / (height * width),
        ring_share=1 - int(np.count_nonzero(inner(drawn))) / total,
        touches=bool(touches(stats[1:], drawn.shape).any()),
        centres=centres[kept],
        boxes=stats[1:][kept, :4].astype(np.int64),
    )


def inner(mask: NDArray) -> NDArray:
    """The part of a frame [H, W] that is not in the outer ring."""
    height, width = mask.shape
    dy, dx = ring_depth(height), ring_depth(width)
    return mask[dy : height - dy, dx : width - dx]


def ring_depth(side: int) -> int:
    """Pixels of a row whose centres lie less than RING of its length from one of its ends."""
    return int(np.ceil(RING * side - 0.5))


def touches(boxes: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which boxes [n, >= 4] (left, top, width, height) reach the border of a frame (H, W)."""
    left, top, width, height = boxes[:, :4].T
    return (left == 0) | (top == 0) | (left + width == shape[1]) | (top + height == shape[0])


def fill_outlines(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 {0, 1} [H, W]: the foreground and all it encloses; filled shapes stay as they are."""
    drawn = (mask > 0).astype(np.uint8)
    outer, _ = cv2.findContours(drawn, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outer, -1, 1, cv2.FILLED)
    return drawn


def is_line(filled: NDArray[np.uint8]) -> bool:
    """Whether a filled mask {0, 1} is only a line: an open outline. An empty mask is not.

    Its largest inscribed circle is then small beside its extent: less than LINE of the longer side,
    where a closed ellipse of aspect 1:3 has 0.17.
    """
    _, _, width, height = cv2.boundingRect(filled)
    if max(width, height) < 1 / LINE:
        return False  # a dot of so few pixels has no shape
    inside = cv2.distanceTransform(np.pad(filled, 1), cv2.DIST_L2, 5).max()
    return bool(inside < LINE * max(width, height))


class CopyPair(NamedTuple):
    """Two masks, `first` and `second` (data set, id), that are near-duplicates or whose images are.

    `group` counts groups from 1; `agree` is BOTH, IMAGE, MASK or ALONE; `image` is the correlation
    of the images' thumbnails, NaN where one has no image, `mask` the Dice of the masks' thumbnails.
    """

    group: int
    first: tuple[str, str]
    second: tuple[str, str]
    agree: str
    image: float
    mask: float


BOTH, IMAGE, MASK = "image and mask", "image only", "mask only"
ALONE = "mask (no images)"  # that could be compared


def duplicates(datasets: Sequence[Dataset]) -> list[CopyPair]:
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
    pairs = [
        CopyPair(int(k), names[a], names[b], str(words[row]), float(image[row]), float(mask[row]))
        for k, row, (a, b) in zip(number, kept, frames[kept])
    ]
    return sorted(pairs, key=lambda pair: pair.group)


def _joined(prints: Sequence[Fingerprints]) -> Fingerprints:
    none = Fingerprints(np.empty(0, np.uint64), np.empty((0, SIDE**2), np.uint8))
    bits, thumbnails = zip(none, *prints)
    return Fingerprints(np.concatenate(bits), np.concatenate(thumbnails))
