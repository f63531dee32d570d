"""Prepared arrays on disk: two .npy files that are mapped, not read; written so as to be resumed.

A store is a folder with images.npy, masks.npy and store.json, which holds checksums of both. While
it is being written its name ends in .partial and done.json counts what has safely reached the disk;
the rename comes last.
"""

import contextlib
import errno
import io
import json
import math
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.data.masks import foreground
from jaxseg.errors import DamagedError, JaxsegError
from jaxseg.texts import read_with_digest, with_digest

SAVE_EVERY = 64  # images between two safe points
_PARTS = ("images", "masks")
_MEND = "delete the folder to redo it"


class Prepared(NamedTuple):
    """A prepared view of a split, memory-mapped and read-only.

    `images` uint8 [n, v, s, s, 3] in 0..255, `masks` uint8 [n, v, s, s] class indices with 0 the
    background, `ids` the n names, `classes` the names of the foreground classes 1, 2, …;
    `name` is the store's below its source's folder; `checksum` is that of images and masks. `lost`
    has, for each image of which resizing has emptied a mask, the side in pixels from which on none
    would be. `taken` states how the masks are read and `cautions` what limits their
    use; `digests` are those of the files of each image, empty for generated ones; `splits` are the
    splits that the data set has, with their numbers of images.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    name: str = ""
    checksum: str = ""
    lost: tuple[int, ...] = ()
    taken: str = ""
    cautions: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    splits: tuple[tuple[str, int], ...] = ()


def store_folder(
    data_dir: Path, source: tuple[str, str, str], split: str, size: int, view: str
) -> Path:
    """Folder of one store; `source` is (builder, version, fingerprint of its files)."""
    words = {"[": "_from", ":": "_to", "%": "pct", "]": "", "+": "_and_", " ": ""}
    slug = re.sub(r"[\[:%\]+ ]", lambda match: words[match[0]], split)
    return data_dir / "prepared" / "-".join(source) / slug / f"{view}-{size}"


def load_store(folder: Path) -> Prepared | None:
    """Maps a finished store; None when there is none; DamagedError when it cannot be mapped."""
    if not (folder / "store.json").is_file():
        return None
    described = read_with_digest(folder / "store.json", _MEND)
    try:
        images, masks = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in _PARTS)
        if not len(images) == len(masks) == len(described["ids"]):
            raise ValueError("lengths differ")
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        raise DamagedError(folder, str(error), _MEND) from error
    ids, classes = tuple(described["ids"]), tuple(described["classes"])
    checksum = "-".join(f"{described['checksums'][part]:08x}" for part in _PARTS)
    lost = tuple(side for _, side in described.get("lost", []))
    name = f"{folder.parent.name}/{folder.name}"
    return Prepared(images, masks, ids, classes, name, checksum, lost)


def checksums(name: str, stores: Iterable[Prepared]) -> dict[str, str]:
    """{data set `name`/store: checksum}, by which a later run recognises the same data."""
    return {f"{name}/{store.name}": store.checksum for store in stores}


def verify_store(folder: Path) -> None:
    """Raises DamagedError unless the arrays of a finished store are those that were written.

    Reads them once, at about 2 GB/s; training reads them anyway.
    """
    checksums = read_with_digest(folder / "store.json", _MEND)["checksums"]
    for part in _PARTS:
        path = folder / f"{part}.npy"
        found = 0
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                found = zlib.crc32(piece, found)
        if found != checksums[part]:
            raise DamagedError(path, "is not what was prepared", "delete its folder to redo it")


def store_bytes(n_images: int, views: int, side: int) -> int:
    """Bytes that a store of this shape takes on disk."""
    return n_images * views * side * side * 4


def check_space(folder: Path, needed: int) -> None:
    """Raises JaxsegError when the disk below `folder` has fewer than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise disk_full(folder, needed, free)


def disk_full(folder: Path, needed: int, free: int) -> JaxsegError:
    """The error that names the folder and the bytes that are required."""
    return JaxsegError(
        f"{folder}: disk full, {needed} bytes required and {free} free; make room, or set "
        "data.data_dir or JAXSEG_CACHE to another disk"
    )


class StoreWriter:
    """Writes one store from image 0, or from the last safe point of an interrupted writer."""

    def __init__(self, folder: Path, n_images: int, views: int, side: int):
        self.folder = folder
        self._partial = folder.with_name(folder.name + ".partial")
        self._partial.mkdir(parents=True, exist_ok=True)
        self._needed = store_bytes(n_images, views, side)
        self.ids: list[str] = []
        self._sums: list[int] = []
        self._lost: list[list[int]] = []
        self._files: list[BinaryIO] = []
        shapes = [(n_images, views, side, side, 3), (n_images, views, side, side)]
        headers = []
        for shape in shapes:
            buffer = io.BytesIO()
            about = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(buffer, about)
            headers.append(buffer.getvalue())
        self._find_safe_point(headers)
        for part, shape, header in zip(_PARTS, shapes, headers):
            file = (self._partial / f"{part}.npy").open("r+b" if self.ids else "wb")
            if not self.ids:
                file.write(header)
            file.seek(len(header) + math.prod(shape[1:]) * len(self.ids))
            file.truncate()
            self._files.append(file)

    def _find_safe_point(self, headers: list[bytes]) -> None:
        """Takes over what an earlier writer has left, where its arrays have the same shapes."""
        self._sums = [zlib.crc32(header) for header in headers]
        for part, header in zip(_PARTS, headers):
            path = self._partial / f"{part}.npy"
            if not path.is_file():
                return
            with path.open("rb") as file:
                if file.read(len(header)) != header:
                    return
        with contextlib.suppress(DamagedError, FileNotFoundError):
            done = read_with_digest(self._partial / "done.json")
            self.ids, self._sums, self._lost = done["ids"], done["sums"], done.get("lost", [])

    def append(
        self,
        index: int,
        images: NDArray[np.uint8],
        masks: NDArray[np.uint8],
        name: str,
        lost: int = 0,
    ) -> None:
        """Adds image `index` (uint8 [v, s, s, 3] and [v, s, s]) unless the store holds it already.

        `lost` is as in Prepared, 0 where resizing has emptied no mask.
        """
        if index < len(self.ids):
            return
        with self._disk_errors():
            for i, array in enumerate((images, masks)):
                content = np.ascontiguousarray(array).data
                self._files[i].write(content)
                self._sums[i] = zlib.crc32(content, self._sums[i])
        self.ids.append(name)
        if lost:
            self._lost.append([index, lost])
        if len(self.ids) % SAVE_EVERY == 0:
            self.save()

    def save(self) -> None:
        """Writes what was appended to the disk, so that a kill or a power cut cannot lose it."""
        with self._disk_errors():
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
            done = {"ids": self.ids, "sums": self._sums, "lost": self._lost}
            _write_json(self._partial / "done.json", with_digest(done))

    def has_foreground(self) -> bool:
        """Whether any mask written so far holds anything but background."""
        self.save()
        masks = np.load(self._partial / "masks.npy", mmap_mode="r")[: len(self.ids)]
        return any(foreground(mask).any() for mask in masks)

    @property
    def lost_side(self) -> int:
        """The largest `lost` of any image; 0 where resizing has emptied no mask."""
        return max((side for _, side in self._lost), default=0)

    def finish(self, classes: Sequence[str]) -> None:
        """Turns the partial store into a finished one, in one rename."""
        self.save()
        self.close()
        sums = dict(zip(_PARTS, self._sums, strict=True))
        about = {"ids": self.ids, "classes": list(classes), "checksums": sums, "lost": self._lost}
        with self._disk_errors():
            _write_json(self._partial / "store.json", with_digest(about))
        (self._partial / "done.json").unlink()
        self._partial.rename(self.folder)

    def close(self) -> None:
        """Closes the files; what has not been saved is written again by the next writer."""
        for file in self._files:
            with contextlib.suppress(OSError):  # a full disk cannot hold what is yet to be saved
                file.close()

    def discard(self) -> None:
        """Removes the partial store."""
        self.close()
        shutil.rmtree(self._partial)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = shutil.disk_usage(self._partial).free
            raise disk_full(self._partial, self._needed, free) from error


def _write_json(path: Path, value: object) -> None:
    beside = path.with_suffix(".tmp")
    with beside.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
