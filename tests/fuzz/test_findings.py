"""What hostile input once broke: each is refused in one line now, before memory is taken for it."""

import io
import json
import re
import struct
import zlib

import nibabel
import numpy as np
import pytest
import readers_command
import readers_files as one
import readers_workdir as workdir
from guard import bounded_memory, peak_mb
from lying_arrays import HEADERS, npy, zipped
from readers import Reader, tried
from strategies import picture_seeds, with_size

from jaxseg.data.arrays import read_member
from jaxseg.data.images import read_picture
from jaxseg.errors import JaxsegError
from jaxseg.grid import locks
from jaxseg.nets.torch_import import import_state_dict, read_state_dict


def _png_whose_chunk_lies():
    png = picture_seeds(".png")[0]
    at = png.index(b"IDAT") - 4
    return png[:at] + struct.pack(">I", 2**31 - 2) + png[at + 4 :]


def _damaged_volume():
    packed = zlib.compressobj(wbits=31)
    volume = nibabel.Nifti1Image(np.zeros((9, 9, 2), np.uint8), np.eye(4)).to_bytes()
    whole = packed.compress(volume) + packed.flush()
    return whole[:14] + b"\xff" * 8 + whole[22:]


PICTURES = {
    "a chunk longer than its file": (".png", _png_whose_chunk_lies()),
    "a frame of 16 gigapixels": (".bmp", with_size(picture_seeds(".bmp")[0], 2**17, 2**17)),
    "no width": (".tif", with_size(picture_seeds(".tif")[0], 0, 24)),
    "another format": (".png", b"GIF89a" + bytes(40)),
    "a size that is a truth value": (".npy", npy("|u1", False, (1, 24, True), bytes(24))),
    "objects": (".npy", npy("|O", False, (24, 20), b"")),
    "a header without end": (".npy", npy("|u1", False, (1,), b"", text=HEADERS[1])),
    "a bomb": (".npz", zipped([("mask.npy", npy("|u1", False, (2**40, 2), b""))])),
    "a damaged stream": (".nii.gz", _damaged_volume()),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_a_file_that_lies_is_refused(name, tmp_path):
    before = peak_mb()
    read = one.audited_volume if "stream" in name else one.audited_picture
    assert (
        tried(Reader(name, lambda: None, read, 0), PICTURES[name], tmp_path / "case") == "refused"
    )
    assert peak_mb() - before < 200


def test_training_refuses_the_same_pictures(tmp_path):
    for name in ("a chunk longer than its file", "a frame of 16 gigapixels", "no width"):
        path = one.written(tmp_path, PICTURES[name])
        with pytest.raises(JaxsegError, match=r"declares|cannot be read as an image"):
            read_picture(path.read_bytes(), path)


@pytest.mark.parametrize(
    "words", [["--grid=seed=0:1000000000"], ["--grid=seed=0:" + "9" * 5000], ["--grid=seed=3:1"]]
)
def test_a_range_without_end_is_refused(words, tmp_path):
    reader = Reader("", lambda: None, readers_command.commanded, 0)
    with bounded_memory():
        assert tried(reader, words, tmp_path / "case") == "refused"


@pytest.mark.parametrize("content", [b"\x80\x02\x8a\n", b"", b"PK\x05\x06" + bytes(18)])
def test_weights_whose_reader_says_nothing_are_refused(content, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(JaxsegError, match=r"w\.pth: .+"):
        read_state_dict(tmp_path / "w.pth")


def test_weights_are_never_larger_than_their_file(tmp_path):
    torch = pytest.importorskip("torch")
    state = {"inc.double_conv.0.weight": torch.zeros(1).expand(10**6, 10**6)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(JaxsegError, match="larger than the file"):
        read_state_dict(tmp_path / "w.pth")
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(JaxsegError, match="must be a state dict"):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(JaxsegError, match="is missing"):
        import_state_dict({})


WORKDIR = {
    "cells.csv": (rb"^zeros-center-s0", b"../../zeros", "must be of"),
    "metrics.jsonl": (rb'"step": 20', b'"step": {}', "step=.* must be a number"),
    "progress.json": (rb"412.0", b'"x"', "wall_s='x': must be a number"),
    "config.json": (rb'"resamples": \d+', b'"resamples": 1000000000', "from 1 to 100000"),
    "config.json ": (rb'"resamples": \d+', b'"resamples": null', "resamples=None: must be"),
}  # fmt: skip


@pytest.mark.parametrize("file", WORKDIR)
def test_a_report_refuses_what_it_cannot_compute_with(file, tmp_path):
    pattern, new, said = WORKDIR[file]
    file = file.strip()
    content = (workdir.template("grid") / file).read_bytes()
    changed = re.sub(pattern, new, content, count=1, flags=re.MULTILINE)
    assert changed != content
    with pytest.raises(JaxsegError, match=said):
        workdir.analysed(("grid", file, changed), tmp_path)


@pytest.mark.parametrize("text", ["[" * 900 + "]" * 900, "[" * 10**5, '{"a": ' + "9" * 5000 + "}"])
def test_json_that_breaks_its_parser_is_refused(text, tmp_path):
    with pytest.raises(JaxsegError, match=r"config\.json: damaged"):
        workdir.analysed(("grid", "config.json", text.encode()), tmp_path)


@pytest.mark.parametrize("dtype, shape", [("|O", (2,)), ("<f8", (2**30,)), ("<U99999999", (99,))])
def test_arrays_of_a_workdir_are_checked_before_they_are_read(dtype, shape, tmp_path):
    (tmp_path / "a.npz").write_bytes(zipped([("x.npy", npy(dtype, False, shape, b""))]))
    with pytest.raises(JaxsegError, match=r"pickles are never read|must be at most"):
        read_member(tmp_path / "a.npz", "x")


@pytest.mark.parametrize("owner", [[1], {"cells": 3}, {"cells": [{}]}, "x"])
def test_a_lock_that_is_none_keeps_nobody_out(owner, tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/other.json").write_text(json.dumps(owner))
    with locks.hold(workdir.epath.Path(tmp_path), ["a"], patience_s=0.1) as check:
        check()


def test_a_bomb_in_an_examples_file_takes_no_memory(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=np.zeros((1, 2, 2, 3), np.uint8))
    members = [("image.npy", npy("|u1", False, (2**20, 2**10, 2**5, 3), b""))]
    before = peak_mb()
    with pytest.raises(JaxsegError, match=r"examples\.npz"):
        workdir.analysed(("grid", "examples.npz", zipped(members)), tmp_path)
    assert peak_mb() - before < 200
