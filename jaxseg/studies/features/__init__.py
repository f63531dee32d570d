"""Features: how well the distance to the border can be read out of a network's layers.

Asked of trained networks, with random weights and another padding as controls.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxseg.errors import check_choice
from jaxseg.nets.registry import Network
from jaxseg.report.section import Section
from jaxseg.studies.cell_frames import Frames
from jaxseg.studies.features.features import RANDOM_SEEDS, audit_features
from jaxseg.studies.features.sections import features_section


class Cell(NamedTuple):
    """A trained cell: network, variables, side in pixels; `frames` reads what it is shown."""

    name: str
    net: Network
    variables: Any
    size: int
    frames: Callable[[], Frames]


def section(
    cells: Sequence[Cell], *, layer: str | None = None, seeds: int = RANDOM_SEEDS
) -> Section:
    """The section of one or more cells, each compared with the first.

    Args:
        cells: the trained cells.
        layer: the one whose features are mapped; by default the last of each network.
        seeds: random networks, at least 1.

    Raises:
        UsageError: a network without named layers or without `layer`, before any is probed; what
            `audit_features` raises.
    """
    for cell in cells:
        blocks = cell.net.blocks(cell.size)
        if layer is not None:
            check_choice("--layer", layer, blocks)
    found, taken = [], []
    for cell in cells:
        frames = cell.frames()
        taken.append(f"{cell.name}: {frames.taken}")
        found.append(
            audit_features(
                cell.name,
                cell.net,
                cell.variables,
                frames.ids,
                frames.images,
                layer=layer,
                seeds=seeds,
            )
        )
    return features_section(found)._replace(taken=taken)
