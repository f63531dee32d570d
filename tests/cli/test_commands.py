"""`jaxseg COMMAND`: found quickly, refused in one line, started as the user started it."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import jaxseg
from jaxseg import cli
from jaxseg.command_line import start_of, this_command

ROOT = pathlib.Path(__file__).parents[2]
CALL = "import sys; sys.argv[0] = 'jaxseg'; from jaxseg.cli import main; main()"


def call(*words):
    return subprocess.run(
        [sys.executable, "-c", CALL, *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_help_lists_all_commands_and_imports_neither_jax_nor_numpy():
    heavy = "{'jax', 'numpy', 'absl', 'tensorflow', 'cv2'} & {*sys.modules}"
    code = f"{CALL}; assert not {heavy}, {heavy}"
    result = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert [name for name in cli.COMMANDS if f"\n  {name} " not in result.stdout] == []
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/jaxseg", command, "--help"])
    try:
        importlib.import_module(f"jaxseg.cli.{command}").main([f"jaxseg {command}", "--help"])
    except SystemExit as ended:
        assert not ended.code
    told = capsys.readouterr().out
    assert f"    jaxseg {command}" in told and "launch/" not in told
    assert max(map(len, told.splitlines())) <= 100


@pytest.mark.parametrize(
    "words, message",
    [
        (["gird"], "jaxseg: error: COMMAND='gird': must be one of grid, audit"),
        (["grid"], "jaxseg grid: error: --config: is required, such as --config padding_ablation"),
        (["grid", "--config", "padding_ablaton"], "did you mean 'padding_ablation'?"),
        (["inspect"], "jaxseg inspect: error: the following arguments are required: workdir"),
        (["audit", "dataset"], "jaxseg audit: error: the following arguments are required"),
        (["predict", "nowhere", "--cell", "c", "--images", "i", "--out", "o"],
         "jaxseg predict: error: WORKDIR nowhere: no such folder"),
        (["report", "jaxseg/cli/report.py"], "is a file; give a folder"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_that_names_the_command(words, message):
    result = call(*words)
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1 and result.stdout == ""


def test_no_command_prints_the_help_and_fails():
    result = call()
    assert result.returncode == 2 and "usage: jaxseg COMMAND" in result.stderr


def test_commands_are_named_as_this_one_was_started(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["launch/grid.py", "--config", "a b.py"])
    assert start_of("audit") == "python launch/audit.py"
    assert start_of("predict") == "jaxseg predict"  # has no script in launch/
    assert this_command() == "python launch/grid.py --config 'a b.py'"
    monkeypatch.setattr(sys, "argv", ["/opt/my env/bin/jaxseg", "grid", "--config", "a b.py"])
    assert start_of("inspect") == "jaxseg inspect"
    assert this_command() == "jaxseg grid --config 'a b.py'"


def test_editors_and_programs_see_the_same_public_names():
    tree = ast.parse(pathlib.Path(jaxseg.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == jaxseg._HOMES
    assert set(jaxseg.__all__) == {*typed, "__version__"} and set(dir(jaxseg)) >= set(typed)
    for name, module in typed.items():
        assert getattr(jaxseg, name) is getattr(importlib.import_module(module), name)


def test_importing_jaxseg_starts_neither_jax_nor_orbax():
    code = "import sys, jaxseg; assert not {'jax', 'orbax', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
