"""Pairs of near-duplicate frames within and across data sets, by their masks and images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.data.duplicates import (
    IMAGES,
    MASKS,
    SIDE,
    Fingerprints,
    Pairs,
    agree,
    group_numbers,
    joining,
    near_duplicates,
)
from jaxseg.studies.dataset.measures import Dataset


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
