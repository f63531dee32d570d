"""Masks, predictions and images in folders, as audits take them: found, looked at, read one by one.

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
from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.homes import expand
from jaxseg.studies.dataset.measures import Dataset, Frame, measure_dataset
from jaxseg.studies.dataset.outlines import fill_outlines, is_line

Item = TypeVar("Item")
Value = TypeVar("Value")


class MaskFolder(NamedTuple):
    """The audit of one folder of masks: its numbers, and what to say of how it was read."""

    dataset: Dataset
    taken: list[str]
    cautions: list[str]


class Predicted(NamedTuple):
    """Truths with predictions: `items` gives (id, truth, prediction of each model), masks [H, W].

    `show(id)` gives (truth, predictions, image or None) of one again; `left_out` fills as `items`
    is read.
    """

    items: Iterable[tuple[Any, ...]]
    show: Callable[[str], tuple[Any, list[Any], Any]]
    taken: list[str]
    cautions: list[str]
    left_out: list[str]


class TruthFrames(NamedTuple):
    """Images with their true masks; `read(item)` gives (image [H, W, 3], mask [H, W]) of one."""

    items: list[tuple[str, tuple[tuple[Path, ...], ...]]]
    read: Callable[[tuple[tuple[Path, ...], ...]], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    masks: Masks
    taken: list[str]
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


def audit_folder(
    name: str,
    masks: str | Path,
    images: str | Path | None = None,
    *,
    reading: Reading = Reading(),  # noqa: B008
    fill: bool = False,
    progress: Progress = silent,
    seed: int = 0,
) -> MaskFolder:
    """Measures the masks below a folder; duplicates by the images of another too, where given.

    `reading.truth_pattern` chooses the masks, `reading.pattern` the images. With `fill` masks are
    closed outlines whose inside counts. Files that cannot be read are left out and named. Raises
    UsageError for a folder that is not there, JaxsegError when none of its masks can be used, all
    are empty, or they share no coding.
    """
    home = expand(masks)
    if images is None:
        groups, left_out, separated = mask_groups(masks, pattern=reading.truth_pattern)
        items = [
            (printable(paths[0].relative_to(home).as_posix()), (paths,))
            for paths in groups.values()
        ]
    else:
        items, left_out, separated = match_files(
            masks, images, patterns=(reading.truth_pattern, reading.pattern)
        )
    found = _look_at_truth(name, items, reading, left_out, progress)
    usable = {item for item, _ in found.items}

    def read(paths: tuple[tuple[Path, ...], ...]) -> Frame:
        mask = not_judged_as_background(found.read(paths[0]))[0]
        if fill:
            mask = _filled(mask, paths[0][0])
        if len(paths) == 1:
            return mask, None
        image = read_image(paths[1][0], reading.limit_px)
        check_same_size(paths[0][0], mask, paths[1][0], image)
        return mask, image

    kept = [item for item in items if item[0] in usable]
    shown = progress(kept, len(kept), name, unit="mask")
    measured = measure_dataset(name, readable(shown, read, left_out), seed=seed)
    if measured is None:
        raise JaxsegError(f"{masks}: none of its {len(items)} files can be used; {left_out[0]}")
    taken = [found.line, *_said_of_pictures(name, separated)]
    cautions = [f"{name}: {caution}" for caution in found.cautions]
    return MaskFolder(measured._replace(left_out=left_out), taken, cautions)


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
    sets = [_look_at_truth("truth", items, reading, left_out, progress)]
    taken = [sets[0].line, *_said_of_pictures("truth", separated)]
    for k, (name, _) in enumerate(predictions, 1):
        looked = progress([(i, paths[k]) for i, paths in items], len(items), f"looking at {name}")
        found = look_at(
            name, looked, reading.predicted, truth=sets[0].coding, limit_px=reading.limit_px,
            left_out=left_out,
        )  # fmt: skip
        sets.append(found)
        taken.append(found.line)
    usable = set.intersection(*({name for name, _ in one.items} for one in sets))
    kept = [(name, paths) for name, paths in items if name in usable]
    by_name = dict(kept)
    # By the truth's file: what names share is other for truths and predictions than for images.
    pairs = shown.pairs if shown else []
    picture_of = {true: pictures[0] for _, (trues, pictures) in pairs for true in trues}

    def read(paths: tuple[tuple[Path, ...], ...]) -> list[NDArray[np.uint8]]:
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
    names = ["truth", *(name for name, _ in predictions)]
    cautions = [f"{name}: {line}" for name, one in zip(names, sets) for line in one.cautions]
    return Predicted(masks, show, taken, cautions, left_out)


def frames_with_truth(
    truth: str | Path,
    images: str | Path,
    *,
    reading: Reading = Reading(),  # noqa: B008
    progress: Progress = silent,
) -> TruthFrames:
    """Images of one folder with the true masks of another; pixels not judged are background.

    Errors are those of `read_predictions`.
    """
    items, left_out, separated = match_files(
        truth, images, patterns=(reading.truth_pattern, reading.pattern)
    )
    found = _look_at_truth("truth", items, reading, left_out, progress)
    if not found.share:
        raise JaxsegError(
            f"truth: all {len(found.items)} masks are empty; there is nothing to find"
        )
    usable = {name for name, _ in found.items}

    def read(paths: tuple[tuple[Path, ...], ...]) -> tuple[Any, Any]:
        mask, image = found.read(paths[0]), read_image(paths[1][0], reading.limit_px)
        check_same_size(paths[0][0], mask, paths[1][0], image)
        return image, not_judged_as_background(mask)[0]

    kept = [item for item in items if item[0] in usable]
    taken = [found.line, *_said_of_pictures("truth", separated)]
    return TruthFrames(kept, read, found, taken, left_out)


def _look_at_truth(
    what: str,
    items: Sequence[tuple[str, tuple[tuple[Path, ...], ...]]],
    reading: Reading,
    left_out: list[str],
    progress: Progress,
) -> Masks:
    looked = progress([(name, paths[0]) for name, paths in items], len(items), f"looking at {what}")
    return look_at(what, looked, reading.truth, limit_px=reading.limit_px, left_out=left_out)


def _said_of_pictures(name: str, separated: int) -> list[str]:
    if not separated:
        return []
    return [f"{name}: {separated} pictures lie among the masks, told apart by their names"]


def _filled(mask: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    filled = fill_outlines(mask)
    if is_line(filled):
        raise JaxsegError(f"{path}: an open outline encloses nothing; close it to have it filled")
    return filled
