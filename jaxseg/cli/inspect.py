r"""Lists, compares and exports the checkpoints of a grid, on any machine.

    jaxseg inspect runs/padding_ablation
    jaxseg inspect runs/padding_ablation --cell zeros-center-s0
    jaxseg inspect runs/padding_ablation --cell zeros-center-s0 \
        --diff reflect-center-s0
    jaxseg inspect runs/padding_ablation --cell zeros-center-s0 \
        --export cell.npz
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from jaxseg.cli.arguments import Parser, usage
from jaxseg.errors import JaxsegError, UsageError, check_permission, check_writable
from jaxseg.grid.checkpoints import find_cells, named_leaves, restore_cell
from jaxseg.grid.devices import pinned
from jaxseg.grid.loading import check_target, export_cell
from jaxseg.grid.storage import as_folder
from jaxseg.studies.workdir_files import read_rows


def describe_cells(workdir: epath.Path) -> str:
    """One line a cell: kind of checkpoint, epochs, and its row of cells.csv."""
    rows = _cell_rows(workdir)
    lines = []
    for cell, (_, _, meta) in find_cells(workdir).items():
        row = rows.get(cell, {})
        kind = "finished" if meta["kind"] == "variables" else "in training"
        loss = f", training loss {row['train_loss']}" if row.get("train_loss") else ""
        lines.append(f"{cell:32s} {kind:12s} {meta['epoch']:5d} epochs  {row.get('status')}{loss}")
    return "\n".join(lines)


def describe_tree(arrays: dict[str, np.ndarray]) -> str:
    """Path, shape, dtype, bytes, norm and non-finite count of every array, and the totals."""
    lines = [f"{'array':44s} {'shape':>18s} {'dtype':>8s} {'bytes':>11s} {'norm':>10s} non-finite"]
    for name, array in arrays.items():
        bad = int((~np.isfinite(array)).sum())
        norm = float(np.linalg.norm(np.asarray(array, np.float64)))
        lines.append(
            f"{name:44s} {array.shape!s:>18s} {array.dtype!s:>8s} {array.nbytes:11,d} "
            f"{norm:10.4g} {bad:10d}"
        )
    params = sum(a.size for name, a in arrays.items() if name.startswith("params/"))
    total = sum(a.nbytes for a in arrays.values())
    bad = sum(int((~np.isfinite(a)).sum()) for a in arrays.values())
    lines.append(f"{len(arrays)} arrays, {params:,} parameters, {total:,} bytes, {bad} non-finite")
    return "\n".join(lines)


def describe_difference(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> str:
    """Largest and relative difference of every array that two cells share, and what they do not."""
    lines = [f"{'array':44s} {'largest |a - b|':>16s} {'|a - b| / |a|':>14s}"]
    for name in first.keys() & second.keys():
        if first[name].shape != second[name].shape:
            lines.append(f"{name:44s} shapes {first[name].shape} and {second[name].shape}")
    for name, a in first.items():
        if name in second and a.shape == second[name].shape:
            gap = np.asarray(a, np.float64) - second[name]
            relative = np.linalg.norm(gap) / max(float(np.linalg.norm(a)), 1e-30)
            lines.append(f"{name:44s} {np.abs(gap).max():16.4g} {relative:14.4g}")
    alone = sorted(first.keys() ^ second.keys())
    return "\n".join(lines + [f"only in one: {name}" for name in alone])


def describe_settings(workdir: epath.Path, cell: str, meta: dict[str, Any]) -> str:
    """The cell's settings and its row of cells.csv."""
    settings = meta["settings"][meta["cells"].index(cell)]
    row = _cell_rows(workdir).get(cell, {})
    return json.dumps({"settings": settings, "classes": meta["classes"], "result": row}, indent=2)


def _cell_rows(workdir: epath.Path) -> dict[str, dict[str, str]]:
    path = workdir / "cells.csv"
    if not path.exists():
        return {}
    return {row["cell"]: row for row in read_rows(path, ("cell",))}


@pinned()
def main(argv: Sequence[str]) -> None:
    """Prints what the arguments select."""
    logging.set_verbosity(
        logging.FATAL
    )  # hides log messages of Orbax about errors and read-only folders
    parser = Parser(prog=argv[0], description=usage(__doc__, "inspect"))
    parser.add_argument("workdir", type=as_folder, help="folder of a grid")
    parser.add_argument("--cell", help="describe this cell's arrays and settings")
    parser.add_argument("--diff", metavar="CELL", help="compare --cell with this cell")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE.npz",
        help="write the network of --cell to a file that jaxseg.load_export reads anywhere",
    )
    args = parser.parse_args(argv[1:])
    if args.export:
        check_target(args.export, "--export")
    check_permission(args.workdir)
    if not args.workdir.is_dir():
        raise JaxsegError(f"{args.workdir}: no such folder")
    if args.export:
        check_writable("--export", args.export.parent)
    if args.cell is None:
        if args.diff or args.export:
            raise UsageError("--cell: is required with --diff and --export")
        print(describe_cells(args.workdir))
        return
    tree, meta = restore_cell(args.workdir, args.cell)
    if args.export:  # if the cell cannot be exported, the error comes before the tables
        export_cell(args.workdir, args.cell, args.export)
    arrays = named_leaves(tree)
    if args.diff:
        print(describe_difference(arrays, named_leaves(restore_cell(args.workdir, args.diff)[0])))
    else:
        print(describe_tree(arrays))
        print(describe_settings(args.workdir, args.cell, meta))
    if args.export:
        print(f"wrote {args.export}; masks of it, from uint8 images [B, H, W, 3], in Python:")
        print(f"  predict, settings = jaxseg.load_export({str(args.export)!r})")
