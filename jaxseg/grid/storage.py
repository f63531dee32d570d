"""Files of a workdir, local or in an object store (gs://…), written whole or not at all."""

import io
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path as LocalPath
from typing import Any

import numpy as np
from etils.epath import Path

from jaxseg.errors import disk_errors
from jaxseg.texts import with_digest


def as_folder(workdir: str | os.PathLike[str]) -> Path:
    """The folder as an absolute path, local or of an object store."""
    text = os.fspath(workdir)
    return Path(text if "://" in text else os.path.abspath(text))


def is_local(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies in a file system of this machine, network mounts included."""
    return "://" not in os.fspath(path)


def write_bytes(path: Path | LocalPath, content: bytes) -> None:
    """Writes a file atomically, making its folder; a full disk leaves the old file whole."""
    if not is_local(path):
        path.write_bytes(content)  # an object appears when it is complete
        return
    with disk_errors(LocalPath(path)):
        _write_and_rename(LocalPath(path), content)


def _write_and_rename(path: LocalPath, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Readable to whom the umask says; there are mounts on which modes cannot be changed afterwards.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: Path | LocalPath, content: Any) -> None:
    """Writes JSON atomically."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_arrays(path: Path | LocalPath, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a compressed .npz without pickles, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def write_with_digest(path: Path | LocalPath, content: Mapping[str, Any]) -> None:
    """Writes JSON with its digest atomically; `digests.read_with_digest` reads it."""
    write_json(path, with_digest(content))


def names(folder: Path | LocalPath, suffix: str) -> list[str]:
    """Names without `suffix` of the files in a folder that end in it, sorted; none if no folder."""
    if not folder.is_dir():
        return []
    found = [path.name for path in folder.iterdir()]
    whole = [n for n in found if n.endswith(suffix) and not n.startswith(".")]
    return sorted(name.removesuffix(suffix) for name in whole)
