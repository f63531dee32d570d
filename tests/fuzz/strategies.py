"""Hostile bytes: honest files flipped, cut and spliced, headers that lie, and arrays that lie."""

import copy
import functools
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from hypothesis import strategies as st

from jaxseg.seals import seal

EXTREME = (0, 1, 2, 3, 255, 256, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
TEXTS = ("", "=1+1", "-0.3", "a\nb", "<script>x</script>", "$\\frac{$", "$x$", "\ud800", "\x00")
TEXTS += ("../../etc/x", "ü" * 300, "nan", "1e999", "9" * 5000, "--limit", "\x1b[2J", "done")


class Evil:
    """Unpickling this would call a function; no reader may."""

    def __reduce__(self):
        return print, ("unpickled",)


@st.composite
def mutated(draw: Any, seeds: Sequence[bytes], most: int = 4) -> bytes:
    """One of `seeds` after up to `most` changes; sometimes random bytes."""
    if draw(st.integers(0, 19)) == 19:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(("flip", "cut", "insert", "number", "splice", "repeat")))
        if how == "flip":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif how == "cut":
            del data[at:]
        elif how == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif how == "number":
            form = draw(st.sampled_from((">I", "<I", ">H", "<H")))
            value = draw(st.sampled_from(EXTREME)) % (1 << 8 * struct.calcsize(form))
            data[at : at + struct.calcsize(form)] = struct.pack(form, value)
        elif how == "splice":
            other = draw(st.sampled_from(seeds))
            data[at:] = other[draw(st.integers(0, len(other))) :]
        else:
            data[at:at] = data[at : at + 64] * draw(st.integers(1, 8))
    return bytes(data)


def picture_seeds(suffix: str) -> list[bytes]:
    """Small honest pictures and masks of one format: grey, colour, 16 bits, alpha."""
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 20), np.uint8)
    mask[4:15, 3:12] = 255
    colour = rng.integers(0, 255, (24, 20, 3)).astype(np.uint8)
    pictures: list[Any] = [mask, mask // 255, colour]
    if suffix == ".png":
        pictures.append(np.dstack([colour, mask]))
    if suffix in (".png", ".tif"):
        pictures.append(colour.astype(np.uint16) * 257)
    if suffix == ".tif":
        pictures.append(mask.astype(np.float32) / 255)
    return [cv2.imencode(suffix, picture)[1].tobytes() for picture in pictures]


def with_size(data: bytes, width: int, height: int) -> bytes:
    """The picture declaring another size, its check sums made good: a bomb where it is large."""
    out = bytearray(data)
    if data.startswith(b"\x89PNG"):
        out[16:24] = struct.pack(">II", width, height)
        out[29:33] = struct.pack(">I", zlib.crc32(out[12:29]))
    elif data.startswith(b"BM"):
        out[18:26] = struct.pack("<II", width, height)
    elif data.startswith(b"\xff\xd8") and (at := data.find(b"\xff\xc0")) > 0:
        out[at + 5 : at + 9] = struct.pack(">HH", height % 65536, width % 65536)
    elif data[:2] == b"II":
        first = struct.unpack("<I", data[4:8])[0]
        for k in range(struct.unpack("<H", data[first : first + 2])[0]):
            at = first + 2 + 12 * k
            tag = struct.unpack("<H", data[at : at + 2])[0]
            if tag in (256, 257):
                out[at + 2 : at + 12] = struct.pack("<HII", 4, 1, width if tag == 256 else height)
    return bytes(out)


def pictures(suffix: str) -> st.SearchStrategy[bytes]:
    """Hostile pictures of one format."""
    seeds = picture_seeds(suffix)
    size = st.sampled_from((*EXTREME, 20000, 10000))
    return st.one_of(
        mutated(seeds), mutated(seeds), st.builds(with_size, st.sampled_from(seeds), size, size)
    )


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


def _paths(tree: Any, here: tuple = ()) -> list[tuple]:
    found = [here] if here else []
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        found += _paths(value, (*here, key))
    return found


VALUES = (
    *TEXTS,
    None,
    True,
    -1,
    0,
    1,
    3.5,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    [],
    {},
    [[]],
)
VALUES += ({"a": 1}, [1, 2], ["a", {}], "zeros", 2**31, 10**9)


@st.composite
def changed_json(draw: Any, tree: Any) -> bytes:
    """The tree as JSON with up to two values replaced, removed or nested too deeply."""
    tree = json.loads(json.dumps(tree))
    sealed = "digest" in tree  # whoever changes it may seal it again
    for _ in range(draw(st.integers(1, 2))):
        paths = _paths(tree)
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        node = tree
        for key in way:
            node = node[key]
        if draw(st.booleans()) or not isinstance(node, dict):
            node[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        else:
            del node[last]
    if sealed and draw(st.integers(0, 3)):
        tree = seal({key: value for key, value in tree.items() if key != "digest"})
    text = json.dumps(tree)
    deep = draw(st.sampled_from((0,) * 20 + (200, 900, 100_000)))
    return (text if not deep else "[" * deep + text + "]" * deep).encode("utf-8", "surrogatepass")


@st.composite
def changed_csv(draw: Any, text: str) -> bytes:
    """The table with up to three fields replaced and perhaps a row cut short or written twice."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        if row:
            row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from((*TEXTS, '"', "3", "x")))
    if draw(st.booleans()):
        row = draw(st.sampled_from(rows))
        rows.append(row[: draw(st.integers(0, len(row)))])
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")
