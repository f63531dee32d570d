"""Files below folders: which can be read, and which belong together."""

import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxseg.audit import nifti
from jaxseg.audit.formats import SUFFIXES, stem_of, suffix_of
from jaxseg.data.pairs import MASK_STEMS
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.escape import printable
from jaxseg.homes import expand


class Found(NamedTuple):
    """Files of a folder, sorted, and a line for each that was refused."""

    files: list[Path]
    left_out: list[str]


class Matched(NamedTuple):
    """(id, one file of each folder) by id, and a line for each file without partners."""

    pairs: list[tuple[str, tuple[Path, ...]]]
    left_out: list[str]


def scan(root: str | Path, suffixes: Sequence[str] | None = None, *, pattern: str = "*") -> Found:
    """Files below `root`, in sub-folders too, whose names fit `pattern` (as in a shell).

    Hidden files and `*_superpixels` are passed over. Refused are links to folders (they may loop)
    and links that lead out of `root` or nowhere. A NIfTI volume stands for its slices.
    Raises UsageError when `root` is no folder, JaxsegError when nothing in it can be used.
    """
    root = expand(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    wanted, left_out = tuple(suffixes or SUFFIXES), []
    files = []
    for path in _walk(root, left_out):
        if suffix_of(path) not in wanted or not fnmatch.fnmatch(path.name, pattern):
            continue
        if stem_of(path).endswith("_superpixels"):
            continue
        if refusal := _refusal(path, root):
            left_out.append(refusal)
        else:
            files += nifti.slices(path) if suffix_of(path) in nifti.SUFFIXES else [path]
    if not files:
        first = f"; {left_out[0]}" if left_out else ""
        names = f"{pattern} of " if pattern != "*" else ""
        raise JaxsegError(f"{root}: holds no files to read ({names}{', '.join(wanted)}){first}")
    return Found(sorted(files), list(map(printable, left_out)))


def find_files(
    root: str | Path, suffixes: Sequence[str] | None = None, *, pattern: str = "*"
) -> list[Path]:
    """The files of `scan`; JaxsegError for the first that it refuses."""
    found = scan(root, suffixes, pattern=pattern)
    if found.left_out:
        raise JaxsegError(found.left_out[0])
    return found.files


def match_files(*roots: str | Path, pattern: str = "*") -> Matched:
    """Files of equal stem, one below each root, by their place below it: `case7/slice3`.

    A stem may end in _mask, _segmentation or _gt; suffixes may differ. `pattern` chooses files of
    the first root. Raises as `scan` does, and JaxsegError when no stem is common to all roots.
    """
    left_out: list[str] = []
    named = [
        _by_id(Path(root), pattern if k == 0 else "*", left_out) for k, root in enumerate(roots)
    ]
    common = set(named[0]).intersection(*named[1:])
    if not common:
        examples = " against ".join(", ".join(list(files)[:3]) for files in named)
        raise JaxsegError(f"{', '.join(map(str, roots))}: no stem in common ({examples})")
    for root, files in zip(roots, named):
        lacking = [path for name, path in files.items() if name not in common]
        others = " or ".join(str(other) for other in roots if other is not root)
        left_out += [f"{path}: no file of this stem in {others}" for path in lacking]
    pairs = [(name, tuple(files[name] for files in named)) for name in sorted(common)]
    return Matched(pairs, list(map(printable, left_out)))


def _walk(root: Path, left_out: list[str]) -> Iterator[Path]:
    """Files below `root` that are not hidden; links to folders and closed folders are left out."""

    def closed(error: OSError) -> None:
        left_out.append(f"{error.filename}: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=closed):
        here = Path(folder)
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (here / name).is_symlink()]
        left_out += [
            f"{here / name}: link to a folder; not followed, as it may loop" for name in links
        ]
        yield from (here / name for name in names if not name.startswith("."))


def _refusal(path: Path, root: Path) -> str | None:
    """Why a file is refused without opening it, or None."""
    if not _is_text(path.name):
        return f"{path.parent}/{path.name!a}: name is not valid UTF-8; rename the file"
    if not path.is_symlink():
        return None if path.is_file() else f"{path}: not a regular file"
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return f"{path}: link that loops or leads nowhere; restore what it points to"
    if not target.is_relative_to(root.resolve()):
        return f"{path}: link that leaves {root}; give the folder that holds the files"
    return None if target.is_file() else f"{path}: not a regular file"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _by_id(root: Path, pattern: str, left_out: list[str]) -> dict[str, Path]:
    """Files of a folder by their place below it, without suffix and _mask, _segmentation, _gt."""
    found = scan(root, pattern=pattern)
    left_out += found.left_out
    files: dict[str, Path] = {}
    for path in found.files:
        stem = MASK_STEMS.sub("", stem_of(path))
        name = printable((path.parent.relative_to(expand(root)) / stem).as_posix())
        if name in files:
            left_out.append(f"{path}: same stem as {files[name].name}; keep one of them")
        else:
            files[name] = path
    return files
