"""How a chunk's batches reach its devices."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxseg.data.pipeline import train_batches
from jaxseg.grid.cells import Cell
from jaxseg.grid.group import Group
from jaxseg.grid.mapping import put


def chunk_batches(
    group: Group, slots: Sequence[Cell], start: int, start_step: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches [slots, B, …] of a chunk on its devices; cells with the same stream share it.

    They begin at step `start_step` of epoch `start`.
    """
    s = group.settings
    keys = [(cell.settings["data.crop"], cell.seed) for cell in slots]
    streams = {
        key: train_batches(
            group.data.train, *key, s["optim.batch_size"], start, s["optim.epochs"], start_step
        )
        for key in dict.fromkeys(keys)
    }
    for parts in zip(*streams.values()):
        batch = dict(zip(streams, parts))
        stacked = [np.stack([batch[key][i] for key in keys]) for i in range(2)]
        yield tuple(put(group.layout, "batch", array) for array in stacked)
