"""The grid as plain data: axes -> overlays -> cells, and the settings checked at the door.

The sweep is a list of dicts (see `sweeps`), each laid over the config's fields.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxseg.data.crops import CROP_POLICIES
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid import marking
from jaxseg.grid.axes import check_axes
from jaxseg.grid.optimiser import SCHEDULES, check_selection
from jaxseg.grid.prepared import DEFAULTS as READING
from jaxseg.grid.prepared import data_reading
from jaxseg.grid.sweeps import MOST_SEED, SEED, Settings, flatten, grid_axes, resolve_overlays
from jaxseg.metrics.dice import EMPTY
from jaxseg.nets.dtunet import DTUNet, check_dtunet_settings
from jaxseg.nets.padding import STANDARD_MODES
from jaxseg.nets.unet import UNet, check_settings

REFERENCE_SIZE = 256  # the frame in whose pixels eval.ring_width is given, as in the paper
NETS = ("unet", "dtunet")
LOSSES = ("dice", "dice_bce", "bce", "dice_focal", "dtu")
SELECTIONS = ("last", "best")
FEEDS = ("auto", "host", "device")
LONGEST_ID = 200  # bytes: file names have 255, of which temporary ones take some

# Fields that a config may leave out.
DEFAULTS: Settings = {
    "net.name": "unet", "optim.weight_decay": 0.0, "optim.schedule": "constant",
    "optim.patience": 0, "eval.saliency_layer": "", "data.planes": "", "net.dtype": "float32",
    **READING,
}  # fmt: skip


class Cell(NamedTuple):
    """One training run: `settings` are all config fields, flat and resolved, of this cell."""

    id: str
    arm: str
    seed: int
    settings: Settings


def expand(config: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Lays each overlay over the config; every cell's settings are checked.

    Raises UsageError for an unknown field, a field that may not vary between cells, a value out of
    its rule, a value of the wrong type, an empty grid, or two equal cells.
    """
    base = base_settings(config)
    if not grid:
        raise UsageError("grid: has no cells; give at least one overlay")
    overlays = resolve_overlays(grid, base)
    axes = grid_axes(overlays, base)
    check_axes(axes, base)
    cells = [_make_cell({**base, **overlay}, axes) for overlay in overlays]
    _check_ids(cells)
    return cells


def base_settings(config: Mapping[str, Any]) -> Settings:
    """The config's fields, flat, with the defaults of those that it leaves out."""
    return DEFAULTS | flatten(config)


def _make_cell(settings: Settings, axes: Iterable[str]) -> Cell:
    check_cell(settings)
    values = [str(settings[axis]) for axis in axes] or [settings["net.padding"]]
    slug = "-".join(re.sub(r"[^\w.+]", "_", value) for value in values)
    return Cell(f"{slug}-s{settings[SEED]}", "/".join(values), settings[SEED], settings)


def _check_ids(cells: Sequence[Cell]) -> None:
    """Raises UsageError unless each cell has a name of its own, in files too."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.id.casefold(), cell)
        if other is not cell and other.settings == cell.settings:
            raise UsageError(f"grid: cell {cell.id} stands in it twice; remove one")
        if other is not cell:
            raise UsageError(
                f"grid: arms {other.arm!r} and {cell.arm!r} would share files called {cell.id}; "
                "change a value or train one of them in another --workdir"
            )
        if len(cell.id.encode()) > LONGEST_ID:
            raise UsageError(
                f"grid: cell {cell.id[:40]}… has a name of {len(cell.id.encode())} bytes, at most "
                f"{LONGEST_ID} make a file name; vary fewer fields"
            )


_AT_LEAST = {
    "seed": 0, "data.size": 1, "optim.batch_size": 1, "optim.epochs": 1,
    "optim.weight_decay": 0, "optim.patience": 0,
    "eval.ring_width": 1, "eval.border_px": 1, "eval.resamples": 100,
    "run.cells_per_device": 0, "run.checkpoint_epochs": 1,
}  # fmt: skip
_CHOICES = {
    "data.crop": CROP_POLICIES, "data.feed": FEEDS, "net.name": NETS, "optim.loss": LOSSES,
    "optim.schedule": SCHEDULES, "optim.select": SELECTIONS, "eval.empty": EMPTY,
}  # fmt: skip
_OTHERS = (
    "name", "data.name", "data.manual_dir", "data.data_dir", "data.train_split", "data.val_split",
    "data.test_split", "net.padding", "optim.learning_rate", "eval.test_sets",
)  # fmt: skip


def check_cell(settings: Settings) -> None:
    """Raises UsageError naming the field, its value and the rule for settings that cannot run."""
    missing = [name for name in (*_AT_LEAST, *_CHOICES, *_OTHERS) if name not in settings]
    if missing:
        raise UsageError(f"config field {missing[0]}: is missing in the config file; add it")
    for name, value in settings.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name}={value}: must be a finite number")
    for name, choices in _CHOICES.items():
        check_choice(name, settings[name], choices)
    for name, least in _AT_LEAST.items():
        if settings[name] < least:
            raise UsageError(f"{name}={settings[name]}: must be at least {least}")
    if settings[SEED] > MOST_SEED:
        raise UsageError(f"seed={settings[SEED]}: must be at most {MOST_SEED}, it is an int32")
    if not settings["optim.learning_rate"] > 0:
        raise UsageError(f"optim.learning_rate={settings['optim.learning_rate']}: must be above 0")
    selection = ("optim.select", "optim.patience", "data.val_split")
    check_selection(*(settings[name] for name in selection))
    size = settings["data.size"]
    if settings["eval.border_px"] >= size / 2:
        raise UsageError(
            f"eval.border_px={settings['eval.border_px']}: must be below half of data.size={size}"
        )
    if settings["eval.ring_width"] * size < REFERENCE_SIZE:
        raise UsageError(
            f"eval.ring_width={settings['eval.ring_width']}: makes rings below 1 pixel at "
            f"data.size={size}; use at least {REFERENCE_SIZE / size:g}"
        )
    marking.check_marking(settings)
    reading = data_reading(settings)
    if reading.truth.ignore is not None and settings["net.name"] == "dtunet":
        raise UsageError(
            f"data.ignore_label={reading.truth.ignore}: a dtunet judges every pixel; use a unet"
        )
    _check_net(settings)


def _check_net(settings: Settings) -> None:
    net, loss, size = make_net(settings, classes=1), settings["optim.loss"], settings["data.size"]
    if isinstance(net, DTUNet):
        if loss != "dtu":
            raise UsageError(f"optim.loss={loss!r}: must be 'dtu' under net.name='dtunet'")
        check_dtunet_settings(net, size, size)
        return
    if loss == "dtu":
        raise UsageError("optim.loss='dtu': needs net.name='dtunet'; a unet has dice_focal")
    check_settings(net, size, size)


def make_net(settings: Settings, classes: int, batch_axis: str | None = None) -> UNet | DTUNet:
    """The network of a cell, by `net.name`: a UNet unless it says otherwise."""
    options = {k.removeprefix("net."): v for k, v in settings.items() if k.startswith("net.")}
    network = DTUNet if options.pop("name", "unet") == "dtunet" else UNet
    known = network.__dataclass_fields__.keys() - {"classes", "batch_axis", "parent", "name"}
    if unknown := sorted(options.keys() - known):
        raise UsageError(
            f"config field net.{unknown[0]}: is no setting of a {network.__name__}, which has "
            f"{', '.join(sorted(known))}"
        )
    return network(classes=classes, batch_axis=batch_axis, **options)


# What may differ between cells of one compiled program: it travels as data or feeds the program.
_DYNAMIC = ("seed", "data.crop", "optim.learning_rate", *marking.DYNAMIC)


def group_cells(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that share one compiled program, in grid order; standard paddings share theirs."""
    groups: dict[tuple, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_program(cell.settings), []).append(cell)
    return list(groups.values())


def _program(settings: Settings) -> tuple:
    static = {k: v for k, v in settings.items() if k not in _DYNAMIC}
    if static["net.padding"] in STANDARD_MODES:
        static["net.padding"] = "standard"
    return tuple(sorted(static.items()))
