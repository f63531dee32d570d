"""Readers of a foreign workdir: its tables, arrays and checkpoints."""

import functools
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
from etils import epath
from fake_annotation_workdir import default_arms, fake_study
from fake_workdir import fake_workdir
from hypothesis import strategies as st
from lying_arrays import archives, arrays, zipped
from strategies import changed_csv, changed_json, mutated

from jaxseg.cli import inspect as inspect_checkpoint
from jaxseg.grid import checkpoints, loading, record, storage
from jaxseg.grid import workdir as files
from jaxseg.grid.cells import Cell, expand, group_cells
from jaxseg.grid.config import make_net
from jaxseg.report import plot
from jaxseg.studies.grid_report import analyse, write_report
from jaxseg.studies.workdir_files import load

ROOT = Path(__file__).parents[2]
Case = tuple[str, str, bytes]  # template, file below it, what is put in its place
AXES = {"net.padding": ["zeros", "reflect"], "data.crop": ["center", "random"]}
_home = tempfile.TemporaryDirectory(prefix="templates")


@functools.cache
def template(name: str) -> Path:
    """An honest workdir that a case is a copy of."""
    root = Path(_home.name) / name
    if name == "grid":
        fake_workdir(root, axes=AXES, seeds=2, images=5, size=32, test_sets=("full",))
    elif name == "study":
        fake_study(root, arms=default_arms()[:3], seeds=2, frames=8)
    else:
        _trained(root)
    if name != "trained":
        about = json.loads((root / "config.json").read_text())
        about["config"]["eval"]["resamples"] = 100
        (root / "config.json").write_text(json.dumps(about))
    return root


def settings() -> dict[str, Any]:
    """Of the smallest network there is."""
    config = __import__("runpy").run_path(str(ROOT / "configs/padding_ablation.py"))
    small = config["get_config"]("quick").to_dict()
    small["net"] |= {"width": 2, "depth": 1}
    return small


def _trained(root: Path) -> None:
    """A workdir with one finished checkpoint of two cells and what a process writes of its own."""
    cells = expand(settings(), [{"seed": 0}, {"seed": 1}])
    net = make_net(cells[0].config.net, classes=1)
    variables = net.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    tree = jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * 2), variables)
    position = checkpoints.Position(3, 0, [], [0.5, 0.5], [-1, -1], [-1, -1], 2.0)
    root.mkdir()
    with checkpoints.open_manager(epath.Path(root), cells) as manager:
        checkpoints.save(manager, "variables", tree, position, cells, ("lesion",))
    for cell in cells:
        files.write_status(
            epath.Path(root), cell.id, {"status": "done", "epochs": 3, "wall_s": 1.0}
        )
        files.append_metrics(epath.Path(root), [{"cell": cell.id, "epoch": 0, "loss": 0.5}])
        (root / "counts").mkdir(exist_ok=True)
        (root / f"counts/{cell.id}.npz").write_bytes(zipped([("a.npy", b"")]))
    record.Seconds(epath.Path(root), record.Share()).write()
    about = {"config": settings(), "grid": [{"seed": 0}, {"seed": 1}], "data": {"feed": "host"}}
    storage.write_with_digest(root / "config.json", about)
    record.merge_all(epath.Path(root), group_cells(cells), (), {})


@st.composite
def changed(draw: Any, name: str, below: str = "") -> Case:
    """One file of a template, changed in its own form or as bytes."""
    root = template(name)
    held = sorted(
        p for p in root.rglob("*") if p.is_file() and str(p.relative_to(root)).startswith(below)
    )
    path = draw(st.sampled_from(held))
    return name, str(path.relative_to(root)), draw(_content(path))


@functools.cache
def _content(path: Path) -> st.SearchStrategy[bytes]:
    content = path.read_bytes()
    own = [mutated([content])]
    if path.suffix == ".json" or path.name == "metadata":
        own += [changed_json(json.loads(content))] * 4
    elif path.suffix == ".jsonl":
        own += [_changed_lines(content)] * 4
    elif path.suffix == ".csv":
        own += [changed_csv(content.decode())] * 4
    elif path.suffix == ".npz" and len(content) > 200:
        own += [_changed_arrays(content)] * 4 + [archives(tuple(_arrays(content)))]
    return st.one_of(own)


@st.composite
def _changed_lines(draw: Any, content: bytes) -> bytes:
    lines = content.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = draw(changed_json(json.loads(lines[at])))
    return b"\n".join(lines)


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content)) as stored:
        return dict(stored)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shorter": lambda a: a[:-1] if a.ndim else a[None],
    "empty": lambda a: a[:0] if a.ndim else a[None][:0],
    "flat": np.ravel,
    "deeper": lambda a: a[None],
    "float": lambda a: np.full(a.shape, np.nan),
    "text": lambda a: np.full(a.shape, "=<b>$x$\n\x1b"),
    "complex": lambda a: np.full(a.shape, 1j),
    "negative": lambda a: np.full(a.shape, -1),
    "large": lambda a: np.full(a.shape, 2**62),
    "transposed": np.transpose,
    "dates": lambda a: np.full(a.shape, "2020-01-01", "M8[s]"),
    "bool": lambda a: np.ones(a.shape, bool),
}


@st.composite
def _changed_arrays(draw: Any, content: bytes) -> bytes:
    """The npz with one array changed, replaced by a hostile one, renamed or left out."""
    arrays_of = _arrays(content)
    members = []
    chosen = draw(st.sampled_from(sorted(arrays_of)))
    how = draw(st.sampled_from((*CHANGES, "hostile", "gone", "renamed")))
    for name, array in arrays_of.items():
        buffer = io.BytesIO()
        np.save(buffer, CHANGES[how](array) if name == chosen and how in CHANGES else array)
        body = buffer.getvalue()
        if name == chosen and how == "hostile":
            body = draw(arrays())
        if not (name == chosen and how == "gone"):
            shown = f"<b>\n{name}" if name == chosen and how == "renamed" else name
            members.append((f"{shown}.npy", body))
    return zipped(members)


def laid(case: Case, folder: Path) -> Path:
    """A copy of the template with the case's file in it."""
    name, file, content = case
    root = folder / "work\ndir"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(template(name), root)
    (root / file).write_bytes(content)
    return root


def analysed(case: Case, folder: Path) -> None:
    """All numbers and words of a report."""
    analyse(load(laid(case, folder)))


def reported(case: Case, folder: Path) -> None:
    """The report whole, its pictures coarse for speed."""
    with mock.patch.object(plot, "DPI", 20):
        write_report(laid(case, folder))


def resumed(case: Case, folder: Path) -> None:
    """What `grid.py` reads of a workdir before it trains, and what it merges at the end."""
    root = epath.Path(laid(case, folder))
    about = settings()
    cells: list[Cell] = expand(about, [{"seed": 0}, {"seed": 1}])
    files.open_workdir(root, about, [{"seed": 0}, {"seed": 1}])
    record.read_feed(root)
    files.forget_epochs(root, [cell.id for cell in cells], 1)
    record.Seconds(root, record.Share()).write()
    record.merge_all(root, group_cells(cells), (), files.read_finished(root))


def inspected(case: Case, folder: Path) -> None:
    """What `inspect_checkpoint.py` prints, and a cell as `audit.py` loads it."""
    root = epath.Path(laid(case, folder))
    cell = "zeros-s0"
    inspect_checkpoint.describe_cells(root)
    tree, meta = checkpoints.restore_cell(root, cell)
    inspect_checkpoint.describe_tree(inspect_checkpoint.named_leaves(tree))
    inspect_checkpoint.describe_settings(root, cell, meta)
    loading.load_variables(root, cell)
