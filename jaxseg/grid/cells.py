"""The grid as plain data: axes -> overlays -> cells, and the cells that share a program.

The sweep is a list of dicts (see `sweeps`), each laid over the config's fields.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from jaxseg.errors import UsageError
from jaxseg.grid.config import Config, check_config, make_config, make_net
from jaxseg.grid.sweeps import check_axes, grid_axes, resolve_overlays
from jaxseg.nets.padding import STANDARD_MODES
from jaxseg.nets.registry import check_net_axes

LONGEST_ID = 200  # bytes: a file name has at most 255, of which names of temporary files take some


class Cell(NamedTuple):
    """One training run with its settings; cells of an arm differ in nothing but the seed."""

    id: str
    arm: str
    config: Config

    @property
    def seed(self) -> int:
        """Of weights, order and boxes; the same seed is paired across arms."""
        return self.config.seed


def expand(config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Lays each overlay over the config; every cell's settings are checked.

    Raises UsageError for an unknown field, a field that may not vary between cells, a value that
    breaks its rule or is of the wrong type, an empty grid, or two equal cells.
    """
    base = make_config(config).flat()
    if not grid:
        raise UsageError("grid: has no cells; get_grid must return at least one overlay")
    overlays = resolve_overlays(grid, base)
    axes = grid_axes(overlays, base)
    check_axes(axes, base)
    cells = []
    for overlay in overlays:
        fields = {**base, **overlay}
        cell_config = make_config(fields)
        check_config(cell_config)
        values = [str(fields[axis]) for axis in axes] or [cell_config.net.padding]
        slug = "-".join(re.sub(r"[^\w.+]", "_", value) for value in values)
        cells.append(Cell(f"{slug}-s{cell_config.seed}", "/".join(values), cell_config))
    _check_ids(cells)
    _check_net_axes(cells, axes)
    return cells


def _check_net_axes(cells: Sequence[Cell], axes: Iterable[str]) -> None:
    """Raises UsageError where cells of one network vary in what it does not take."""
    for name in {cell.config.net.name for cell in cells}:
        of_name = [cell.config for cell in cells if cell.config.net.name == name]
        fields = [config.flat() for config in of_name]
        varying = [axis for axis in axes if len({one.get(axis) for one in fields}) > 1]
        check_net_axes(make_net(of_name[0].net, classes=1), varying)


def _check_ids(cells: Sequence[Cell]) -> None:
    """Raises UsageError unless the names of all cells differ, also as file names."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.id.casefold(), cell)
        if other is not cell and other.config == cell.config:
            raise UsageError(f"grid: cell {cell.id} is listed twice; remove one")
        if other is not cell:
            raise UsageError(
                f"grid: arms {other.arm!r} and {cell.arm!r} would share files called {cell.id}; "
                "change a value or train one of them in another --workdir"
            )
        if len(cell.id.encode()) > LONGEST_ID:
            raise UsageError(
                f"grid: the name of cell {cell.id[:40]}… has {len(cell.id.encode())} bytes, must "
                f"have at most {LONGEST_ID} to be a file name; vary fewer fields"
            )


def group_cells(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that share one compiled program, in grid order; standard paddings share theirs."""
    groups: dict[tuple, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_program(cell.config), []).append(cell)
    return list(groups.values())


def _program(config: Config) -> tuple:
    """The settings that cells of one program share: all except its inputs and their feed."""
    padding = config.net.padding
    if padding in STANDARD_MODES and make_net(config.net, classes=1).takes_padding_code:
        padding = "standard"
    annotate = config.annotate and replace(
        config.annotate, contamination=0.0, placement="", removal="", drawn=True
    )
    same = replace(
        config, seed=0, annotate=annotate,
        data=replace(config.data, crop=""),
        net=replace(config.net, padding=padding),
        optim=replace(config.optim, learning_rate=0.0),
    )  # fmt: skip
    return tuple(same.flat().items())
