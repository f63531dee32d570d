"""Progress in log files: few lines, with the time left."""

from jaxseg import progress


def test_lines_are_rare_and_count(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.track(range(10), 10, "preparing")) == list(range(10))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "preparing: 3/10, about 28 s left"
    assert len(lines) == 3


def test_short_loops_print_nothing(capsys):
    assert list(progress.track(range(10), 10, "x")) == list(range(10))
    assert capsys.readouterr().err == ""
