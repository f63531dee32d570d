"""Where data sets come from: the table of builders, how their files are found, their fingerprint.

Nothing here opens an image or imports TensorFlow, so that a prepared cache is found without either.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxseg.data.pairs import (
    ISIC_FOLDERS,
    SPLITS,
    Pairs,
    folder_pairs,
    hc18_pairs,
    isic2017_pairs,
)
from jaxseg.data.ultrasound_anatomy import STRUCTURES
from jaxseg.errors import UsageError, check_choice


class Source(NamedTuple):
    """A data set: its builder, and how its files are found (None: generated, no files)."""

    module: str
    builder: str
    version: str
    find_pairs: Callable[[Path], Pairs] | None
    splits: Mapping[str, str]  # split -> what must exist below manual_dir for it
    classes: tuple[str, ...] | None  # None: the builder finds them in the masks


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
        {split: f"folder {split}/images" for split in SPLITS},
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
