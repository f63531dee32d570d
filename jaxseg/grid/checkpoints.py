"""Checkpoints: one Orbax CheckpointManager per chunk, read cell by cell on any devices.

    checkpoints/<first cell>/<number>/state      training in progress: the whole TrainState
    checkpoints/<first cell>/<number>/variables  finished: what the cells are judged by
    checkpoints/<first cell>/<number>/meta       JSON: cells, settings, classes and a Position

Arrays have a leading cell axis in the order of meta's cells, and so have its lists: how many slots
the devices had is not stored. Numbers count the saves: a new one never takes the place of the last,
which is removed when the new one is whole. Meta carries a digest of the arrays and one of itself,
which every reader checks.

A folder is written only by the process that trains its first cell. Where that folder holds cells
that are not of the chunk, as after a change of devices, the chunk has <first cell>~1, ~2, …
instead; of several checkpoints of a cell, the one that is furthest in training counts.
"""

import contextlib
import functools
import hashlib
import itertools
import logging
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils.epath import Path

from jaxseg.errors import (
    DamagedError,
    JaxsegError,
    check_choice,
    disk_errors,
    may_access,
    no_permission,
)
from jaxseg.grid.cells import Cell
from jaxseg.grid.storage import as_folder, is_local
from jaxseg.grid.train import TrainState
from jaxseg.texts import check_digest, is_number, with_digest

FOLDER = "checkpoints"
LIMIT_BYTES = 2**32  # of one cell: fifteen of the paper's networks with Adam's moments and the best
Kind = Literal["state", "variables"]
_ASIDE = "~"  # before the name of a folder that is being removed; no cell has it in its own
_BY_ENTRY = ("diverged_at", "stopped_at", "means")  # lists of meta by entry of the arrays
# Errors that do not mean that the checkpoint is damaged: its cells are not trained anew.
_ELSEWHERE = (JaxsegError, PermissionError, ConnectionError, TimeoutError, MemoryError)
_LONGEST = 120  # characters of the error message of a library
_READ_ONLY = ocp.CheckpointManagerOptions(read_only=True, save_interval_steps=0, create=False)


class Position(NamedTuple):
    """How far a chunk has come: `epoch` whole epochs, `step` steps of the next one.

    `losses` are those steps' [step][cells]; `means` [cells] those of the last whole epoch that each
    cell trained, NaN before its first. `diverged_at` and `stopped_at` [cells] are as in TrainState,
    -1 for cells that do not; `wall_s` counts all runs so far.
    """

    epoch: int
    step: int
    losses: list[list[float]]
    means: list[float]
    diverged_at: list[int]
    stopped_at: list[int]
    wall_s: float


class Saved(NamedTuple):
    """Where a cell's checkpoint lies: `place` along the cell axis of the newest in `folder`."""

    folder: Path
    place: int
    meta: dict[str, Any]

    @property
    def progress(self) -> tuple[bool, int, int]:
        """(whether training has ended, epochs, steps of the next one); the larger, the further."""
        return self.meta["kind"] == "variables", self.meta["epoch"], self.meta["step"]


class Restored(NamedTuple):
    """Cells out of their checkpoints: `tree` is a TrainState or, of finished cells, variables."""

    kind: Kind
    position: Position
    tree: Any


def open_manager(workdir: Path, chunk: Sequence[Cell]) -> ocp.CheckpointManager:
    """The manager of a chunk's checkpoints; it keeps the newest and writes atomically."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    folder = _folder_of(workdir, chunk)
    with disk_errors(folder):
        return ocp.CheckpointManager(folder, options=options)


def _folder_of(workdir: Path, chunk: Sequence[Cell]) -> Path:
    """The first folder of a chunk's first cell that is free or holds cells of the chunk alone."""
    own = {cell.id for cell in chunk}
    for number in itertools.count():
        name = f"{chunk[0].id}~{number}" if number else chunk[0].id
        folder = workdir / FOLDER / name
        try:
            meta = _newest_meta(folder)
        except DamagedError:
            return folder  # the next checkpoint replaces it
        if meta is None or own.issuperset(meta["cells"]):
            return folder
    raise AssertionError


def save(
    manager: ocp.CheckpointManager,
    kind: Kind,
    tree: Any,
    position: Position,
    chunk: Sequence[Cell],
    classes: Sequence[str],
) -> None:
    """Saves a tree [cells, …] and how far it has come.

    Raises JaxsegError naming the folder for a full disk.
    """
    meta = {
        "cells": [cell.id for cell in chunk],
        "settings": [cell.config.flat() for cell in chunk],
        "classes": list(classes),
        "kind": kind,
        "arrays": tree_digest(tree),
        **position._asdict(),
    }
    items = {kind: ocp.args.StandardSave(tree), "meta": ocp.args.JsonSave(with_digest(meta))}
    latest = manager.latest_step()
    number = 0 if latest is None else latest + 1
    with disk_errors(Path(manager.directory)), failing_quietly():
        manager.save(number, args=ocp.args.Composite(**items), force=True)
        manager.wait_until_finished()


def restore(saved: Sequence[Saved], state: TrainState) -> Restored:
    """The cells of a chunk as they were saved: numpy arrays [cells, …], from one folder or several.

    Args:
        saved: a checkpoint for each cell; all have come equally far.
        state: the chunk's state, or the shapes of its arrays, whose leading axis does not matter.

    Raises:
        DamagedError: a checkpoint is not what was saved, or not of such a state.
    """
    kind = saved[0].meta["kind"]
    like = state if kind == "state" else state.variables
    stored = {one.folder: named_leaves(restore_chunk(one.folder, one.meta)) for one in saved}
    expected = {name: (a.shape[1:], a.dtype) for name, a in named_leaves(like).items()}
    for folder, arrays in stored.items():
        if {name: (a.shape[1:], a.dtype) for name, a in arrays.items()} != expected:
            what = "its arrays are not those of its cells' settings"
            raise DamagedError(folder, what, mend(folder / "0"))
    stacked = [
        np.stack([stored[one.folder][name][one.place] for one in saved]) for name in expected
    ]
    return Restored(kind, _position(saved), jax.tree.unflatten(jax.tree.structure(like), stacked))


def _position(saved: Sequence[Saved]) -> Position:
    """The common position of cells that have come equally far; the longest of their times."""
    meta = saved[0].meta
    steps = range(len(meta["losses"]))
    return Position(
        meta["epoch"],
        meta["step"],
        losses=[[one.meta["losses"][step][one.place] for one in saved] for step in steps],
        means=[one.meta["means"][one.place] for one in saved],
        diverged_at=[one.meta["diverged_at"][one.place] for one in saved],
        stopped_at=[one.meta["stopped_at"][one.place] for one in saved],
        wall_s=max(one.meta["wall_s"] for one in saved),
    )


def remove_superseded(workdir: Path, folders: Iterable[Path]) -> None:
    """Removes those of `folders` all of whose cells have come further in others."""
    folders = set(folders)
    if folders:
        needed = {saved.folder for saved in scan(workdir)[0].values()}
        for folder in folders - needed:
            remove(folder)


def remove(folder: Path) -> None:
    """Removes a chunk's checkpoints; what a kill leaves of them does not look damaged."""
    if is_local(folder):
        aside = folder.with_name(f"{_ASIDE}{folder.name}")
        aside.rmtree(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            folder = folder.rename(aside)
    folder.rmtree(missing_ok=True)


def find_cells(workdir: str | os.PathLike[str], wanted: str | None = None) -> dict[str, Saved]:
    """Every cell that has a checkpoint: {cell id: its furthest}, those of a folder side by side.

    Raises JaxsegError when the workdir holds no checkpoints, UsageError when it lacks the cell
    `wanted`, and DamagedError when one is damaged that may have held it.
    """
    found, damaged = scan(workdir)
    if damaged and wanted not in found:
        raise next(iter(damaged.values()))
    if not found:
        root = as_folder(workdir) / FOLDER
        raise JaxsegError(f"{root}: holds no checkpoints; give the workdir of a grid that has run")
    if wanted is not None:
        check_choice("cell", wanted, found)
    return found


def scan(workdir: str | os.PathLike[str]) -> tuple[dict[str, Saved], dict[Path, DamagedError]]:
    """(what `find_cells` gives, {folder: error} of checkpoints whose cells cannot be known)."""
    root = as_folder(workdir) / FOLDER
    found: dict[str, Saved] = {}
    damaged: dict[Path, DamagedError] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.name.startswith(_ASIDE):
            continue
        try:
            meta = _newest_meta(folder)
        except DamagedError as error:
            damaged[folder] = error
            continue
        if meta is None:
            continue
        for place, cell in enumerate(meta["cells"]):
            saved = Saved(folder, place, meta)
            if cell not in found or saved.progress > found[cell].progress:
                found[cell] = saved
    ordered = sorted(found.items(), key=lambda item: (item[1].folder, item[1].place))
    return dict(ordered), damaged


def _newest_meta(folder: Path) -> dict[str, Any] | None:
    """The meta of the newest checkpoint in `folder`, None where there is none.

    Raises DamagedError for one that cannot be read twice in a row: a process that trains its cells
    may have replaced the first by another one meanwhile.
    """
    unread = None
    while folder.is_dir():
        try:
            with (
                damage_named(folder / "0"),
                ocp.CheckpointManager(folder, options=_READ_ONLY) as manager,
            ):
                number = manager.latest_step()
                return None if number is None else _meta(manager, folder / str(number))
        except DamagedError as error:
            if error.path == unread:
                raise
            unread = error.path
    return None


def _meta(manager: ocp.CheckpointManager, folder: Path) -> dict[str, Any]:
    """The meta of the checkpoint in `folder`; DamagedError where it is not what was saved."""
    item = ocp.args.Composite(meta=ocp.args.JsonRestore())
    with damage_named(folder):
        stored = manager.restore(int(folder.name), args=item)["meta"]
        return _check_meta(folder, check_digest(stored, folder / "meta", mend(folder)))


def restore_cell(
    workdir: str | os.PathLike[str], cell: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tree of numpy arrays without a cell axis, meta) of a cell's furthest checkpoint.

    The tree is {"params", "batch_stats"} of a finished cell and a whole training state of an
    unfinished one, which meta["kind"] states. Raises UsageError for an unknown cell and
    DamagedError for a checkpoint that is not what was saved.
    """
    saved = find_cells(workdir, cell)[cell]
    try:
        tree = restore_chunk(saved.folder, saved.meta)
    except DamagedError:
        if find_cells(workdir, cell)[cell].meta["arrays"] == saved.meta["arrays"]:
            raise
        return restore_cell(workdir, cell)  # a process that trains it has replaced it meanwhile
    return jax.tree.map(lambda leaf: leaf[saved.place], tree), saved.meta


def restore_chunk(folder: Path, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of a folder's newest checkpoint: numpy arrays [cells, …], cells as in `meta`.

    Raises DamagedError where it is not what was saved with `meta`.
    """
    with (
        damage_named(folder / "0"),
        ocp.CheckpointManager(folder, options=_READ_ONLY) as manager,
    ):
        number = folder / str(manager.latest_step())
    with damage_named(number):
        tree = _read_tree(number / meta["kind"], meta["entries"])
    if tree_digest(tree) != meta["arrays"]:
        if refused := _unreadable(number):  # of which Orbax makes an empty tree
            raise no_permission(refused)
        raise _damaged(number, "its arrays do not agree with their digest")
    return jax.tree.map(lambda leaf: leaf[: len(meta["cells"])], tree)


def _read_tree(item: Path, entries: int) -> dict[str, Any]:
    with ocp.StandardCheckpointer() as checkpointer:
        described = checkpointer.metadata(item).item_metadata
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
            described.tree if hasattr(described, "tree") else described,
        )
        _check_arrays(item.parent, abstract, entries)
        tree = checkpointer.restore(item, abstract)
    return jax.tree.map(np.asarray, tree)


def _check_meta(folder: Path, meta: Any) -> dict[str, Any]:
    """Returns a checkpoint's meta; DamagedError where it is not what `save` writes.

    `entries` is added: the length of the arrays' leading axis. Older checkpoints have one entry for
    each slot of the devices, of which the first are those of the cells; lists are cut to these.
    """
    lists = ("cells", "settings", "classes", "losses", *_BY_ENTRY)
    for name in lists:
        if not isinstance(meta.get(name), list):
            raise _damaged(folder, f"meta has no list `{name}`")
    cells, entries = len(meta["cells"]), len(meta["means"])

    def are(kind: type, values: Any) -> bool:
        alike = isinstance(values, list) and all(type(value) is kind for value in values)
        return alike and len(values) == entries >= cells

    rules = {
        "cells": all(isinstance(cell, str) and cell.isprintable() for cell in meta["cells"]),
        "settings": len(meta["settings"]) == cells
        and all(isinstance(settings, dict) for settings in meta["settings"]),
        "classes": meta["classes"] and all(isinstance(name, str) for name in meta["classes"]),
        "kind": meta.get("kind") in ("state", "variables"),
        "epoch": type(meta.get("epoch")) is int and meta["epoch"] >= 0,
        "step": type(meta.get("step")) is int and meta["step"] == len(meta["losses"]),
        "wall_s": is_number(meta.get("wall_s"), least=0),
        "losses": all(are(float, losses) for losses in meta["losses"]),
        "means": are(float, meta["means"]),
        "diverged_at": are(int, meta["diverged_at"]),
        "stopped_at": are(int, meta["stopped_at"]),
        "arrays": isinstance(meta.get("arrays"), str),
    }
    for name, holds in rules.items():
        if not holds:
            raise _damaged(folder, f"meta holds {name}={meta.get(name)!r:.60}")
    cut = {name: meta[name][:cells] for name in _BY_ENTRY}
    losses = [of_step[:cells] for of_step in meta["losses"]]
    return {**meta, **cut, "losses": losses, "entries": entries}


def _check_arrays(folder: Path, described: Any, entries: int) -> None:
    """Raises DamagedError unless all arrays have `entries` entries, before they are read.

    JaxsegError where they take more than LIMIT_BYTES an entry.
    """
    leaves = jax.tree.leaves(described)
    if not leaves or any(leaf.shape[:1] != (entries,) for leaf in leaves):
        raise _damaged(folder, f"its arrays do not have {entries} entries, one for a cell")
    size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves)
    if size > LIMIT_BYTES * entries:
        raise JaxsegError(
            f"{folder}: its arrays take {size // entries} bytes a cell, must be at most "
            f"{LIMIT_BYTES}"
        )


def _damaged(folder: Path, what: str) -> DamagedError:
    return DamagedError(folder, what, mend(folder))


def named_leaves(tree: Any) -> dict[str, Any]:
    """{path joined by "/": array} of a tree; containers do not matter."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def tree_digest(tree: Any) -> str:
    """SHA-256 of a tree's arrays, each with path, shape and dtype, in the order of their paths.

    Containers do not matter: a TrainState and the dicts that it is stored as have the same digest.
    """
    named = named_leaves(tree)
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.ascontiguousarray(named[name])
        digest.update(f"{name} {named[name].shape} {array.dtype}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


@contextlib.contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Turns any exception of any library on reading a damaged checkpoint into DamagedError.

    Errors of this process and of the access to the files pass unchanged, such as running out of
    memory (of the device too). Files that may not be read are named: to Orbax they seem missing.
    """
    try:
        with failing_quietly():
            yield
    except DamagedError as error:
        if refused := _unreadable(folder):  # Orbax reports such a file as missing
            raise no_permission(refused) from error
        raise
    except _ELSEWHERE:
        raise
    except Exception as error:
        if isinstance(error, jax.errors.JaxRuntimeError) or "PERMISSION_DENIED" in str(error):
            raise
        if refused := _unreadable(folder):
            raise no_permission(refused) from error
        text = str(error).strip() or type(error).__name__
        said = textwrap.shorten(text.splitlines()[0], _LONGEST, placeholder=" …")
        raise _damaged(folder, f"cannot be restored ({said})") from error


def _unreadable(folder: Path) -> str | None:
    """The first part of a checkpoint that this user may not read; None where all may be read."""
    if "://" in str(folder):
        return None
    for home, folders, names in os.walk(folder):
        for path in (home, *(os.path.join(home, name) for name in (*folders, *names))):
            if not may_access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
                return path
    return None


@contextlib.contextmanager
def failing_quietly() -> Iterator[None]:
    """Hides the messages of reads and writes that Orbax leaves running when one of them fails."""
    try:
        yield
    except BaseException:
        _mute_leftovers()
        raise


@functools.cache
def _mute_leftovers() -> None:
    """Lasts until the process ends, because they may end at any time; other messages stay."""
    show = sys.unraisablehook

    def show_others(unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)  # of a coroutine that nobody awaits
        closed = str(unraisable.exc_value) == "Event loop is closed"
        if not closed and (code is None or "orbax" not in code.co_filename):
            show(unraisable)

    sys.unraisablehook = show_others
    retrieved = "exception was never retrieved"
    logging.getLogger("asyncio").addFilter(lambda record: retrieved not in record.getMessage())


def first_cell(folder: Path) -> str:
    """The first cell of the chunk whose checkpoints lie in workdir/checkpoints/name."""
    return folder.name.partition("~")[0]


def mend(folder: Path) -> str:
    """How to get back the cells of a checkpoint: `folder` is workdir/checkpoints/name/number."""
    cell = first_cell(folder.parent)
    if (folder.parent.parent.parent / "counts" / f"{cell}.npz").exists():
        return (
            f"delete {folder.parent} and the counts of its cells, such as counts/{cell}.npz, and "
            "run the same command again to train them anew"
        )
    return "run the same command again to train its cells anew"
