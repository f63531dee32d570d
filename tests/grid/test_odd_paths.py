"""Workdirs whose names a shell, a URL, a pattern or a terminal would take amiss."""

import shlex

import pytest
from run_oracles import PAIR, assert_equal, read_counts

from jaxseg.errors import UsageError
from jaxseg.grid.loading import load_variables
from jaxseg.grid.run import run_grid
from jaxseg.studies.grid_report import analyse, terminal_report, write_report
from jaxseg.studies.workdir_files import load

ODD = 'it\'s 100 % of #1, "é" & $HOME;~'


def test_an_odd_workdir_is_trained_resumed_reported_and_named_in_quotes(
    tiny_config, undisturbed, tmp_path
):
    workdir = tmp_path / ODD
    run_grid(tiny_config, PAIR, workdir)
    assert_equal(read_counts(workdir), read_counts(undisturbed))
    assert load_variables(workdir, "0.01-s0")[2]["seed"] == 0
    run_grid(tiny_config, PAIR, workdir)
    page, found = write_report(workdir)
    assert page.exists()
    last = terminal_report(found, workdir).splitlines()[-1]
    words = shlex.split(last.removeprefix("Inspect: "))
    assert words[:3] == ["jaxseg", "inspect", str(workdir)]


def test_a_workdir_in_an_object_store_is_named_as_the_user_gave_it(undisturbed, tmp_path):
    text = terminal_report(analyse(load(undisturbed)), "gs://bucket/my run")
    assert "Report:  gs://bucket/my run/report.html" in text
    assert "jaxseg inspect 'gs://bucket/my run' --cell" in text


@pytest.mark.parametrize("name", ["run*", "run?", "run [2]", "a\\b"])
def test_a_workdir_that_orbax_takes_for_a_pattern_is_refused_before_the_work(
    tiny_config, tmp_path, name
):
    with pytest.raises(UsageError, match="must be a path without"):
        run_grid(tiny_config, PAIR, tmp_path / name)
    assert not (tmp_path / name).exists()
