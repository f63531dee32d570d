"""The compile cache: used, and mended when an entry is damaged."""

import pathlib
import subprocess
import sys

import pytest

PROGRAM = """
import sys, pathlib, jax, jax.numpy as jnp
from jaxseg.grid.devices import keep_compiled
keep_compiled(pathlib.Path(sys.argv[1]), at_least_s=0.0)
@jax.jit
def own(x):
    return jnp.sin(x) * 2
print(float(own(jnp.float32(1.0))))
"""


def _run(folder, program=PROGRAM):
    result = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert abs(float(result.stdout) - 1.68294) < 1e-4
    return result.stderr


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99])
def test_a_damaged_entry_is_one_line_and_is_replaced(damage, tmp_path):
    assert _run(tmp_path) == ""
    (entry,) = tmp_path.glob("jit_own-*-cache")
    entry.write_bytes(damage(entry.read_bytes()))
    said = _run(tmp_path)
    assert len(said.splitlines()) == 1 and f"{tmp_path}: reading failed" in said
    assert pathlib.Path(entry).stat().st_size > 200
    assert _run(tmp_path) == ""


WARNING = """
import warnings
for name in ("jit_own", "jit_other"):
    said = f"Error writing persistent compilation cache entry for '{name}': OSError: No space"
    warnings.warn(said)
"""


def test_programs_that_cannot_be_kept_are_said_once(tmp_path):
    expected = f"{tmp_path}: programs cannot be kept (OSError: No space); the next run compiles"
    said = _run(tmp_path, PROGRAM + WARNING).splitlines()
    assert said == [f"{expected} again"]
