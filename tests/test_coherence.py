"""The house rules that a reader relies on: every piece says what it is for."""

import ast
import importlib
import importlib.util
import pathlib
import subprocess
import sys

import pytest

import jaxseg

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT) for home in ("jaxseg", "launch", "configs")
    for path in (ROOT / home).rglob("*.py")
)  # fmt: skip


def tree_of(module):
    return ast.parse((ROOT / module).read_text())


def public(body, prefix=""):
    """Name and node of public functions and classes, and of the methods of public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


def test_modules_and_public_names_say_what_they_are():
    silent = [str(module) for module in MODULES if not ast.get_docstring(tree_of(module))]
    silent += [
        f"{module}:{name}"
        for module in MODULES
        for name, node in public(tree_of(module).body)
        if not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize("name", [n for n in jaxseg.__all__ if n.islower() and n[0] != "_"])
def test_exported_functions_state_shapes_and_errors(name):
    told = getattr(jaxseg, name).__doc__
    assert ("[" in told and "Raises" in told) or "UsageError" in told, name


def test_exported_names_are_found_once_and_unknown_ones_refused():
    assert len(set(jaxseg.__all__)) == len(jaxseg.__all__)
    for name in jaxseg.__all__:
        assert getattr(jaxseg, name) is getattr(jaxseg, name)
    with pytest.raises(AttributeError, match="'jaxseg' has no attribute 'pda'"):
        _ = jaxseg.pda


@pytest.mark.skipif(importlib.util.find_spec("pdoc") is None, reason="pdoc is of the dev group")
def test_the_api_reference_is_made_without_warnings_or_tensorflow(tmp_path):
    code = (
        "import pathlib, sys; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None"
        "; from jaxseg import *; import pdoc"
        f"; pdoc.pdoc('jaxseg', output_directory=pathlib.Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)
    page = (tmp_path / "jaxseg.html").read_text()
    assert [name for name in jaxseg.__all__ if f'id="{name}"' not in page] == []
