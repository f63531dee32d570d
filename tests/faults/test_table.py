"""The fault table holds."""

import subprocess
import sys

import pytest
from runs import HERE, ROOT


@pytest.mark.slow
def test_no_row_of_the_fault_table_is_a_miss():
    table = subprocess.run(
        [sys.executable, HERE / "table.py"], cwd=ROOT, capture_output=True, text=True, timeout=3000
    )
    assert table.returncode == 0, table.stdout + table.stderr
    assert "SIGKILL during checkpoint write" in table.stdout and ", 0 misses" in table.stdout


def test_a_pattern_that_matches_no_row_is_said_before_anything_runs():
    command = [sys.executable, HERE / "table.py", "--only", "no such fault"]
    table = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert table.returncode == 2 and "matches none of: SIGKILL" in table.stderr
