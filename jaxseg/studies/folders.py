"""Masks, predictions and images in folders: found, looked at, read one by one.

What cannot be used is a line that names the file and the rule it breaks; the others go on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.files import mask_groups, match_files
from jaxseg.data.images import check_same_size, read_image
from jaxseg.data.masks import Masks, look_at, not_judged_as_background
from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError, printable
from jaxseg.homes import expand
from jaxseg.progress import Progress, silent

Item = TypeVar("Item")
Value = TypeVar("Value")
Mask = NDArray[np.uint8]
Paths = tuple[tuple[Path, ...], ...]


class MaskedFrames(NamedTuple):
    """True masks with their images; `read(item)` gives (image [H, W, 3] or None, mask [H, W]).

    `items` are (id, files) of the frames whose masks can be read, `masks` how they are read,
    `taken` says so in words, and `left_out` has a line for each file that cannot be used.
    """

    items: list[tuple[str, Paths]]
    read: Callable[[Paths], tuple[Any, Mask]]
    masks: Masks
    taken: list[str]
    left_out: list[str]


class Predicted(NamedTuple):
    """Truths with the predictions of models called `names`.

    `items` gives (id, truth, prediction of each model), masks uint8 [H, W] of class indices;
    `show(id)` gives (truth, predictions, image or None) of one again. `taken` says how masks were
    read and `cautions` what looks odd about them; `left_out` fills as `items` is read.
    """

    names: list[str]
    items: Iterable[tuple[Any, ...]]
    show: Callable[[str], tuple[Any, list[Any], Any]]
    taken: list[str]
    cautions: list[str]
    left_out: list[str]


def readable(
    items: Iterable[tuple[str, Item]], read: Callable[[Item], Value], left_out: list[str]
) -> Iterator[tuple[str, Value]]:
    """(id, what `read` makes of the item), one by one; its JaxsegErrors go to `left_out`."""
    for name, item in items:
        try:
            value = read(item)
        except JaxsegError as error:
            left_out.append(str(error))
            continue
        yield name, value


def read_masks(
    name: str,
    masks: str | Path,
    images: str | Path | None = None,
    *,
    reading: Reading = Reading(),  # noqa: B008
    progress: Progress = silent,
) -> MaskedFrames:
    """The masks below a folder, called `name` in messages, and the images of another if given.

    `reading.truth_pattern` chooses the masks, `reading.pattern` the images. Pixels that are not
    judged are background. Raises UsageError for a folder that is not there, JaxsegError where
    nothing matches, no mask can be read, or masks share no coding.
    """
    if images is None:
        groups, left_out, separated = mask_groups(masks, pattern=reading.truth_pattern)
        home = expand(masks)
        items: list[tuple[str, Paths]] = [
            (printable(paths[0].relative_to(home).as_posix()), (paths,))
            for paths in groups.values()
        ]
    else:
        patterns = (reading.truth_pattern, reading.pattern)
        items, left_out, separated = match_files(masks, images, patterns=patterns)
    looked = progress([(i, paths[0]) for i, paths in items], len(items), f"looking at {name}")
    found = look_at(name, looked, reading.truth, limit_px=reading.limit_px, left_out=left_out)
    usable = {item for item, _ in found.items}

    def read(paths: Paths) -> tuple[Any, Mask]:
        mask = found.read(paths[0])
        image = None
        if len(paths) > 1:
            image = read_image(paths[1][0], reading.limit_px)
            check_same_size(paths[0][0], mask, paths[1][0], image)
        return image, not_judged_as_background(mask)[0]

    kept = [item for item in items if item[0] in usable]
    return MaskedFrames(kept, read, found, _taken(found, separated, name), left_out)


def frames_with_truth(
    truth: str | Path,
    images: str | Path,
    *,
    reading: Reading = Reading(),  # noqa: B008
    progress: Progress = silent,
) -> MaskedFrames:
    """`read_masks` of images that have something to find; JaxsegError where all masks are empty."""
    found = read_masks("truth", truth, images, reading=reading, progress=progress)
    if not found.masks.share:
        n = len(found.masks.items)
        raise JaxsegError(f"truth: all {n} masks are empty; there is nothing to find")
    return found


def read_predictions(
    truth: str | Path,
    predictions: Sequence[tuple[str, str | Path]],
    images: str | Path | None = None,
    *,
    reading: Reading = Reading(),  # noqa: B008
    progress: Progress = silent,
) -> Predicted:
    """Truths and the predictions of models, (name, folder) each, matched by name.

    Pixels that the truth says are not judged are background in all. Raises UsageError for a folder
    that is not there, JaxsegError where nothing matches or a set of masks has no coding that it
    shares with the truth.
    """
    folders = [folder for _, folder in predictions]
    patterns = (reading.truth_pattern, *[reading.pattern] * len(folders))
    items, left_out, separated = match_files(truth, *folders, patterns=patterns)
    shown = match_files(truth, images, patterns=(reading.truth_pattern, "*")) if images else None
    names = [name for name, _ in predictions]
    sets: list[Masks] = []
    for k, name in enumerate(["truth", *names]):
        looked = progress([(i, paths[k]) for i, paths in items], len(items), f"looking at {name}")
        options, coding = (reading.predicted, sets[0].coding) if sets else (reading.truth, None)
        sets.append(
            look_at(name, looked, options, truth=coding, limit_px=reading.limit_px,
                    left_out=left_out)
        )  # fmt: skip
    usable = set.intersection(*({name for name, _ in one.items} for one in sets))
    kept = [(name, paths) for name, paths in items if name in usable]
    by_name = dict(kept)
    # By the truth's file: what names share is other for truths and predictions than for images.
    pairs = shown.pairs if shown else []
    picture_of = {true: pictures[0] for _, (trues, pictures) in pairs for true in trues}

    def read(paths: Paths) -> list[Mask]:
        masks = [one.read(files) for one, files in zip(sets, paths)]
        for files, mask in zip(paths[1:], masks[1:]):
            check_same_size(paths[0][0], masks[0], files[0], mask)
        return list(not_judged_as_background(*masks))

    def show(name: str) -> tuple[Any, list[Any], Any]:
        true, *predicted = read(by_name[name])
        first = by_name[name][0][0]
        path, picture = picture_of.get(first), None
        if images and path is None:
            left_out.append(f"not shown: no image of {first.name} below {images}")
        try:
            if path is not None:
                picture = read_image(path, reading.limit_px)
                check_same_size(first, true, path, picture)
        except JaxsegError as error:
            left_out.append(f"not shown: {error}")
            picture = None
        return true, predicted, picture

    numbered = progress(kept, len(kept), "predictions", unit="pair")
    masks = ((name, *found) for name, found in readable(numbered, read, left_out))
    taken = [*_taken(sets[0], separated, "truth"), *(one.line for one in sets[1:])]
    cautions = [
        f"{name}: {line}" for name, one in zip(["truth", *names], sets) for line in one.cautions
    ]
    return Predicted(names, masks, show, taken, cautions, left_out)


def _taken(found: Masks, separated: int, name: str) -> list[str]:
    pictures = f"{name}: {separated} pictures lie among the masks, recognised by their names"
    return [found.line, pictures] if separated else [found.line]
