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
    real, spent, calls = run.record.store_counts, [], []

    def cut_short(*args):
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.5)
            raise KeyboardInterrupt
        if len(calls) == 2:
            raise ZeroDivisionError
        return real(*args)

    monkeypatch.setattr(run.record, "store_counts", cut_short)
    for error in (KeyboardInterrupt, ZeroDivisionError):
        clock = time.monotonic()
        with pytest.raises(error):
            run_grid(tiny_config, PAIR, tmp_path)
        spent.append(time.monotonic() - clock)
        # What starts and ends a run is outside the clock: more of it on a busy machine.
        assert _wall(tmp_path) == pytest.approx(sum(spent), abs=0.5, rel=0.15)
    clock = time.monotonic()
    run_grid(tiny_config, PAIR, tmp_path)
    total = json.loads((tmp_path / "progress.json").read_text())
    assert total["wall_s"] == pytest.approx(sum(spent) + time.monotonic() - clock, abs=1.0)
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
