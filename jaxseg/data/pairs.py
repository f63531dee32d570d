"""How data sets lie on disk: which files are images, which are their masks, in which split.

Nothing here opens an image or imports TensorFlow.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jaxseg.errors import JaxsegError, UsageError

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
HC18_STEM = re.compile(r"(\d+)_\d?HC")


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


def hc18_pairs(root: Path) -> Pairs:
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
    files = _by_stem(folder, (".png",))
    ending = "_Annotation"
    outlines = {s.removesuffix(ending): p for s, p in files.items() if s.endswith(ending)}
    frames = {stem: path for stem, path in files.items() if not stem.endswith(ending)}
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
