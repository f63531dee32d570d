"""Which cells are trained together: what lies in their checkpoints decides before their order."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from etils.epath import Path

from jaxseg.errors import DamagedError
from jaxseg.grid import checkpoints
from jaxseg.grid.cells import Cell
from jaxseg.grid.checkpoints import Saved
from jaxseg.grid.integrity import first_cell
from jaxseg.grid.mapping import chunks


class Chunk(NamedTuple):
    """Cells that are trained at the same time, from the same step on.

    `saved` is a checkpoint for each of them, or empty where they start from the beginning.
    `damaged` are folders of damaged checkpoints that the chunk's own take the place of.
    """

    cells: list[Cell]
    saved: list[Saved]
    damaged: list[Path]

    @property
    def folders(self) -> list[Path]:
        """Those of `saved`, each once."""
        return list(dict.fromkeys(saved.folder for saved in self.saved))


def plan_chunks(workdir: Path, cells: Sequence[Cell], slots: int) -> list[Chunk]:
    """Cells in chunks of at most `slots`, the furthest in training first.

    Only cells that have come equally far share a chunk, whichever chunks they were saved in: each
    goes on from its checkpoint though devices, cells per device or the grid have changed. A damaged
    checkpoint is named on stderr and taken for none.
    """
    found, errors = checkpoints.scan(workdir)
    ids = {cell.id for cell in cells}
    damaged = {first_cell(folder): folder for folder in errors if first_cell(folder) in ids}
    for cell, folder in damaged.items():
        say_damaged(errors[folder], cell)
    by_progress: dict[tuple, list[Cell]] = {}
    for cell in cells:
        progress = found[cell.id].progress if cell.id in found else ()
        by_progress.setdefault(progress, []).append(cell)
    return [
        Chunk(
            members,
            [found[cell.id] for cell in members] if progress else [],
            [damaged[cell.id] for cell in members if cell.id in damaged],
        )
        for progress in sorted(by_progress, reverse=True)
        for members in chunks(by_progress[progress], slots)
    ]


def say_damaged(error: DamagedError, cell: str) -> None:
    """Says on stderr that a damaged checkpoint's cells, such as `cell`, are trained anew."""
    print(
        f"{error.path}: damaged: {error.reason}; training {cell} and those beside it from the "
        "beginning",
        file=sys.stderr,
        flush=True,
    )
