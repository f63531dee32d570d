"""progress.json counts the seconds of every run of a workdir, those that were cut short too."""

import json
import time

import pytest
from run_oracles import PAIR

from jaxseg.errors import JaxsegError
from jaxseg.grid import record, run
from jaxseg.grid.processes import Share
from jaxseg.grid.run import run_grid
from jaxseg.grid.storage import as_folder
from jaxseg.grid.workdir import read_progress

PLACE = "progress/0-of-1.json"


def _wall(workdir):
    return read_progress(as_folder(workdir) / PLACE)["wall_s"]


def test_interrupted_and_failed_runs_count(tiny_config, tmp_path, monkeypatch):
    tiny_config["optim"]["epochs"] = 1
    store, open_workdir = run.record.store_counts, run.files.open_workdir
    calls, opened = [], []
    least = most = 0.0  # the clock of a run holds what is within it, and no more than all of it

    def noted(*args):
        opened.append(time.monotonic())
        return open_workdir(*args)

    def cut_short(*args):
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.5)
            inside.append(time.monotonic() - opened[-1])
            raise KeyboardInterrupt
        inside.append(time.monotonic() - opened[-1])
        if len(calls) == 2:
            raise ZeroDivisionError
        return store(*args)

    monkeypatch.setattr(run.files, "open_workdir", noted)
    monkeypatch.setattr(run.record, "store_counts", cut_short)
    for error in (KeyboardInterrupt, ZeroDivisionError, None):
        inside, clock = [], time.monotonic()
        if error is None:
            run_grid(tiny_config, PAIR, tmp_path)
        else:
            with pytest.raises(error):
                run_grid(tiny_config, PAIR, tmp_path)
        least, most = least + inside[-1], most + time.monotonic() - clock
        assert least - 0.001 <= _wall(tmp_path) <= most + 0.001
    total = json.loads((tmp_path / "progress.json").read_text())
    assert total["wall_s"] == _wall(tmp_path)
    assert total["evaluate_s"] >= 0.5 and total["train_s"] > 0
    parts = ("prepare_s", "compile_s", "train_s", "evaluate_s")
    assert sum(total[part] for part in parts) <= total["wall_s"] + 0.1
    run_grid(tiny_config, PAIR, tmp_path)  # nothing is missing: nothing is added
    assert json.loads((tmp_path / "progress.json").read_text()) == total


def test_of_a_killed_run_what_was_written_on_the_way_counts(tmp_path, monkeypatch):
    folder = as_folder(tmp_path)
    seconds = record.Seconds(folder, Share())
    seconds.write_now_and_then()
    assert not list(tmp_path.iterdir())  # not every step
    seconds["train_s"] += 2.0
    seconds.since -= 100.0
    seconds.write_now_and_then()
    assert _wall(tmp_path) == pytest.approx(100.0, abs=0.5) and seconds["train_s"] == 0
    seconds.write_now_and_then()
    seconds.write()
    found = read_progress(folder / PLACE)
    assert found["train_s"] == 2.0 and found["wall_s"] == pytest.approx(100.0, abs=0.5)


def test_a_run_that_fails_says_its_own_error_not_that_of_the_file(tmp_path):
    (tmp_path / "progress").touch()  # no folder, so that no file can be written below it
    seconds = record.Seconds(as_folder(tmp_path), Share())
    with pytest.raises(JaxsegError, match="own"), seconds.written():
        raise JaxsegError("own")
    with pytest.raises(OSError), seconds.written():
        pass


@pytest.mark.parametrize("content", ["{}", "no JSON", '{"wall_s": "long", "train_s": 2}'])
def test_of_a_damaged_file_it_is_as_if_it_was_not_there(tmp_path, content):
    (tmp_path / "progress").mkdir()
    (tmp_path / PLACE).write_text(content)
    with record.Seconds(as_folder(tmp_path), Share()).written():
        pass
    assert 0 <= _wall(tmp_path) < 5
