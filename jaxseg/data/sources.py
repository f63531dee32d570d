"""The data sets: the table of builders, how their files lie on disk, what identifies them.

Nothing here imports TensorFlow, so that a prepared cache is found without it. Masks are inspected
once for all files of a data set (see `masks`), and prepared images are named by the content of all
files: data sets of equal names, sizes and times never share them by mistake, and a copy in another
place finds them again.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data import images, volumes
from jaxseg.data.files import match_masks, named_files, split_roles
from jaxseg.data.mask_coding import FileLabels, MaskOptions, labels_from_json, survey_file
from jaxseg.data.masks import Masks, look_at
from jaxseg.data.phantoms.anatomy import STRUCTURES
from jaxseg.errors import JaxsegError, UsageError, check_choice
from jaxseg.homes import expand
from jaxseg.progress import Progress, silent
from jaxseg.texts import read_with_digest, with_digest

SPLITS: tuple[str, ...] = ("train", "validation", "test")
# Names in use for the folders of the splits.
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
    for split, (pictures, masks) in ISIC_FOLDERS.items():
        present = [(root / folder).is_dir() for folder in (pictures, masks)]
        if not any(present):
            continue
        if not all(present):
            missing = masks if present[0] else pictures
            raise UsageError(f"data.manual_dir={str(root)!r}: lacks the folder {missing}; add it")
        found = _named(root / pictures, (".jpg", ".jpeg"), patterns.images)
        pairs[split] = _match(found, _named(root / masks, (".png",), patterns.masks), patterns)
    if not pairs:
        wanted = ISIC_FOLDERS["train"][0]
        raise UsageError(f"data.manual_dir={str(root)!r}: must hold {wanted}, holds none of them")
    return pairs


def folder_pairs(root: Path, patterns: Patterns = Patterns()) -> Pairs:  # noqa: B008
    """Pairs of a folder of any of these layouts, sub-folders included.

    `root`/images with `root`/masks; folders train, validation (or val) and test that each hold the
    two; or images and masks side by side, in `root` or in the folders of the splits, where a mask
    has its image's stem and an ending such as _mask, or fits `patterns.masks`. Raises UsageError
    when none of them is there or two are, JaxsegError for files without a partner.
    """
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
    if homes and ((root / "images").is_dir() or (root / "masks").is_dir()):
        raise UsageError(
            f"data.manual_dir={str(root)!r}: holds both images/ and "
            f"{', '.join(home.name for home in homes.values())}/; keep one layout"
        )
    homes = homes or {"train": root}
    return {split: _pairs_of(home, root, patterns) for split, home in homes.items()}


def _pairs_of(home: Path, root: Path, patterns: Patterns) -> list[Pair]:
    """Pairs of a folder that holds images/ and masks/, or images and masks together."""
    wrong = f"data.manual_dir={str(root)!r}"
    parts = [home / "images", home / "masks"]
    missing = [part for part in parts if not part.is_dir()]
    if len(missing) == 1:
        raise UsageError(f"{wrong}: lacks the folder {missing[0]}; add it")
    if not missing:
        pictures = _named(parts[0], None, patterns.images)
        return _match(pictures, _named(parts[1], None, patterns.masks), patterns)
    if patterns.masks != "*":
        masks = _named(home, None, patterns.masks)
        files = _named(home, None, patterns.images)
        pictures = {name: path for name, path in files.items() if name not in masks}
    else:
        try:
            pictures, masks = split_roles(_named(home, None, patterns.images))
        except JaxsegError as error:
            raise UsageError(
                f"{wrong}: must hold images/ and masks/, or images with their masks beside them "
                f"({error})"
            ) from error
    if not masks:
        raise UsageError(
            f"{wrong}: must hold images/ and masks/, or images with their masks beside them: of "
            f"the {len(pictures)} files in {home} none is the mask of another by its name, such as "
            "a.png with a_mask.png (masks of other names: data.truth_pattern)"
        )
    return _match(pictures, masks, patterns)


def hc18_pairs(root: Path, patterns: Patterns = Patterns()) -> Pairs:  # noqa: B008
    """Frames of `root`/training_set with their outlines (`*_Annotation`), split by subject.

    The official test_set has no outlines and is not read. Frames 010_HC, 010_2HC and 010_3HC show
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
            f"{masks[alone[0]]}: no mask has the stem of an image ({examples}); where names hold "
            "more than the stem, give patterns: data.truth_pattern='gt_*' with data.pattern='img_*'"
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


class Source(NamedTuple):
    """A data set: its builder, and how its files are found (None: generated, no files)."""

    builder: str  # class in `builders`
    version: str
    find_pairs: Callable[[Path, Patterns], Pairs] | None
    splits: Mapping[str, str]  # split -> what must exist below manual_dir for it
    classes: tuple[str, ...] | None  # None: found in the masks


class Reading(NamedTuple):
    """How the files of a data set or a folder are found and read.

    `pattern` chooses images (and predictions) by their names, `truth_pattern` true masks; `truth`
    states what the files of true masks leave open, `threshold` what is foreground in predictions.
    Audits read frames of at most `limit_px` pixels. With `rehash` every file of a data set is read
    again, even if its size and times are unchanged.
    """

    pattern: str = "*"
    truth_pattern: str = "*"
    truth: MaskOptions = MaskOptions()
    threshold: float | None = None
    limit_px: int = images.LIMIT_PX
    rehash: bool = False

    @property
    def patterns(self) -> Patterns:
        """The two patterns."""
        return Patterns(self.pattern, self.truth_pattern)

    @property
    def predicted(self) -> MaskOptions:
        """The options of predicted masks."""
        return MaskOptions(threshold=self.threshold)


class Frame(NamedTuple):
    """An image uint8 [H, W, 3] with its mask, class indices uint8 [H, W]."""

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


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
        raise UsageError(
            f"data.manual_dir=None: is required for {name}; set it to the folder of its images"
        )
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
    """The files of a data set, all inspected; their digests are kept in `cache`, if given.

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
    looked = progress(items, len(items), f"reading the masks of {name}")
    limit_px = images.MAX_LIMIT_PX
    found = look_at("masks", looked, reading.truth, limit_px=limit_px, survey=index.labels)
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
    known_as = (images.EDITION, found.coding._replace(said=""), reading.truth.several)
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


_STRUCTURES = tuple(row.name for row in STRUCTURES)
_HC18: dict[str, str] = {split: f"a frame of a {split} subject in training_set" for split in SPLITS}
_ISIC: dict[str, str] = {split: f"folder {folders[0]}" for split, folders in ISIC_FOLDERS.items()}
_FOLDERS: dict[str, str] = {split: f"folder {split}" for split in SPLITS}
_DRAWN: dict[str, str] = dict.fromkeys(SPLITS, "")
SOURCES: dict[str, Source] = {
    "isic2017": Source("Isic2017", "1.0.0", isic2017_pairs, _ISIC, ("lesion",)),
    "hc18": Source("Hc18", "1.0.0", hc18_pairs, _HC18, ("head",)),
    "hc18_skull": Source("Hc18Skull", "1.0.0", hc18_pairs, _HC18, ("skull",)),
    "folders": Source("Folders", "1.0.0", folder_pairs, _FOLDERS, None),
    "lesion_phantoms": Source("LesionPhantoms", "1.0.0", None, _DRAWN, ("lesion",)),
    "ultrasound_phantoms": Source("UltrasoundPhantoms", "1.0.0", None, _DRAWN, _STRUCTURES),
    "ultrasound_phantoms_small": Source(
        "UltrasoundPhantomsSmall", "1.0.0", None, _DRAWN, _STRUCTURES
    ),
}


FOLDER = "index"


class FileIndex:
    """Digests and labels of the files below one root, read once and kept in `cache`/index.

    What was found is taken again while a file's size, times and place on the disk are unchanged,
    unless `rehash`. With no `cache` nothing is kept.
    """

    def __init__(self, cache: Path | None, root: Path, *, rehash: bool = False):
        name = hashlib.sha256(os.path.realpath(root).encode("utf-8", "surrogateescape")).hexdigest()
        self._path = cache / FOLDER / f"{name[:32]}.json" if cache else None
        self._known = {} if rehash else self._load()
        self._checked: set[str] = set()
        self._changed = False

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's bytes, of a volume's slice those of the volume and its number."""
        name, index = volumes.split_name(path.name)
        file = path.with_name(name)
        found = self._entry(file)["sha256"]
        return found if index is None else f"{found}#{index}"

    def is_turned(self, path: Path) -> bool:
        """`images.is_turned` of an image."""
        entry = self._entry(path.with_name(volumes.split_name(path.name)[0]))
        if "turned" not in entry:
            entry["turned"] = images.is_turned(path)
            self._changed = True
        return entry["turned"]

    def labels(self, path: Path) -> FileLabels:
        """`survey_file` of a mask; JaxsegError naming it where it cannot be read."""
        name, index = volumes.split_name(path.name)
        kept = self._entry(path.with_name(name)).setdefault("labels", {})
        place = "" if index is None else str(index)
        try:
            return labels_from_json(kept[place])
        except (KeyError, TypeError, ValueError, AttributeError):
            found = survey_file(path, images.MAX_LIMIT_PX)
        kept[place] = found._asdict()
        self._changed = True
        return found

    def save(self) -> None:
        """Saves what was found; a cache that cannot be written is reported on stderr."""
        if not self._changed or self._path is None:
            return
        content = json.dumps(with_digest({"edition": images.EDITION, "files": self._known}))
        beside = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(content)
            beside.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            print(
                f"{self._path.parent}: the digests of the files cannot be saved "
                f"({error.strerror}; JAXSEG_CACHE); the next run reads them again",
                file=sys.stderr,
                flush=True,
            )
        self._changed = False

    def _load(self) -> dict[str, Any]:
        """What an earlier call saved; nothing where it is damaged or of another edition."""
        if self._path is None:
            return {}
        try:
            kept = read_with_digest(self._path)
        except (OSError, JaxsegError):
            return {}
        return kept["files"] if kept.get("edition") == images.EDITION else {}

    def _entry(self, file: Path) -> dict[str, Any]:
        key = str(file)
        if key in self._checked:
            return self._known[key]
        try:
            stat = file.stat()
            # One of them changes with the file's content, even if size and time are set back.
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            entry = self._known.get(key)
            if entry is None or entry["state"] != state:
                with file.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                entry = self._known[key] = {"state": state, "sha256": digest}
                self._changed = True
        except OSError as error:
            raise images.cannot_open(file, error) from error
        self._checked.add(key)
        return entry
