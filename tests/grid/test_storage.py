import io

import numpy as np
import pytest
from etils import epath
from etils.epath import backend, gpath

from jaxseg.errors import JaxsegError
from jaxseg.grid import checkpoints, locks, run, storage
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import product
from jaxseg.studies.grid_report import write_report


@pytest.fixture
def bucket(monkeypatch):
    """An object store in memory behind gs://bucket."""
    memory = pytest.importorskip("fsspec.implementations.memory")

    class Bucket(memory.MemoryFileSystem):
        protocol = "gs"
        store, pseudo_dirs = {}, [""]

        @classmethod
        def _strip_protocol(cls, path):
            return "/" + path.removeprefix("gs://").strip("/")

    files = Bucket(skip_instance_cache=True)
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)
    monkeypatch.setattr(backend.fsspec_backend, "fs", lambda path: files)
    return epath.Path("gs://bucket/run")


def test_folders_are_absolute_and_buckets_stay_what_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.as_folder("run") == epath.Path(tmp_path / "run")
    assert str(storage.as_folder("gs://bucket/run")) == "gs://bucket/run"
    assert storage.is_local("/a:b") and not storage.is_local(epath.Path("gs://bucket/run"))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    storage.write_bytes(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(storage.os, "replace", _disk_full)
        with pytest.raises(JaxsegError, match="disk or quota full"):
            storage.write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in path.parent.iterdir()] == ["file"]


def _disk_full(*_):
    raise OSError(28, "No space left on device")


def test_names_are_whole_files_with_the_ending(tmp_path):
    assert storage.names(tmp_path / "none", ".json") == []
    for name in ("b.json", "a.json", ".a.json.x1", "c.txt"):
        (tmp_path / name).touch()
    assert storage.names(tmp_path, ".json") == ["a", "b"]


def test_locks_of_an_object_store_refuse_the_living_and_inherit_from_the_dead(bucket):
    with locks.hold(bucket, ["a"], beat_s=0.05) as check:
        refused = pytest.raises(JaxsegError, match="being trained by process")
        with refused, locks.hold(bucket, ["a", "b"], patience_s=20):
            pass
        check()
    assert storage.names(bucket / "locks", ".json") == []
    storage.write_json(bucket / "locks" / "dead.json", {"cells": ["a"], "beat": 3})
    with locks.hold(bucket, ["a"], patience_s=0.3):
        assert "dead" not in storage.names(bucket / "locks", ".json")


@pytest.mark.slow
def test_a_grid_runs_reports_and_resumes_in_an_object_store(
    bucket, tiny_config, tmp_path, monkeypatch
):
    # Orbax reaches gs:// by TensorStore, not by epath: its part lies in a folder here.
    real = checkpoints.open_manager
    monkeypatch.setattr(
        checkpoints, "open_manager", lambda _, chunk: real(epath.Path(tmp_path), chunk)
    )
    tiny_config["optim"]["epochs"] = tiny_config["net"]["depth"] = 1
    tiny_config["eval"]["test_sets"] = ("full",)
    grid = product(padding=("zeros", "reflect"), seed=(0,))
    assert run_grid(tiny_config, grid, bucket) == []
    page, _ = write_report(bucket)
    assert "<html" in page.read_text()
    assert (bucket / "figures" / "band_dice.svg").exists()
    with np.load(io.BytesIO((bucket / "counts" / "zeros-s0.npz").read_bytes())) as counts:
        assert counts["full.border"].sum() > 0
    monkeypatch.setattr(run, "make_group", None)  # nothing is left to train
    assert run_grid(tiny_config, grid, bucket) == []
    assert (bucket / "cells.csv").read_text().count("done") == 2
