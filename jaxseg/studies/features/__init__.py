"""Features: how well the distance to the border can be read out of a network's layers.

Asked of trained networks, with random weights and another padding as controls.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxseg.errors import check_choice
from jaxseg.metrics.bootstrap import Estimate
from jaxseg.metrics.verdict import UNITS, judge
from jaxseg.nets.registry import Network
from jaxseg.report.section import Section, Table
from jaxseg.report.text import estimate_text, number, plural
from jaxseg.studies.cell_frames import Frames
from jaxseg.studies.features.figures import figures
from jaxseg.studies.features.measures import (
    AS_IS,
    RANDOM,
    RANDOM_SEEDS,
    ROLLED,
    TRAINED,
    CellFeatures,
    audit_features,
    best_layer,
    difference,
    find_probed,
    probed_estimate,
)

SCOPE = UNITS["images"]
RULE = (
    "Rule: a ridge regression from a pixel's features to its distance from the border is fitted on "
    "some images and scored by R² on others (1: it predicts every distance, 0: no better than the "
    "mean distance). Frames are rolled at random first, so that what they show is no clue to it. A "
    f"difference is called shown where its 95 % interval excludes 0: {SCOPE}, or across seeds and "
    "images for random weights."
)
DISPUTED = (
    "Random weights separate paddings too: the border leaves its trace in the computation before "
    "anything is learned, so that a high R² alone does not show that training made use of it. "
    "Literature disputes what it means: Islam et al. 2020 and 2024 read it as position information "
    "that networks encode, with padding as its source; Kayhan & van Gemert 2020 as boundary "
    "effects that filters come to exploit, far into the frame, and that another convolution "
    "removes; Alsallakh et al. 2021 as artefacts of unevenly applied padding."
)


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
        shown = (frames.ids, frames.images)
        found.append(
            audit_features(cell.name, cell.net, cell.variables, *shown, layer=layer, seeds=seeds)
        )
    return features_section(found)._replace(taken=taken)


def features_section(cells: Sequence[CellFeatures]) -> Section:
    """The section of a feature audit of one or more cells, compared with the first."""
    first, *others = cells
    return Section(
        name="features",
        title="Features: " + ", ".join(cell.name for cell in cells),
        verdict=[
            *(line for cell in cells for line in _cell_sentences(cell)),
            *(_pair_sentence(first, other) for other in others),
            RULE,
        ],
        tables=list(_tables(cells)),
        figures=list(figures(cells)),
        notes=list(_notes(cells)),
    )


def _cell_sentences(cell: CellFeatures) -> Iterator[str]:
    """Of the layer from which position is read out best in the trained cell, on rolled frames."""
    own = find_probed(cell, TRAINED, cell.padding, ROLLED)
    layer = best_layer(own)
    settings = ((cell.padding, "padding"), (cell.upsampling, "up-sampling"))
    named = ", ".join(f"{name} {kind}" for name, kind in settings if name)
    control = find_probed(cell, RANDOM, cell.padding, ROLLED)
    against = {TRAINED: "", RANDOM: ""}
    if cell.other:
        for probed, same in ((own, " and the same weights"), (control, "")):
            other = find_probed(cell, probed.weights, cell.other, ROLLED)
            against[probed.weights] = (
                f"; {number(probed_estimate(other, layer).value)} with {cell.other} padding{same}, "
                f"{_difference_text(difference(probed, other, layer))}"
            )
    yield (
        f"{cell.name}{f' ({named})' if named else ''}: of all layers {layer} predicts a pixel's "
        f"distance from the border best, R² {estimate_text(probed_estimate(own, layer))} {SCOPE} "
        f"({plural(len(cell.held_out), 'held-out image')}){against[TRAINED]}."
    )
    yield (
        f"Random weights of the same network ({plural(cell.seeds, 'seed')}): R² "
        f"{estimate_text(probed_estimate(control, layer))} at {layer}{against[RANDOM]}."
    )


def _difference_text(gap: Estimate) -> str:
    """`a difference of +0.471 [+0.283, +0.660]` or `no difference shown, +0.02 [−0.01, +0.05]`."""
    shown = judge(gap.low, gap.high, None, unit="images").is_shown
    text = estimate_text(gap, signed=True)
    return f"a difference of {text}" if shown else f"no difference shown, {text}"


def _pair_sentence(first: CellFeatures, second: CellFeatures) -> str:
    if not _comparable(first, second):
        return f"{first.name} and {second.name} saw other images or layers: not compared."
    a, b = (find_probed(cell, TRAINED, cell.padding, ROLLED) for cell in (first, second))
    layer = best_layer(a)
    text = _difference_text(difference(a, b, layer))
    return f"{first.name} against {second.name} at {layer}: {text} across images of two models."


def _comparable(first: CellFeatures, second: CellFeatures) -> bool:
    """Whether two cells were scored on the same images and have the same layers."""
    layers = [list(cell.probed[0].by_layer) for cell in (first, second)]
    return first.held_out == second.held_out and layers[0] == layers[1]


def _notes(cells: Sequence[CellFeatures]) -> Iterator[str]:
    """Cautions for a reader of the numbers."""
    yield DISPUTED
    yield (
        "A probe shows what can be read out of a layer and not what the network uses: the shift "
        "audit shows that."
    )
    yield (
        "The other padding is applied to the weights as they were trained; probes are fitted anew. "
        "On frames as they are, what an image shows is a clue to position as well (objects in the "
        "middle, dark corners): compare with the other padding, not with 0. Intervals cover "
        "images, and seeds of the random networks; a trained cell is one network."
    )
    if alone := [cell.name for cell in cells if not cell.other]:
        yield (
            f"{', '.join(alone)}: the network has no padding switch, so that its own convolutions "
            "are compared with no other padding."
        )
    if any(cell.padding == "valid" for cell in cells):
        yield "A valid network mirrors its input once: features next to the border see it."


def _tables(cells: Sequence[CellFeatures]) -> Iterator[Table]:
    rows = []
    for cell in (cell for cell in cells if cell.other):
        for weights in (TRAINED, RANDOM):
            own, other = (find_probed(cell, weights, p, ROLLED) for p in (cell.padding, cell.other))
            for layer in own.by_layer:
                a, b = (probed_estimate(probed, layer).value for probed in (own, other))
                gap = difference(own, other, layer)
                rows.append((cell.name, weights, layer, cell.padding, a, cell.other, b, *gap))
    yield Table(
        "features",
        "R² of the distance to the border on rolled frames by layer: own padding, another one under"
        " the same weights, and the difference (95 % interval, paired by image)",
        ("cell", "weights", "layer", "padding", "r2", "other_padding", "r2_other", "difference",
         "low", "high", "n_images"),
        rows,
    )  # fmt: skip
    yield Table(
        "feature_probes",
        "R² of the probe under every condition (95 % intervals over held-out images, and over "
        "seeds of random weights)",
        ("cell", "weights", "padding", "frames", "layer", "r2", "low", "high", "n_images",
         "n_seeds"),
        [
            (cell.name, probed.weights, probed.padding, probed.frames, layer,
             *probed_estimate(probed, layer), len(values))
            for cell in cells
            for probed in cell.probed
            for layer, values in probed.by_layer.items()
        ],
    )  # fmt: skip
    first, *others = cells
    rows = []
    for other in (other for other in others if _comparable(first, other)):
        for frames in (ROLLED, AS_IS):
            a, b = (find_probed(cell, TRAINED, cell.padding, frames) for cell in (first, other))
            for layer in a.by_layer:
                rows.append((first.name, other.name, frames, layer, *difference(a, b, layer)))
    if rows:
        yield Table(
            "feature_cells",
            "Trained cells against each other: R² of the first minus R² of the second, paired by "
            "image",
            ("first", "second", "frames", "layer", "difference", "low", "high", "n_images"),
            rows,
        )
