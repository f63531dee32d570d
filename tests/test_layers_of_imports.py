"""The architecture as a test: imports run strictly downwards, TensorFlow has one home."""

import ast
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
LAYERS = ["nets", "data", "metrics", "grid", "report", "studies", "cli"]


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_run_downwards():
    files = list((ROOT / "jaxseg").rglob("*.py"))
    assert len(files) > 10
    for path in files:
        parts = path.relative_to(ROOT / "jaxseg").parts
        if len(parts) == 1:
            continue
        for name in _imports(path):
            layer = name.split(".")[1] if name.startswith("jaxseg.") else None
            if layer in LAYERS:
                assert LAYERS.index(layer) <= LAYERS.index(parts[0]), f"{path} imports {name}"


def test_tensorflow_lives_in_data_alone():
    for path in (ROOT / "jaxseg").rglob("*.py"):
        names = {name.split(".")[0] for name in _imports(path)}
        if path.parent.name != "data":
            assert not names & {"tensorflow", "tensorflow_datasets"}, path


def test_core_imports_where_tensorflow_is_not_installed():
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['tensorflow_datasets'] = None\n"
        "import jaxseg, jaxseg.grid.run, jaxseg.grid.describe, jaxseg.report.page\n"
        "import jaxseg.studies.annotations.grid_saliency\n"
        "for name in jaxseg.__all__: getattr(jaxseg, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
