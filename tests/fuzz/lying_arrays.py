"""npy and npz files that lie: headers, payloads and members that do not belong together."""

import functools
import io
import pickle
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from strategies import TEXTS, mutated


class Evil:
    """Unpickling this would call a function; no reader may."""

    def __reduce__(self):
        return print, ("unpickled",)


DTYPES = ("|u1", "|b1", "<f4", "<f8", "<i8", ">u2", "<c16", "|O", "<U4", "|S3", "|V8", "<M8[s]")
DTYPES += ("bad", [["a", "<i4"]], ("<f8", (10**9,)), None, 7)
SIZES = (0, 1, 2, 3, 4, 20, 24, 10_000, 10**6, 2**31, 2**62, 2**64, -1, -20, True, 1.5)
HEADERS = ("(" * 300, "-" * 4000 + "1", "{", "{}", "[1]", "{'descr':'|u1'}", "\ud800", "9" * 9000)


def npy(descr: Any, fortran: Any, shape: Any, payload: bytes, version=(1, 0), text=None) -> bytes:
    """An npy file with this header, whatever follows it."""
    described = {"descr": descr, "fortran_order": fortran, "shape": shape}
    header = (repr(described) if text is None else text).encode("utf-8", "surrogatepass")
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    form = "<H" if version == (1, 0) else "<I"
    length = struct.pack(form, min(len(header), 65535))
    return b"\x93NUMPY" + bytes(version) + length + header + payload


def arrays() -> st.SearchStrategy[bytes]:
    """npy files: honest ones, and headers and payloads that do not belong together."""
    payloads = [bytes(480), b"\x01" * 480, bytes(3), b"", pickle.dumps([Evil()] * 4)]
    odd = st.builds(
        npy,
        st.sampled_from(DTYPES),
        st.sampled_from((False, True, 0, "x")),
        st.lists(st.sampled_from(SIZES), max_size=4).map(tuple) | st.sampled_from((5, None, "ab")),
        st.sampled_from(payloads),
        st.sampled_from(((1, 0), (2, 0), (3, 0), (9, 9))),
        st.none() | st.sampled_from(HEADERS),
    )
    shapes = st.sampled_from(((24, 20), (24, 20, 3), (1, 24, 20), (24, 20, 4), (0, 20)))
    honest = st.builds(_saved, shapes, st.sampled_from(("u1", "b1", "f4", "i8", "u2")))
    return odd | honest | mutated([_saved((24, 20), "u1"), _saved((24, 20, 3), "f4")])


def _saved(shape: tuple[int, ...], kind: str, fortran: bool = False) -> bytes:
    buffer = io.BytesIO()
    array = (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype(kind)
    np.save(buffer, np.asfortranarray(array) if fortran else array)
    return buffer.getvalue()


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these members, equal names and all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content)
    return buffer.getvalue()


@functools.cache
def _bomb() -> bytes:
    return npy("|u1", False, (9000, 9000), bytes(81 << 20))


@functools.cache
def archives(names: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """npz files with members of these and hostile names; some damaged, one a bomb."""
    name = st.sampled_from(
        (*names, *(text for text in TEXTS if len(text) < 60 and "\0" not in text))
    )
    member = st.tuples(name.map(lambda text: f"{text}.npy"), arrays())
    bombs = [
        zipped([(f"{names[0]}.npy", _bomb())]),
        zipped([(f"{names[0]}.npy", npy("|u1", False, (2**40,), b""))]),
    ]
    honest = [zipped([(f"{names[0]}.npy", _saved((24, 20), "u1"))])]
    made = st.lists(member, max_size=3).map(zipped)
    return made | made | mutated([*honest, bombs[1]]) | st.sampled_from([*bombs, *honest])
