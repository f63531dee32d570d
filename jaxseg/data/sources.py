"""Where data sets come from: the table of builders, their files on disk and their fingerprint.

Nothing here opens an image or imports TensorFlow, so that a prepared cache is found without either.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxseg.errors import JaxsegError, UsageError, check_choice

SPLITS = ("train", "validation", "test")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MASK_STEMS = re.compile(r"_(mask|segmentation|gt)$", re.IGNORECASE)
ISIC_FOLDERS = {
    "train": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
    "validation": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
    "test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
}


class Pair(NamedTuple):
    """One example on disk."""

    id: str
    image: Path
    mask: Path


Pairs = Mapping[str, list[Pair]]


class Source(NamedTuple):
    """A data set: its builder, and how its files are found (None: generated, no files)."""

    module: str
    builder: str
    version: str
    find_pairs: Callable[[Path], Pairs] | None
    splits: Mapping[str, str]  # split -> what must exist below manual_dir for it
    classes: tuple[str, ...] | None  # None: the builder finds them in the masks


def isic2017_pairs(root: Path) -> Pairs:
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
            _by_stem(root / images, (".jpg", ".jpeg")), _by_stem(root / masks, (".png",))
        )
    return pairs or _nothing_found(root, ISIC_FOLDERS["train"][0])


def folder_pairs(root: Path) -> Pairs:
    """Pairs of `root`/images and `root`/masks, or of train/, validation/ and test/ that hold them.

    Stems are matched; a mask may add _mask, _segmentation or _gt. Raises UsageError when neither
    layout is there or both are, JaxsegError for files without a partner and empty folders.
    """
    homes = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if (root / "images").is_dir():
        if homes:
            raise UsageError(
                f"data.manual_dir={str(root)!r}: holds both images/ and {', '.join(homes)}/; "
                "keep one layout"
            )
        homes = {"train": root}
    for home in homes.values():
        for part in ("images", "masks"):
            if not (home / part).is_dir():
                raise UsageError(f"data.manual_dir={str(root)!r}: folder {home / part} is missing")
    pairs = {
        split: _match(
            _by_stem(home / "images", IMAGE_SUFFIXES), _by_stem(home / "masks", IMAGE_SUFFIXES)
        )
        for split, home in homes.items()
    }
    return pairs or _nothing_found(root, "images/ and masks/")


def fingerprint(pairs: Pairs, root: Path) -> str:
    """16 hex digits over every file's name below `root`, size and modification time."""
    digest = hashlib.sha256()
    for split, members in sorted(pairs.items()):
        for pair in members:
            for path in (pair.image, pair.mask):
                stat = path.stat()
                line = f"{split}|{path.relative_to(root)}|{stat.st_size}|{stat.st_mtime_ns}\n"
                digest.update(line.encode())
    return digest.hexdigest()[:16]


def find_source(name: str) -> Source:
    """The source called `name`; UsageError naming the nearest for an unknown one."""
    return SOURCES[check_choice("data.name", name, SOURCES)]


def find_files(name: str, manual_dir: str | Path | None) -> tuple[Pairs, str]:
    """The pairs below `manual_dir` and their fingerprint; empty for a generated data set."""
    source = find_source(name)
    if source.find_pairs is None:
        return {}, "generated"
    if manual_dir is None:
        raise UsageError(f"data.manual_dir=None: {name} needs the folder that holds its images")
    root = Path(manual_dir).expanduser()
    if not root.is_dir():
        raise UsageError(f"data.manual_dir={str(manual_dir)!r}: no such folder")
    pairs = source.find_pairs(root)
    return pairs, fingerprint(pairs, root)


def check_split(name: str, split: str, pairs: Pairs, manual_dir: str | Path | None) -> None:
    """Raises UsageError unless each part of `split`, such as `train[:85%]`, can be read."""
    source = find_source(name)
    number = r"-?\d+%?"
    for part in split.split("+"):
        match = re.fullmatch(rf"\s*(\w+)(\[({number})?:({number})?\])?\s*", part)
        if not match:
            raise UsageError(f"data split {split!r}: must look like train or train[:85%]")
        base = check_choice("data split", match[1], source.splits)
        if source.find_pairs is not None and base not in pairs:
            raise UsageError(
                f"data split {split!r}: folder {source.splits[base]} is missing in "
                f"data.manual_dir={str(manual_dir)!r} (there: {', '.join(pairs)})"
            )


def _nothing_found(root: Path, wanted: str) -> Pairs:
    raise UsageError(f"data.manual_dir={str(root)!r}: must hold {wanted}, holds none of it")


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") or path.stem.endswith("_superpixels")
        if hidden or path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise JaxsegError(f"{path}: same stem as {found[path.stem].name}; keep one of them")
        found[path.stem] = path
    if not found:
        raise JaxsegError(f"{folder}: holds no images (looked for {', '.join(suffixes)})")
    return found


def _match(images: dict[str, Path], masks: dict[str, Path]) -> list[Pair]:
    """Pairs by stem; each image must have one mask and each mask one image."""
    partners: dict[str, Path] = {}
    for stem, path in masks.items():
        key = stem if stem in images else MASK_STEMS.sub("", stem)
        if key not in images:
            raise JaxsegError(f"{path}: mask without an image; add the image or remove the mask")
        if key in partners:
            raise JaxsegError(f"{path}: second mask of {images[key].name}; keep one of them")
        partners[key] = path
    alone = [path for stem, path in images.items() if stem not in partners]
    if alone:
        raise JaxsegError(
            f"{alone[0]}: image without a mask ({len(alone)} in all); add the mask or remove it"
        )
    return [Pair(stem, path, partners[stem]) for stem, path in images.items()]


SOURCES: dict[str, Source] = {
    "isic2017": Source(
        "jaxseg.data.isic2017",
        "Isic2017",
        "1.0.0",
        isic2017_pairs,
        {split: folders[0] for split, folders in ISIC_FOLDERS.items()},
        ("lesion",),
    ),
    "folders": Source(
        "jaxseg.data.folders",
        "Folders",
        "1.0.0",
        folder_pairs,
        {split: f"{split}/images" for split in SPLITS},
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
}
