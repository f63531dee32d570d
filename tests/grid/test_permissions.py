"""What may not be read or written is named as such: it is neither damaged nor absent."""

import os
import shutil

import pytest
from run_oracles import PAIR, assert_equal, read_counts
from unprivileged import permissions_hold

from jaxseg.data.prepare import prepare_views
from jaxseg.errors import JaxsegError, check_writable
from jaxseg.grid.checkpoints import restore_cell
from jaxseg.grid.loading import load_cell
from jaxseg.grid.run import run_grid
from jaxseg.grid.storage import write_bytes
from jaxseg.report.export import check_out

CELL = "0.01-s0"
LESIONS = {"name": "lesion_phantoms", "split": "test[:6]", "size": 32, "views": ["full"]}


@pytest.fixture
def run(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def without():
    """Takes a path's permissions away until the test ends."""
    taken = []

    def take(path, mode=0):
        taken.append((path, path.stat().st_mode))
        path.chmod(mode)
        return path

    yield take
    for path, mode in taken:
        path.chmod(mode)


@pytest.mark.parametrize(
    "part", [".", "checkpoints", "checkpoints/{cell}", "checkpoints/{cell}/{number}",
             "checkpoints/{cell}/{number}/meta", "checkpoints/{cell}/{number}/meta/metadata",
             "checkpoints/{cell}/{number}/variables"],
)  # fmt: skip
def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged_or_absent(run, without, part):
    (number,) = (p.name for p in (run / "checkpoints" / CELL).iterdir() if p.name.isdecimal())
    path = without(run / part.format(cell=CELL, number=number))
    with pytest.raises((JaxsegError, PermissionError)) as refused, permissions_hold():
        load_cell(run, CELL)
    said = str(refused.value)
    assert "ermission denied" in said and str(path) in said and "damaged" not in said


def test_a_state_that_may_not_be_read_is_not_begun_again(run, without, tiny_config):
    for kept in (run / "status").iterdir():
        kept.unlink()
    before = read_counts(run)
    (meta,) = (run / "checkpoints" / CELL).glob("*/meta/metadata")
    without(meta)
    with pytest.raises((JaxsegError, OSError), match="ermission denied"), permissions_hold():
        run_grid(tiny_config, PAIR, run)
    meta.chmod(0o644)
    run_grid(tiny_config, PAIR, run)
    assert_equal(read_counts(run), before)
    assert restore_cell(run, CELL)[1]["kind"] == "variables"


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path, without, monkeypatch):
    monkeypatch.delenv("JAXSEG_CACHE", raising=False)
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir()
    without(tmp_path / "closed", 0o500)
    for place in (tmp_path / "closed", tmp_path / "closed" / "new", tmp_path / "file"):
        with pytest.raises(JaxsegError, match="set JAXSEG_CACHE or") as refused, permissions_hold():
            prepare_views(**LESIONS, data_dir=place)
        assert str(place) in str(refused.value)


def test_a_read_only_cache_serves_what_is_prepared(cache, tmp_path, without):
    prepare_views(**LESIONS, data_dir=cache)
    shutil.copytree(cache, tmp_path / "cache")
    for folder, _, _ in os.walk(tmp_path / "cache"):
        without(type(tmp_path)(folder), 0o500)
    with permissions_hold():
        (store,) = prepare_views(**LESIONS, data_dir=tmp_path / "cache").values()
    assert len(store.ids) == 6


def test_prepared_data_that_may_not_be_read_is_not_called_damaged(cache, tmp_path, without):
    prepare_views(**LESIONS, data_dir=cache)
    shutil.copytree(cache, tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("images.npy"):
        without(path)
    with pytest.raises(PermissionError, match=r"images\.npy"), permissions_hold():
        prepare_views(**LESIONS, data_dir=tmp_path / "cache")


def test_an_output_folder_is_refused_before_the_work(tmp_path, without):
    (tmp_path / "out").mkdir()
    without(tmp_path / "out", 0o500)
    with permissions_hold():
        for folder in (tmp_path / "out", tmp_path / "out" / "new" / "one"):
            with pytest.raises(JaxsegError, match=r"--out .*/out.*: permission denied"):
                check_out(folder)
        check_writable("--out", tmp_path / "another")
    without(tmp_path / "out", 0)
    with pytest.raises(JaxsegError, match="denied, it may not be read"), permissions_hold():
        check_out(tmp_path / "out")


def test_files_are_readable_to_whom_the_umask_says_and_need_no_chmod(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    former = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a" / "b.json", b"1")
    finally:
        os.umask(former)
    assert (tmp_path / "a" / "b.json").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]
