"""Files of a workdir, local or in an object store (gs://…), written whole or not at all."""

import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path as LocalPath
from typing import Any

import numpy as np
from etils.epath import Path

from jaxseg.errors import JaxsegError, disk_errors
from jaxseg.escape import one_line

LIMIT_BYTES = 2**28  # of a text file: a hundred times what the largest grids write
MAX_NESTED = 64
MEND = "delete it and run the same command again"


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
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


def read_text(path: Path | LocalPath, mend: str = MEND) -> str:
    """The text of a small file; JaxsegError for one that is no UTF-8 or over LIMIT_BYTES."""
    found = path.stat()  # epath has a form of its own
    size = found.st_size if isinstance(found, os.stat_result) else found.length
    if size > LIMIT_BYTES:
        raise JaxsegError(f"{path}: {size} bytes, must be at most {LIMIT_BYTES}; {mend}")
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise JaxsegError(f"{path}: damaged ({one_line(error)}); {mend}") from error


def parse_json(text: str, where: object, mend: str = MEND) -> dict[str, Any]:
    """The object that JSON text holds; JaxsegError naming `where` for any other text."""
    try:
        found = json.loads(text)
        # What later walks the tree must not run out of stack.
        if text.count("[") + text.count("{") > MAX_NESTED and _depth(found) > MAX_NESTED:
            raise ValueError(f"nested more than {MAX_NESTED} deep")
    except (ValueError, RecursionError) as error:
        raise JaxsegError(
            f"{where}: damaged (not valid JSON: {one_line(error)}); {mend}"
        ) from error
    if not isinstance(found, dict):
        raise JaxsegError(f"{where}: holds {type(found).__name__}, must be a JSON object; {mend}")
    return found


def read_json(path: Path | LocalPath, mend: str = MEND) -> dict[str, Any]:
    """Reads a JSON object; raises JaxsegError for a damaged file and anything else in it."""
    return parse_json(read_text(path, mend), path, mend)


def is_number(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether a value of a JSON file is a finite number from `least` to `most`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return least <= value <= most and abs(value) <= sys.float_info.max


def _depth(tree: Any) -> int:
    level, depth = [tree], 0
    while level:
        inner = [node.values() if isinstance(node, dict) else node for node in level
                 if isinstance(node, dict | list)]  # fmt: skip
        level, depth = [child for node in inner for child in node], depth + 1
    return depth


def names(folder: Path | LocalPath, suffix: str) -> list[str]:
    """Names without `suffix` of the files in a folder that end in it, sorted; none if no folder."""
    if not folder.is_dir():
        return []
    found = [path.name for path in folder.iterdir()]
    whole = [n for n in found if n.endswith(suffix) and not n.startswith(".")]
    return sorted(name.removesuffix(suffix) for name in whole)
