"""Cautions about the images and masks of a grid."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from jaxseg.data.duplicates import IMAGES, Fingerprints, fingerprint, near_duplicates
from jaxseg.data.sources import base_splits
from jaxseg.data.store import Prepared
from jaxseg.grid.config import DataConfig

_NAMED = 3  # images that a sentence names
_WHOLE = ("full", "frame2x")  # views that show the whole frame
_OWN_FOLDERS = "folders"  # the data set whose splits a user lays out


def data_cautions(
    data: DataConfig,
    train: Mapping[str, Prepared],
    validation: Mapping[str, Prepared],
    test: Mapping[str, Prepared],
) -> list[str]:
    """The cautions as sentences; the stores are those of one group by view, {} for no validation.

    They name masks that resizing has emptied, images that are in two splits or look like one of
    another, folders of splits that are not used, and the cautions of `masks.look_at`.
    """
    splits = {"training": train, "validation": validation, "test": test}
    first = next(iter(train.values()))
    return [
        *first.cautions,
        *(line for name, stores in splits.items() for line in _emptied(name, stores.values())),
        *_shared(train, test, "test", "the scores are then partly of images that were trained on"),
        *_shared(
            train,
            validation,
            "validation",
            "validation then does not measure how well new images are segmented",
        ),
        *_look_alike(train, test),
        *_unused(data, first),
    ]


def _emptied(name: str, stores: Iterable[Prepared]) -> Iterator[str]:
    """The caution about the view in which resizing emptied most masks."""
    most = max(stores, key=lambda store: len(store.lost), default=None)
    if most is None or not most.lost:
        return
    side, n = most.masks.shape[-1], len(most.ids)
    yield (
        f"{len(most.lost)} of {n} {name} images have a mask that becomes empty when resized to "
        f"{side} × {side} pixels: its object is smaller than a pixel there and counts as "
        f"background. With data.size={max(most.lost)} or more no mask would become empty."
    )


def _shared(
    train: Mapping[str, Prepared], other: Mapping[str, Prepared], name: str, so: str
) -> Iterator[str]:
    if not other:
        return
    known, these = (next(iter(stores.values())) for stores in (train, other))
    trained = set(known.digests or known.ids)
    twice = [i for i, key in zip(these.ids, these.digests or these.ids) if key and key in trained]
    if twice:
        yield (
            f"{len(twice)} of {len(these.ids)} {name} images are training images too "
            f"({_listed(twice)}): {so}. Give splits that share no image."
        )


def _look_alike(train: Mapping[str, Prepared], test: Mapping[str, Prepared]) -> Iterator[str]:
    """Test images that differ from every training image in their bytes but look like one."""
    known, these = (_whole_frames(stores) for stores in (train, test))
    if known is None or these is None or not known.digests:
        return  # generated frames are alike because they are drawn alike
    prints = [fingerprint(frame) for store in (known, these) for frame in store.images[:, 0]]
    bits, thumbnails = zip(*prints)
    kept = Fingerprints(
        np.array(bits, np.uint64),
        np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(bits), -1),
    )
    n, trained = len(known.ids), set(known.digests)
    like: dict[str, str] = {}
    for a, b in near_duplicates(kept, IMAGES).frames.tolist():
        if a < n <= b and these.digests[b - n] not in trained:
            like[these.ids[b - n]] = known.ids[a]
    if like:
        pairs = [f"{name} like {other}" for name, other in like.items()]
        yield (
            f"{len(like)} of {len(these.ids)} test images look like a training image "
            f"({_listed(pairs)}): copies, or pictures of the same object, make the scores too good."
        )


def _whole_frames(stores: Mapping[str, Prepared]) -> Prepared | None:
    return next((store for view, store in stores.items() if view in _WHOLE), None)


def _unused(data: DataConfig, store: Prepared) -> Iterator[str]:
    if data.name != _OWN_FOLDERS:
        return
    splits = {"train": data.train_split, "val": data.val_split, "test": data.test_split}
    used = {base for chosen in splits.values() for base in base_splits(chosen)}
    idle = {split: n for split, n in store.splits if split not in used}
    if not idle:
        return
    named = " and ".join(f"{split} ({n} images)" for split, n in idle.items())
    mend = " ".join(
        f"--config.data.{part}_split={split}"
        for part, split in zip(splits, ("train", "validation", "test"))
        if split in idle or (split == "train" and data.train_split != "train")
    )
    yield (
        f"Split{'s' if len(idle) > 1 else ''} {named} of data.manual_dir are not used: networks "
        f"are trained on {data.train_split} and tested on {data.test_split}. To use them: {mend}."
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
