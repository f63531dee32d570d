"""The content of the files of a data set: digests, and the labels of masks.

Files are read once. What was found is kept in the cache, by the place of each file, and taken again
while the file's size, times and place on the disk are unchanged; with `rehash` every file is read
again. Prepared images are named by the content alone: data sets of equal names, sizes and times
never share them by mistake, and a copy in another place finds them again.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxseg.data import images, volumes
from jaxseg.data.mask_coding import FileLabels, labels_from_json, survey_file
from jaxseg.digests import read_with_digest, with_digest
from jaxseg.errors import JaxsegError

FOLDER = "index"


class FileIndex:
    """Digests and labels of the files below one root, kept in `cache`/index.

    Args:
      cache: folder of prepared data; with None nothing is kept.
      root: folder of the data set.
      rehash: read every file again, even if its size and times are unchanged.
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
        if not isinstance(entry.get("turned"), bool):
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
        files = kept.get("files")
        if kept.get("edition") != images.EDITION or not isinstance(files, dict):
            return {}
        return files

    def _entry(self, file: Path) -> dict[str, Any]:
        key = str(file)
        if key in self._checked:
            return self._known[key]
        try:
            state = _state_of(file)
            entry = self._known.get(key)
            if not isinstance(entry, dict) or entry.get("state") != state:
                with file.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                entry = {"state": state, "sha256": digest}
                self._known[key] = entry
                self._changed = True
        except OSError as error:
            raise images.cannot_open(file, error) from error
        self._checked.add(key)
        return entry


def _state_of(file: Path) -> Sequence[int]:
    """Values of which one changes with the file's content, even if size and time are set back."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
