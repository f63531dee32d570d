"""Hostile bytes: honest files flipped, cut and spliced, headers that lie, values out of place."""

import copy
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from hypothesis import strategies as st

from jaxseg.texts import with_digest

EXTREME = (0, 1, 2, 3, 255, 256, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
TEXTS = ("", "=1+1", "-0.3", "a\nb", "<script>x</script>", "$\\frac{$", "$x$", "\ud800", "\x00")
TEXTS += ("../../etc/x", "ü" * 300, "nan", "1e999", "9" * 5000, "--limit", "\x1b[2J", "done")


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
    digested = "digest" in tree  # whoever changes it may compute it again
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
    if digested and draw(st.integers(0, 3)):
        tree = with_digest({key: value for key, value in tree.items() if key != "digest"})
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
