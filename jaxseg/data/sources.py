"""Where data sets come from: the table of builders, how their files are found, what names them.

Nothing here imports TensorFlow, so that a prepared cache is found without it. Masks are looked at
once for all files of a data set (see `masks`), and the content of all files names what is prepared
from them (see `index`).
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxseg.data import images
from jaxseg.data.index import FileIndex
from jaxseg.data.mask_coding import MaskOptions
from jaxseg.data.masks import Masks, look_at
from jaxseg.data.pairs import (
    ISIC_FOLDERS,
    SPLITS,
    Pairs,
    Patterns,
    folder_pairs,
    hc18_pairs,
    isic2017_pairs,
)
from jaxseg.data.progress import Progress, silent
from jaxseg.data.ultrasound_anatomy import STRUCTURES
from jaxseg.errors import JaxsegError, UsageError, check_choice
from jaxseg.homes import expand


class Source(NamedTuple):
    """A data set: its builder, and how its files are found (None: generated, no files)."""

    module: str
    builder: str
    version: str
    find_pairs: Callable[[Path, Patterns], Pairs] | None
    splits: Mapping[str, str]  # split -> what must exist below manual_dir for it
    classes: tuple[str, ...] | None  # None: found in the masks


class Reading(NamedTuple):
    """How the files of a data set are found and read.

    `patterns` choose files by name, `options` say what masks cannot, `rehash` reads every file
    again, whatever its size and times say.
    """

    patterns: Patterns = Patterns()
    options: MaskOptions = MaskOptions()
    rehash: bool = False


class SourceFiles(NamedTuple):
    """The files of a data set: its pairs, how its masks are read, what names its content.

    `digests` holds {split: {id: digest of the image}}. A generated data set has no files, `mark`
    "generated" and no masks.
    """

    pairs: Pairs
    mark: str
    masks: Masks | None
    digests: Mapping[str, Mapping[str, str]]
    classes: tuple[str, ...]


def find_source(name: str) -> Source:
    """The source called `name`; UsageError naming the nearest for an unknown one."""
    return SOURCES[check_choice("data.name", name, SOURCES)]


def find_pairs(
    name: str,
    manual_dir: str | Path | None,
    patterns: Patterns = Patterns(),  # noqa: B008
) -> Pairs:
    """The pairs below `manual_dir`, none of them opened; empty for a generated data set.

    Raises UsageError for a folder that is missing, JaxsegError for files that do not fit together.
    """
    source = find_source(name)
    if source.find_pairs is None:
        return {}
    if manual_dir is None:
        raise UsageError(f"data.manual_dir=None: {name} needs the folder that holds its images")
    root = expand(manual_dir)
    if not root.is_dir():
        raise UsageError(f"data.manual_dir={str(manual_dir)!r}: no such folder")
    return source.find_pairs(root, patterns)


def find_files(
    name: str,
    manual_dir: str | Path | None,
    reading: Reading = Reading(),  # noqa: B008
    *,
    cache: Path | None = None,
    progress: Progress = silent,
    pairs: Pairs | None = None,
) -> SourceFiles:
    """The files of a data set, all looked at; what is known of them is kept in `cache`, if given.

    `pairs` are those of `find_pairs`, where they are known already. Raises what `find_pairs` and
    `masks.look_at` raise, and JaxsegError for masks of more classes than the data set has.
    """
    source = find_source(name)
    pairs = find_pairs(name, manual_dir, reading.patterns) if pairs is None else pairs
    if source.find_pairs is None:
        return SourceFiles({}, "generated", None, {}, source.classes or ())
    assert manual_dir is not None
    index = FileIndex(cache, expand(manual_dir), rehash=reading.rehash)
    every = [(split, pair) for split, members in sorted(pairs.items()) for pair in members]
    lines, turned = [], 0
    digests: dict[str, dict[str, str]] = {split: {} for split in pairs}
    for split, pair in progress(every, len(every), f"reading the files of {name}"):
        digest = digests[split][pair.id] = index.digest(pair.image)
        turned += index.is_turned(pair.image)
        lines.append(f"{split}|{pair.id}|{digest}|{'|'.join(map(index.digest, pair.masks))}")
    items = [(pair.id, pair.masks) for _, pair in every]
    looked = progress(items, len(items), f"looking at the masks of {name}")
    limit_px = images.MAX_LIMIT_PX
    found = look_at("masks", looked, reading.options, limit_px=limit_px, survey=index.labels)
    index.save()
    if source.classes is not None and found.coding.n_classes > len(source.classes):
        raise JaxsegError(
            f"data.manual_dir={str(manual_dir)!r}: masks of {name} have {found.coding.said}; the "
            f"data set has {len(source.classes)} class"
        )
    if turned:
        found.cautions.append(
            f"{turned} of {len(every)} images carry an orientation tag, which is applied: their "
            "masks must be drawn on the images as viewers show them."
        )
    known_as = (images.EDITION, found.coding._replace(said=""), reading.options.several)
    digest = hashlib.sha256("\n".join([*sorted(lines), repr(known_as)]).encode())
    classes = source.classes or found.coding.class_names()
    return SourceFiles(pairs, digest.hexdigest()[:16], found, digests, classes)


def base_splits(split: str) -> list[str]:
    """The splits that a sliced or summed one is made of: `train[:80%]+test` is train and test."""
    return [part.strip().partition("[")[0] for part in split.split("+")]


def check_split(name: str, split: str, pairs: Pairs, manual_dir: str | Path | None) -> None:
    """Checks a split before anything is read.

    Raises UsageError unless each part of `split`, such as `train[:85%]`, can be read."""
    source = find_source(name)
    number = r"-?\d+%?"  # as TFDS reads them
    for part in split.split("+"):
        match = re.fullmatch(rf"\s*(\w+)(\[({number})?:({number})?\])?\s*", part)
        if not match:
            raise UsageError(f"data split {split!r}: must look like train or train[:85%]")
        base = check_choice("data split", match[1], source.splits)
        if source.find_pairs is not None and base not in pairs:
            raise UsageError(
                f"data split {split!r}: {source.splits[base]} is missing in "
                f"data.manual_dir={str(manual_dir)!r} (there: {', '.join(pairs)})"
            )
        ends = [int(end) for end in match.groups()[2:] if end and not end.endswith("%")]
        if source.find_pairs is not None and any(abs(end) > len(pairs[base]) for end in ends):
            raise UsageError(
                f"data split {split!r}: {base} has {len(pairs[base])} images; give a part of them, "
                f"such as {base}[:80%]"
            )


_PHANTOMS = "jaxseg.data.ultrasound_phantoms_builder"
_STRUCTURES = tuple(row.name for row in STRUCTURES)
SOURCES: dict[str, Source] = {
    "isic2017": Source(
        "jaxseg.data.isic2017",
        "Isic2017",
        "1.0.0",
        isic2017_pairs,
        {split: f"folder {folders[0]}" for split, folders in ISIC_FOLDERS.items()},
        ("lesion",),
    ),
    "hc18": Source(
        "jaxseg.data.hc18",
        "Hc18",
        "1.0.0",
        hc18_pairs,
        {split: f"a frame of a {split} subject in training_set" for split in SPLITS},
        ("head",),
    ),
    "hc18_skull": Source(
        "jaxseg.data.hc18",
        "Hc18Skull",
        "1.0.0",
        hc18_pairs,
        {split: f"a frame of a {split} subject in training_set" for split in SPLITS},
        ("skull",),
    ),
    "folders": Source(
        "jaxseg.data.folders",
        "Folders",
        "1.0.0",
        folder_pairs,
        {split: f"folder {split}" for split in SPLITS},
        None,
    ),
    "lesion_phantoms": Source(
        "jaxseg.data.lesion_phantoms_builder",
        "LesionPhantoms",
        "1.0.0",
        None,
        dict.fromkeys(SPLITS, ""),
        ("lesion",),
    ),
    "ultrasound_phantoms": Source(
        _PHANTOMS, "UltrasoundPhantoms", "1.0.0", None, dict.fromkeys(SPLITS, ""), _STRUCTURES
    ),
    "ultrasound_phantoms_small": Source(
        _PHANTOMS, "UltrasoundPhantomsSmall", "1.0.0", None, dict.fromkeys(SPLITS, ""), _STRUCTURES
    ),
}
