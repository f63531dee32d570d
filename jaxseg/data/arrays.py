"""npy and npz files from outside: never unpickled, checked by their headers before they are read.

Errors are JaxsegErrors, one line that names the file.
"""

import contextlib
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path as LocalPath
from typing import IO

import numpy as np
from etils.epath import Path as StorePath
from numpy.typing import NDArray

from jaxseg.errors import DamagedError, JaxsegError, one_line
from jaxseg.texts import AGAIN

LIMIT_BYTES = 2**30  # of one array
Path = LocalPath | StorePath
Shape = tuple[int, ...]
Check = Callable[[Path, Shape, np.dtype], None]

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DAMAGE = (OSError, EOFError, ValueError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error)
DAMAGE += (OverflowError, MemoryError)
# The header of an npy file is parsed as Python text: what that may raise for any text.
_BAD_HEADER = (*DAMAGE, SyntaxError, KeyError, IndexError, tokenize.TokenError)


@contextlib.contextmanager
def naming(path: Path, mend: str = AGAIN) -> Iterator[None]:
    """Turns errors of reading an array of a workdir into DamagedError, which names the remedy."""
    try:
        yield
    except JaxsegError as error:
        said = str(error).removeprefix(f"{path}: ")
        raise DamagedError(path, f"cannot be read ({said})", mend) from error


def check_array(path: Path, shape: Shape, dtype: np.dtype) -> None:
    """Raises JaxsegError unless it holds numbers or text of at most LIMIT_BYTES."""
    if dtype.kind not in "buifU":
        raise JaxsegError(f"{path}: dtype {dtype}; must hold numbers (pickles are never read)")
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > LIMIT_BYTES:
        raise JaxsegError(
            f"{path}: declares an array of shape {shape} and dtype {dtype}; must be at most "
            f"{LIMIT_BYTES} bytes"
        )


def read_array(file: IO[bytes], path: Path, check: Check = check_array) -> NDArray:
    """The array of an open npy file; `check` sees shape and dtype before it is read."""
    try:
        version = np.lib.format.read_magic(file)
        shape, _, dtype = _HEADERS[version](file)
    except _BAD_HEADER as error:
        raise JaxsegError(f"{path}: not a valid npy array ({one_line(error)})") from error
    check(path, shape, dtype)
    try:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    except DAMAGE as error:
        raise JaxsegError(f"{path}: shorter than its header says ({one_line(error)})") from error


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (*DAMAGE, KeyError) as error:
        raise JaxsegError(f"{path}: not a readable npz file ({one_line(error)})") from error


def array_names(path: Path) -> list[str]:
    """Names of the arrays in an npz file."""
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_member(path: Path, name: str, check: Check = check_array) -> NDArray:
    """The array called `name` of an npz file that has one."""
    with _archive(path) as archive:
        full = name if name in archive.namelist() else f"{name}.npy"
        with archive.open(full) as member:
            return read_array(member, path, check)
