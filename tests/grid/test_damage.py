"""Files of a workdir that are cut short or hold another byte: refused or done again, never used."""

import contextlib
import logging
import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest
from etils import epath
from run_oracles import PAIR, assert_equal, read_counts, read_metrics

from jaxseg.data.arrays import naming, read_member
from jaxseg.errors import DamagedError, JaxsegError
from jaxseg.grid import checkpoints, chunk, loading, storage
from jaxseg.grid import workdir as files
from jaxseg.grid.run import run_grid
from jaxseg.texts import check_digest, read_with_digest, with_digest

CELLS = ("0.01-s0", "0.05-s0")


def _flip(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def _cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.fixture
def copied(undisturbed, tmp_path):
    """A finished workdir of its own."""
    return epath.Path(shutil.copytree(undisturbed, tmp_path / "run"))


def _checkpoint_files(workdir):
    found = (pathlib.Path(workdir) / "checkpoints").rglob("*")
    return sorted(path for path in found if path.is_file())


# Of the reads that Orbax leaves behind when one fails, some end while pytest looks on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", [_cut, _flip], ids=["cut", "flipped"])
def test_a_damaged_checkpoint_is_refused_or_its_arrays_are_whole(copied, damage):
    expected, _ = checkpoints.restore_cell(copied, CELLS[1])
    refused = set()
    for path in _checkpoint_files(copied):
        whole = path.read_bytes()
        damage(path)
        try:
            tree, _ = checkpoints.restore_cell(copied, CELLS[1])
            jax.tree.map(np.testing.assert_array_equal, tree, expected)
        except DamagedError as error:
            assert "delete" in str(error) and "\n" not in str(error)
            refused.add(path.name)
        path.write_bytes(whole)
    assert {"metadata", "_METADATA", "manifest.ocdbt"} <= refused
    assert len(refused) >= 4  # the arrays lie in one file or more, as Orbax packs them


def test_a_damaged_checkpoint_does_not_hide_the_cells_of_others(undisturbed, copied):
    other = pathlib.Path(copied) / "checkpoints" / "other"
    shutil.copytree(pathlib.Path(undisturbed) / "checkpoints" / CELLS[0], other)
    (meta,) = other.glob("*/meta/metadata")
    _cut(meta)
    loading.load_cell(copied, CELLS[0])
    for ask in (checkpoints.find_cells, lambda w: loading.load_cell(w, "unknown")):
        with pytest.raises(DamagedError, match=r"checkpoints/other/\d+: damaged"):
            ask(copied)


def test_arrays_that_are_whole_but_others_are_refused(copied):
    _, meta = checkpoints.restore_cell(copied, CELLS[0])
    (folder,) = (copied / "checkpoints").iterdir()
    with pytest.raises(DamagedError, match="do not agree with their digest"):
        checkpoints.restore_chunk(folder, meta | {"arrays": "0" * 64})


def test_a_digest_knows_values_names_shapes_and_types_but_no_containers():
    a, b = np.zeros((2, 3), np.float32), np.int32(1)
    digest = checkpoints.tree_digest({"x": [a, b]})
    assert digest == checkpoints.tree_digest({"x": {"1": b, "0": jax.numpy.asarray(a)}})
    others = [[a + 1, b], [a.reshape(3, 2), b], [a.astype(np.int32), b], [a, b, None, b]]
    assert digest not in {checkpoints.tree_digest({"x": other}) for other in others}
    assert digest != checkpoints.tree_digest({"y": [a, b]})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["metadata", "manifest.ocdbt"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_run_that_finds_a_damaged_checkpoint_trains_anew_and_says_so(
    undisturbed, tiny_config, tmp_path, monkeypatch, capsys, name, epochs
):
    """Of a chunk in training and of one that is trained but not scored."""
    real, calls = checkpoints.save, []

    def save(*args):
        real(*args)
        calls.append(1)
        if len(calls) == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "save", save)
        run_grid(tiny_config, PAIR, tmp_path)
    (path,) = (p for p in _checkpoint_files(tmp_path) if p.name == name and "ocdbt." not in str(p))
    _flip(path)
    feed, fed = chunk.chunk_batches, []
    monkeypatch.setattr(
        chunk, "chunk_batches", lambda *a: (fed.append(1) or batch for batch in feed(*a))
    )
    run_grid(tiny_config, PAIR, tmp_path)
    assert len(fed) == 12
    said = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert (
        len(said) == 1 and "training 0.01-s0 and the other cells of the checkpoint from" in said[0]
    )
    assert_equal(read_counts(tmp_path), read_counts(undisturbed))
    assert read_metrics(tmp_path) == read_metrics(undisturbed)
    loading.load_cell(tmp_path, CELLS[0])


@pytest.mark.parametrize("damage", [_cut, _flip], ids=["cut", "flipped"])
def test_a_damaged_config_of_a_resumed_run_is_named(copied, tiny_config, damage):
    damage(copied / "config.json")
    with pytest.raises(DamagedError, match=r"config.json: damaged: .*; ") as refused:
        run_grid(tiny_config, PAIR, copied)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["", '{"status": ', "[1]", '{"status": "dnne"}', "{}"])
@pytest.mark.parametrize("name", ["status/0.05-s0.json", "progress/0-of-1.json"])
def test_what_a_process_wrote_is_written_again_where_it_is_damaged(
    copied, undisturbed, tiny_config, name, content
):
    (copied / name).write_text(content)
    run_grid(tiny_config, PAIR, copied)
    assert_equal(read_counts(copied), read_counts(undisturbed))
    assert (copied / "cells.csv").read_bytes() == (undisturbed / "cells.csv").read_bytes()
    assert (copied / "metrics.jsonl").read_bytes() == (undisturbed / "metrics.jsonl").read_bytes()


def test_of_damaged_losses_it_is_as_if_there_were_none(copied, undisturbed, tiny_config):
    _cut(copied / "metrics/0.05-s0.json")
    run_grid(tiny_config, PAIR, copied)
    assert_equal(read_counts(copied), read_counts(undisturbed))
    assert {row["cell"] for row in read_metrics(copied)} == {"0.01-s0"}


@pytest.mark.parametrize("name", ["status/0.05-s0.json", "counts/0.05-s0.npz"])
def test_without_the_damaged_file_the_same_command_ends(copied, undisturbed, tiny_config, name):
    (copied / name).unlink()
    run_grid(tiny_config, PAIR, copied)
    assert_equal(read_counts(copied), read_counts(undisturbed))


@pytest.mark.parametrize("name", ["cells.csv", "metrics.jsonl"])
def test_merged_files_are_written_again(copied, undisturbed, tiny_config, name):
    _flip(copied / name)
    run_grid(tiny_config, PAIR, copied)
    assert (copied / name).read_bytes() == (undisturbed / name).read_bytes()


def test_no_byte_of_an_npz_changes_what_is_read(tmp_path):
    path, arrays = tmp_path / "a.npz", {"x": np.arange(4), "y": np.float32(2)}
    storage.write_arrays(path, arrays)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            with naming(path):
                stored = {name: read_member(path, name) for name in arrays}
            assert all(np.array_equal(stored[name], arrays[name]) for name in arrays)
        except DamagedError as error:
            assert "a.npz: damaged: cannot be read" in str(error)


def test_digests(tmp_path):
    content = {"a": (1, 2), "loss": float("nan"), "text": "é"}
    path = tmp_path / "x.json"
    storage.write_with_digest(path, content)
    assert read_with_digest(path)["a"] == [1, 2]
    assert check_digest(with_digest(content), path) == content
    whole = path.read_bytes()
    for place in range(len(whole) - 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert str(read_with_digest(path)) == str({"a": [1, 2], "loss": np.nan, "text": "é"})
        except DamagedError as error:
            assert "delete it" in str(error)
    with pytest.raises(DamagedError, match="has no digest"):
        check_digest({}, path)


def test_other_data_than_a_workdir_was_begun_with_is_refused(tmp_path):
    workdir = epath.Path(tmp_path)
    files.check_data(workdir, {"folders/train/full-32": "a"})
    files.check_data(workdir, {"folders/train/full-32": "a", "folders/test/full-32": "b"})
    with pytest.raises(JaxsegError, match=r"other images .*\(folders/test/full-32 differs\)"):
        files.check_data(workdir, {"folders/train/full-32": "a", "folders/test/full-32": "c"})


def test_what_a_failed_read_leaves_behind_stays_muted_when_others_succeed():
    log, hook = logging.getLogger("asyncio"), sys.unraisablehook
    filters = [*log.filters]
    checkpoints._mute_leftovers.cache_clear()
    late = logging.makeLogRecord({"msg": "Future exception was never retrieved"})
    try:
        with checkpoints.failing_quietly():
            pass
        assert log.filters == filters and sys.unraisablehook is hook
        with contextlib.suppress(ValueError), checkpoints.failing_quietly():
            raise ValueError
        with checkpoints.failing_quietly():
            pass
        assert not log.filter(late)
    finally:
        log.filters[:], sys.unraisablehook = filters, hook
        checkpoints._mute_leftovers.cache_clear()


def test_a_chunk_of_many_cells_is_read_and_one_of_huge_cells_is_not_called_damaged():
    folder, gib = epath.Path("run/checkpoints/a/0"), 2**28  # float32
    for cells, size in ((100, 1), (1, 4)):
        arrays = {"x": jax.ShapeDtypeStruct((cells, size * gib), np.float32)}
        checkpoints._check_arrays(folder, arrays, cells)
    arrays = {"x": jax.ShapeDtypeStruct((2, 5 * gib), np.float32)}
    with pytest.raises(JaxsegError, match="5368709120 bytes a cell, must be at most") as refused:
        checkpoints._check_arrays(folder, arrays, 2)
    assert not isinstance(refused.value, DamagedError)
