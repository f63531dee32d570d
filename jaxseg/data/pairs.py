"""How data sets lie on disk: which files are images, which are their masks, in which split.

Nothing here opens an image or imports TensorFlow.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jaxseg.data.files import match_masks, named_files, split_roles
from jaxseg.errors import JaxsegError, UsageError

SPLITS = ("train", "validation", "test")
# What people call the folders of the splits.
_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
ISIC_FOLDERS = {
    "train": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
    "validation": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
    "test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
}
HC18_STEM = re.compile(r"(\d+)_\d?HC")


class Pair(NamedTuple):
    """One example on disk: an image and its masks, several where each object has its own."""

    id: str
    image: Path
    masks: tuple[Path, ...]


class Patterns(NamedTuple):
    """Which file names are images and which are true masks, as in a shell; `*` is every one."""

    images: str = "*"
    masks: str = "*"


Pairs = Mapping[str, list[Pair]]


def isic2017_pairs(root: Path, patterns: Patterns = Patterns()) -> Pairs:  # noqa: B008
    """Pairs of each official ISIC 2017 split present below `root`; superpixels and tables ignored.

    Raises UsageError when no split is there or one lacks its masks, JaxsegError for files without a
    partner.
    """
    pairs = {}
    for split, (images, masks) in ISIC_FOLDERS.items():
        present = [(root / folder).is_dir() for folder in (images, masks)]
        if not any(present):
            continue
        if not all(present):
            missing = masks if present[0] else images
            raise UsageError(f"data.manual_dir={str(root)!r}: folder {missing} is missing in it")
        pairs[split] = _match(
            _named(root / images, (".jpg", ".jpeg"), patterns.images),
            _named(root / masks, (".png",), patterns.masks),
            patterns,
        )
    return pairs or _nothing_found(root, ISIC_FOLDERS["train"][0])


def folder_pairs(root: Path, patterns: Patterns = Patterns()) -> Pairs:  # noqa: B008
    """Pairs of a folder of any of these layouts, sub-folders included.

    `root`/images with `root`/masks; folders train, validation (or val) and test that each hold the
    two; or images and masks side by side, in `root` or in the folders of the splits, where a mask
    has its image's stem and an ending such as _mask, or fits `patterns.masks`. Raises UsageError
    when none of them is there or two are, JaxsegError for files without a partner.
    """
    homes = _split_homes(root)
    if (root / "images").is_dir() or (root / "masks").is_dir():
        if homes:
            raise UsageError(
                f"data.manual_dir={str(root)!r}: holds both images/ and "
                f"{', '.join(home.name for home in homes.values())}/; keep one layout"
            )
        homes = {"train": root}
    elif not homes:
        homes = {"train": root}
    return {split: _pairs_of(home, root, patterns) for split, home in homes.items()}


def _split_homes(root: Path) -> dict[str, Path]:
    """{split: its folder}, of those that are there; UsageError where one has two."""
    homes = {}
    for split, names in _SPLIT_FOLDERS.items():
        there = [root / name for name in names if (root / name).is_dir()]
        if len(there) > 1:
            raise UsageError(
                f"data.manual_dir={str(root)!r}: holds both {there[0].name}/ and {there[1].name}/; "
                "keep one of the two names"
            )
        if there:
            homes[split] = there[0]
    return homes


def _pairs_of(home: Path, root: Path, patterns: Patterns) -> list[Pair]:
    there = [(home / part).is_dir() for part in ("images", "masks")]
    if all(there):
        return _match(
            _named(home / "images", None, patterns.images),
            _named(home / "masks", None, patterns.masks),
            patterns,
        )
    if any(there):
        missing = home / ("masks" if there[0] else "images")
        raise UsageError(f"data.manual_dir={str(root)!r}: folder {missing} is missing")
    return _side_by_side(home, root, patterns)


def _side_by_side(home: Path, root: Path, patterns: Patterns) -> list[Pair]:
    """Pairs of a folder that holds images and masks together."""
    if patterns.masks != "*":
        masks = _named(home, None, patterns.masks)
        files = _named(home, None, patterns.images)
        pictures = {name: path for name, path in files.items() if name not in masks}
    else:
        try:
            pictures, masks = split_roles(_named(home, None, patterns.images))
        except JaxsegError as error:
            raise UsageError(
                f"data.manual_dir={str(root)!r}: must hold images/ and masks/, or images with "
                f"their masks beside them ({error})"
            ) from error
    if not masks:
        raise UsageError(
            f"data.manual_dir={str(root)!r}: must hold images/ and masks/, or images with their "
            f"masks beside them: of the {len(pictures)} files in {home} none is the mask of "
            "another by its name, such as a.png with a_mask.png (masks of other names: "
            "data.truth_pattern)"
        )
    return _match(pictures, masks, patterns)


def hc18_pairs(root: Path, patterns: Patterns = Patterns()) -> Pairs:  # noqa: B008
    """Frames of `root`/training_set with their outlines (`*_Annotation`), split by subject.

    The official test_set has no outlines and is left alone. Frames 010_HC, 010_2HC and 010_3HC show
    one subject and share a split: see `hc18_split`. A split without frames is left out. Raises
    UsageError where the folder is missing, JaxsegError for files without a partner and other names.
    """
    folder = root / "training_set"
    if not folder.is_dir():
        raise UsageError(
            f"data.manual_dir={str(root)!r}: must hold the folder training_set of HC18"
        )
    files = _named(folder, (".png",), patterns.images)
    outlines = {s: p for s, p in files.items() if s.endswith("_Annotation")}
    frames = {stem: path for stem, path in files.items() if stem not in outlines}
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for pair in _match(frames, outlines):
        match = HC18_STEM.fullmatch(pair.id)
        if not match:
            raise JaxsegError(
                f"{pair.image}: must be named by subject as 010_HC.png or 010_2HC.png"
            )
        pairs[hc18_split(int(match[1]))].append(pair)
    return {split: members for split, members in pairs.items() if members}


def hc18_split(subject: int) -> str:
    """The split of an HC18 subject: of every ten numbers 8 train, 1 validation, 1 test.

    It depends on the number alone, so copies that lack some frames agree. HC18 numbers its subjects
    by trimester: tens spread every split over gestational ages. Order within a ten by SHA-256.
    """
    ten = range(subject // 10 * 10, subject // 10 * 10 + 10)
    order = sorted(ten, key=lambda number: hashlib.sha256(f"hc18 {number}".encode()).digest())
    return ("validation", "test")[order.index(subject)] if subject in order[:2] else "train"


def _nothing_found(root: Path, wanted: str) -> Pairs:
    raise UsageError(f"data.manual_dir={str(root)!r}: must hold {wanted}, holds none of it")


def _named(folder: Path, suffixes: tuple[str, ...] | None, pattern: str) -> dict[str, Path]:
    """Files below a folder by their id; JaxsegError for the first that cannot be used."""
    refused: list[str] = []
    named = named_files(folder, refused, suffixes, pattern=pattern)
    if refused:
        raise JaxsegError(refused[0])
    return named


def _match(
    images: dict[str, Path],
    masks: dict[str, Path],
    patterns: Patterns = Patterns(),  # noqa: B008
) -> list[Pair]:
    """Images with their masks; each image must have one at least and each mask an image."""
    found, lacking, alone = match_masks(images, masks, patterns)
    if masks and not found:
        examples = " against ".join(", ".join(list(names)[:3]) for names in (masks, images))
        raise JaxsegError(
            f"{masks[alone[0]]}: no mask has the stem of an image ({examples}); what names hold "
            "beside it can be said: data.truth_pattern='gt_*' with data.pattern='img_*'"
        )
    if alone:
        raise JaxsegError(
            f"{masks[alone[0]]}: mask without an image ({len(alone)} in all); add the image, or "
            "keep the mask out of this folder"
        )
    if lacking:
        raise JaxsegError(
            f"{images[lacking[0]]}: image without a mask ({len(lacking)} in all); add the mask (an "
            "empty one where nothing is to be found), or keep the image out of this folder"
        )
    return [Pair(name, path, found[name]) for name, path in images.items()]
