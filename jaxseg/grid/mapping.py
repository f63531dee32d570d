"""The cell axis: cells spread over a mesh ('cell', 'data') and stacked within a device.

A mapped function takes and returns arrays with a leading cell axis of devices × cells per device.
Cells do not communicate; the `data` axis splits one cell's batch over devices that would
otherwise idle.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxseg.grid.devices import compiler_options

CELL, DATA = "cell", "data"
Kind = Literal["cell", "batch", "stream", "shared"]
_SPECS = {"cell": P(CELL), "batch": P(CELL, DATA), "stream": P(None, DATA), "shared": P()}


Devices = Sequence[Any]


class Layout(NamedTuple):
    """How a chunk lies on the devices; `slots` cells are trained at the same time."""

    mesh: jax.sharding.Mesh
    per_device: int

    @property
    def slots(self) -> int:
        """Cells of a chunk: devices × cells per device."""
        return self.mesh.shape[CELL] * self.per_device


def make_layout(n_cells: int, batch_size: int, cells_per_device: int, devices: Devices) -> Layout:
    """Cells fill the devices first; where devices are left over, they split the batch.

    `cells_per_device` 0 means one, until `tuning` has measured what is best.
    """
    cells_per_device = cells_per_device or 1
    rows = min(len(devices), -(-n_cells // cells_per_device))
    columns = max(d for d in range(1, len(devices) // rows + 1) if batch_size % d == 0)
    chosen = list(devices[: rows * columns])
    mesh = jax.make_mesh(
        (rows, columns), (CELL, DATA), axis_types=(AxisType.Auto,) * 2, devices=chosen
    )
    return Layout(mesh, cells_per_device)


def map_cells(
    fn: Callable[..., Any],
    layout: Layout,
    kinds: Sequence[Kind],
    donate: Sequence[int] = (),
    out: Kind = "cell",
) -> Any:
    """Compiles `fn` of one cell into a function of a whole chunk.

    Args:
        fn: pure function of one cell.
        layout: mesh and cells per device.
        kinds: for each argument "cell" (leading cell axis), "batch" (cell axis, then a batch axis
            split over `data`), "stream" (an axis of streams instead, all of them for every cell) or
            "shared" (no cell axis, the same for all).
        donate: positions of arguments whose buffers may be reused.
        out: "batch" where outputs are of a batch, "cell" otherwise.

    Returns:
        A jitted function; every output has a leading cell axis.
    """
    axes = tuple(0 if kind in ("cell", "batch") else None for kind in kinds)

    def local(*args):
        if layout.per_device > 1:
            return jax.vmap(fn, in_axes=axes)(*args)
        # One cell on a device is not vmapped: its convolutions stay plain ones.
        single = [
            arg if axis is None else jax.tree.map(lambda a: a[0], arg)
            for arg, axis in zip(args, axes)
        ]
        return jax.tree.map(lambda a: a[None], fn(*single))

    sharded = jax.shard_map(
        local,
        mesh=layout.mesh,
        in_specs=tuple(_SPECS[kind] for kind in kinds),
        out_specs=_SPECS[out],
        check_vma=False,
    )
    platform = layout.mesh.devices.flat[0].platform
    return jax.jit(
        sharded, donate_argnums=tuple(donate), compiler_options=compiler_options(platform)
    )


def put(layout: Layout, kind: Kind, tree: Any) -> Any:
    """Sends numpy arrays to the layout's devices in the way a mapped function expects them."""
    return jax.device_put(tree, NamedSharding(layout.mesh, _SPECS[kind]))


def put_cells(layout: Layout, tree: Any) -> Any:
    """Sends arrays [cells, …] to the layout's slots; those left over repeat the last cell."""

    def filled(array: np.ndarray) -> np.ndarray:
        idle = np.repeat(array[-1:], layout.slots - len(array), axis=0)
        return np.concatenate([array, idle]) if len(idle) else array

    return put(layout, "cell", jax.tree.map(filled, tree))


def take_cells(tree: Any, cells: int) -> Any:
    """The arrays [slots, …] of a chunk as numpy arrays of its first `cells`: the rest are idle."""
    return jax.tree.map(lambda array: np.asarray(array)[:cells], jax.device_get(tree))


def put_slots(layout: Layout, arrays: Sequence[Any]) -> jax.Array:
    """Sends one numpy array [B, …] for each slot, as kind "batch", without stacking all of them."""

    def part(index: Any) -> Any:
        rows = arrays[index[0]]
        return rows[0][None, index[1]] if len(rows) == 1 else np.stack([r[index[1]] for r in rows])

    sharding = NamedSharding(layout.mesh, _SPECS["batch"])
    return jax.make_array_from_callback((len(arrays), *arrays[0].shape), sharding, part)


def chunks(items: Sequence[Any], size: int) -> list[list[Any]]:
    """`items` in runs of `size`; the last may be shorter."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]


def fill(items: Sequence[Any], size: int) -> list[Any]:
    """`items` repeated from the last one up to `size`: idle slots redo a cell, unread."""
    return [*items, *[items[-1]] * (size - len(items))]
