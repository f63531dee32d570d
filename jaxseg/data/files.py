"""Files below folders: which can be read, which are masks, and which belong together.

Names are compared in one Unicode form. A mask is known by its name: its stem is that of its
picture, or that and an ending such as `_mask`, `_segmentation`, `_gt` or `_lesion`, and a number
where a picture has several. Where patterns choose the files, the part of the name that a wild-card
matches may be the stem: `img_7.png` and `gt_7.png` belong together by `img_*` and `gt_*`. Every
command finds and matches files through this module.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from jaxseg.data import volumes
from jaxseg.data.images import SUFFIXES, cannot_open, stem_of, suffix_of
from jaxseg.errors import JaxsegError, UsageError, printable
from jaxseg.homes import expand

_ENDING = re.compile(
    r"[_\-. ](?:mask|masks|segmentation|seg|gt|groundtruth|ground_truth|lesion|label|labels|"
    r"annotation|pred|prediction)(?P<number>[_\-. ]?\d+)?(?=(?:#\d+)?$)",  # of a slice: its number
    re.IGNORECASE,
)
_SLICE = re.compile(r"#\d+$")
_DEPTH = 4  # endings that are taken off a name, one after another
_CHANNEL = re.compile(r"_0000(?=(?:#\d+)?$)")  # nnU-Net's name of an image's first channel
# What file servers, cameras and systems leave beside files; hidden folders are skipped too.
_FOREIGN = {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found", "@tmp"}
_FOREIGN |= {"system volume information", "@recently-snapshot", "#snapshot", "__pycache__"}
_FOREIGN_FILES = {"thumbs.db", "desktop.ini"}


class Found(NamedTuple):
    """Files of a folder, sorted, and a line for each file that was left out."""

    files: list[Path]
    left_out: list[str]


class Matched(NamedTuple):
    """(id, the files of each folder) by id, and a line for each file without partners.

    The first entry of an item holds all masks of a picture, the others one file each. `separated`
    is the number of pictures that the first folder held among its masks.
    """

    pairs: list[tuple[str, tuple[tuple[Path, ...], ...]]]
    left_out: list[str]
    separated: int = 0


def scan(root: str | Path, suffixes: Sequence[str] | None = None, *, pattern: str = "*") -> Found:
    """Files below `root`, in sub-folders too, whose names fit `pattern` (as in a shell).

    A pattern with "/" is compared with the path below `root`. Hidden files and folders, those that
    file servers leave (`@eaDir`, `__MACOSX`), and `*_superpixels` are skipped. Links are
    followed, wherever they lead (git-annex, DVC and hub caches keep files so); broken links and
    folders that contain themselves are left out. A NIfTI volume gives one path a slice. Raises
    UsageError when `root` is not a folder, JaxsegError when nothing in it can be used.
    """
    root = expand(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    wanted, left_out, files = tuple(suffixes or SUFFIXES), [], []
    composed = unicodedata.normalize("NFC", pattern)
    for path in _walk(root, left_out):
        name = path.relative_to(root).as_posix() if "/" in pattern else path.name
        if suffix_of(path) not in wanted or stem_of(path).endswith("_superpixels"):
            continue
        if not fnmatchcase(unicodedata.normalize("NFC", name), composed):
            continue
        if refusal := _refusal(path):
            left_out.append(refusal)
            continue
        try:
            files += volumes.slices(path) if suffix_of(path) in volumes.SUFFIXES else [path]
        except JaxsegError as error:
            left_out.append(str(error))
    if not files:
        first = f"; {left_out[0]}" if left_out else ""
        names = f"{pattern} of " if pattern != "*" else ""
        raise JaxsegError(f"{root}: holds no files to read ({names}{', '.join(wanted)}){first}")
    return Found(sorted(files), list(map(printable, left_out)))


def by_id(files: Iterable[Path], root: Path, left_out: list[str]) -> dict[str, Path]:
    """Files by their place below `root` without suffix, in composed Unicode: `case7/slice3`.

    Of two files of one id the second is left out with a line.
    """
    named: dict[str, Path] = {}
    for path in files:
        place = (path.parent.relative_to(root) / stem_of(path)).as_posix()
        name = printable(unicodedata.normalize("NFC", place))
        if name in named:
            left_out.append(f"{path}: same name as {named[name].name}; rename one of them")
        else:
            named[name] = path
    return named


def named_files(
    root: str | Path,
    left_out: list[str],
    suffixes: Sequence[str] | None = None,
    *,
    pattern: str = "*",
) -> dict[str, Path]:
    """The files of `scan` by their id (see `by_id`); lines of files left out go to `left_out`."""
    found = scan(root, suffixes, pattern=pattern)
    left_out += found.left_out
    return by_id(found.files, expand(root), left_out)


def split_roles(files: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """(pictures, masks) of one folder that holds both: a mask has its picture's stem and an ending.

    Files that are not the mask of another file are pictures.
    """
    stems = {name: _ENDING.sub("", name) for name in files}
    masks = {name: files[name] for name, stem in stems.items() if stem != name and stem in files}
    return {name: path for name, path in files.items() if name not in masks}, masks


def match_masks(
    pictures: dict[str, Path], masks: dict[str, Path], patterns: tuple[str, str] = ("*", "*")
) -> tuple[dict[str, tuple[Path, ...]], list[str], list[str]]:
    """({picture's id: its masks}, ids of pictures without a mask, ids of masks without a picture).

    A mask belongs to the picture of the same id, else to that of its id without its ending; a
    picture may end in _0000, as nnU-Net names first channels. `patterns` chose pictures and masks.
    """
    shorter = {_CHANNEL.sub("", name): name for name in pictures}
    shorter = {_by_pattern(name, patterns[0]): name for name in pictures} | shorter
    found: dict[str, list[Path]] = {}
    alone = []
    for name, path in masks.items():
        ids = _ids(name, patterns[1])
        home = next((i for i in ids if i in pictures), None)
        home = home or next((shorter[i] for i in ids if i in shorter), None)
        if home is None:
            alone.append(name)
        else:
            found.setdefault(home, []).append(path)
    lacking = [name for name in pictures if name not in found]
    return {name: tuple(paths) for name, paths in found.items()}, lacking, alone


def group_masks(masks: dict[str, Path]) -> dict[str, tuple[Path, ...]]:
    """Masks alone by picture: `a_mask` and `a_mask_1` are two of one, called `a`.

    `a_mask_1` without `a_mask` is a separate one: it may as well be the mask of frame 1.
    """
    found: dict[str, list[str]] = {}
    numbered = {name: m for name in masks if (m := _ENDING.search(name)) and m["number"]}
    for name in sorted(masks, key=lambda name: name in numbered):
        base = name
        if name in numbered:
            start, stop = numbered[name].span("number")
            base = name[:start] + name[stop:]
        found.setdefault(base if base in masks else name, []).append(name)
    stems = [_ENDING.sub("", name) for name in found]
    counts = Counter(stems)
    short = {
        name: stem if counts[stem] == 1 and stem not in masks else name
        for name, stem in zip(found, stems)
    }
    return {short[name]: tuple(masks[n] for n in names) for name, names in found.items()}


def mask_groups(
    root: str | Path, *, pattern: str = "*"
) -> tuple[dict[str, tuple[Path, ...]], list[str], int]:
    """({id: masks of one picture}, lines of what is left out, pictures among them) below a folder.

    Where pictures and masks lie in one folder, their names distinguish them. Raises as `scan`.
    """
    left_out: list[str] = []
    groups, separated = _groups(named_files(root, left_out, pattern=pattern), left_out)
    return groups, left_out, separated


def _groups(files: dict[str, Path], left_out: list[str]) -> tuple[dict[str, tuple[Path, ...]], int]:
    """({id: masks of one picture}, number of pictures among the files)."""
    pictures, masks = split_roles(files)
    if not masks:
        return group_masks(pictures), 0
    groups, lacking, _ = match_masks(pictures, masks)
    # Where some files are masks of others, the files without a mask are pictures that lack one.
    left_out += [f"{pictures[name]}: no mask of this picture beside it" for name in lacking]
    return groups, len(pictures)


def match_files(*roots: str | Path, patterns: Sequence[str] = ()) -> Matched:
    """Files that belong together, of each root, by their place below it: `case7/slice3`.

    The first root holds true masks, perhaps several of a picture and perhaps the pictures too; of
    the others each holds one file a picture. Stems may have the endings of masks; suffixes may
    differ. `patterns` choose the files of each root, by default all. Raises as `scan` does, and
    JaxsegError when no stem is common to all roots.
    """
    patterns = patterns or ["*"] * len(roots)
    left_out: list[str] = []
    every = [named_files(root, left_out, pattern=p) for root, p in zip(roots, patterns)]
    if len(every) > 1 and all(every[0].keys() <= files.keys() for files in every[1:]):
        truths, separated = {name: (path,) for name, path in every[0].items()}, 0
    else:
        truths, separated = _groups(every[0], left_out)
    ids_of = {path: _ids(name, patterns[0]) for name, path in every[0].items()}
    truth_ids = {name: ids_of[paths[0]] for name, paths in truths.items()}
    named = [_partners(f, truth_ids, pattern) for f, pattern in zip(every[1:], patterns[1:])]
    common = [name for name in truths if all(name in files for files, _ in named)]
    if not common:
        lists = [list(truths), *([*files, *others] for files, others in named)]
        examples = " against ".join(", ".join(ids[:3]) for ids in lists)
        raise JaxsegError(
            f"{', '.join(map(str, roots))}: no stem in common ({examples}); "
            "where names hold more than the stem, give patterns: --truth_pattern 'gt_*', --pattern "
            "'img_*'"
        )
    taken = set(common)
    where = [" or ".join(str(other) for other in roots if other is not root) for root in roots]
    for name, paths in truths.items():
        if name not in taken:
            left_out.append(f"{paths[0]}: no file of this stem in {where[0]}")
    for (files, others), place in zip(named, where[1:]):
        lone = [*others.values(), *(path for name, path in files.items() if name not in taken)]
        left_out += [f"{path}: no file of this stem in {place}" for path in lone]
    pairs = [
        (name, (truths[name], *((files[name],) for files, _ in named))) for name in sorted(common)
    ]
    return Matched(pairs, list(map(printable, left_out)), separated)


def _partners(
    files: dict[str, Path], truth_ids: dict[str, list[str]], pattern: str
) -> tuple[dict[str, Path], dict[str, Path]]:
    """({truth's id: the file that belongs to it}, files that belong to none by id)."""
    own: dict[str, str] = {}
    for depth in range(2 * _DEPTH):  # the longest names first: x_gt before x
        for name, ids in truth_ids.items():
            if depth < len(ids):
                own.setdefault(ids[depth], name)
    partners: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for name in sorted(files, key=lambda name: name not in own):  # stable: exact names come first
        home = next((own[i] for i in _ids(name, pattern) if i in own), None)
        if home is None or home in partners:
            others[name] = files[name]
        else:
            partners[home] = files[name]
    return partners, others


def _ids(name: str, pattern: str) -> list[str]:
    """The possible ids of a file whose name fits `pattern`, the likeliest first."""
    return list(dict.fromkeys([*_shortened(name), *_shortened(_by_pattern(name, pattern))]))


def _by_pattern(name: str, pattern: str) -> str:
    """An id without the fixed parts of `pattern`: of `7/gt_3` by `gt_*.png` `7/3`.

    A pattern without wild-cards is the whole name: of `7/mask` by `mask.png` the id is `7`.
    """
    pattern = unicodedata.normalize("NFC", pattern)
    around = pattern[: len(pattern) - len(suffix_of(Path(pattern)))]
    before, after = re.split(r"[*?[]", around)[0], re.split(r"[*?\]]", around)[-1]
    number = _SLICE.search(name)
    place = name[: number.start()] if number else name
    folder, slash, stem = ("", "", place) if "/" in pattern else place.rpartition("/")
    left = folder if stem == around else stem.removeprefix(before).removesuffix(after)
    if not left:
        return name
    return (left if stem == around else folder + slash + left) + (number[0] if number else "")


def _shortened(name: str) -> list[str]:
    """An id and what is left of it without one ending of a mask or channel after another."""
    ids = [name]
    while len(ids) < _DEPTH:
        shorter = _CHANNEL.sub("", _ENDING.sub("", ids[-1]))
        if shorter == ids[-1]:
            break
        ids.append(shorter)
    return ids


def _walk(root: Path, left_out: list[str]) -> Iterator[Path]:
    """Files below `root` that are not hidden; links to folders are followed, but in no circle."""

    def closed(error: OSError) -> None:
        left_out.append(str(cannot_open(Path(error.filename), error)))

    above: dict[str, tuple[str, ...]] = {str(root): (os.path.realpath(root),)}
    for folder, folders, names in os.walk(root, onerror=closed, followlinks=True):
        here = Path(folder)
        lineage = above.pop(folder, ())
        kept = []
        for name in sorted(folders):
            if name.startswith(".") or name.lower() in _FOREIGN:
                continue
            target = os.path.realpath(here / name)
            if target in lineage:
                left_out.append(f"{here / name}: link to a folder above it; not followed")
                continue
            above[os.path.join(folder, name)] = (*lineage, target)
            kept.append(name)
        folders[:] = kept
        for name in names:
            if not name.startswith(".") and name.lower() not in _FOREIGN_FILES:
                yield here / name


def _refusal(path: Path) -> str | None:
    """Why a file is left out without being opened, or None."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return f"{path.parent}/{path.name!a}: name is not valid UTF-8; rename the file"
    try:
        target = path.resolve(strict=True)
    except PermissionError as error:
        return str(cannot_open(path, error))
    except (OSError, RuntimeError):
        return f"{path}: a link that loops or leads nowhere; restore the file it points to"
    return None if target.is_file() else f"{path}: not a regular file; replace it by one"
