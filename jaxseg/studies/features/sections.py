"""A feature audit as one section: verdict with its rule, tables, Fig. 5 of the paper, disputes."""

from collections.abc import Iterator, Sequence

from jaxseg.metrics.bootstrap import Estimate
from jaxseg.metrics.verdict import UNITS, judge
from jaxseg.report.section import Figure, Section, Table
from jaxseg.report.text import number, plural, with_interval
from jaxseg.studies.features.features import (
    AS_IS,
    RANDOM,
    ROLLED,
    TRAINED,
    CellFeatures,
    best_layer,
    difference,
    find_probed,
    probed_estimate,
)
from jaxseg.studies.features.figures import map_figure, probe_figure

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
READ_OUT = (
    "A probe shows what can be read out of a layer and not what the network uses: the shift audit "
    "shows that."
)
DIFFERENCE_COLUMNS = (
    "cell",
    "weights",
    "layer",
    "padding",
    "r2",
    "other_padding",
    "r2_other",
    "difference",
    "low",
    "high",
    "n_images",
)
PROBE_COLUMNS = (
    "cell",
    "weights",
    "padding",
    "frames",
    "layer",
    "r2",
    "low",
    "high",
    "n_images",
    "n_seeds",
)
PAIR_COLUMNS = ("first", "second", "frames", "layer", "difference", "low", "high", "n_images")


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
        figures=list(_figures(cells)),
        notes=list(_notes(cells)),
    )


def _cell_sentences(cell: CellFeatures) -> Iterator[str]:
    """Of the layer from which position is read out best in the trained cell, on rolled frames."""
    own = find_probed(cell, TRAINED, cell.padding, ROLLED)
    layer = best_layer(own)
    settings = ((cell.padding, "padding"), (cell.upsampling, "up-sampling"))
    named = ", ".join(f"{name} {kind}" for name, kind in settings if name)
    yield (
        f"{cell.name}{f' ({named})' if named else ''}: of all layers {layer} predicts a pixel's "
        f"distance from the border best, R² {_text(probed_estimate(own, layer))} {SCOPE} "
        f"({plural(len(cell.held_out), 'held-out image')}){_against(cell, TRAINED, layer)}."
    )
    control = find_probed(cell, RANDOM, cell.padding, ROLLED)
    yield (
        f"Random weights of the same network ({plural(cell.seeds, 'seed')}): R² "
        f"{_text(probed_estimate(control, layer))} at {layer}{_against(cell, RANDOM, layer)}."
    )


def _against(cell: CellFeatures, weights: str, layer: str) -> str:
    """`; 0.000 with circular padding and the same weights, a difference of 0.471 [0.283, 0.660]`.

    Empty where there is no other padding.
    """
    if not cell.other:
        return ""
    own, other = (find_probed(cell, weights, p, ROLLED) for p in (cell.padding, cell.other))
    value = number(probed_estimate(other, layer).value)
    text = f"; {value} with {cell.other} padding"
    if weights == TRAINED:
        text += " and the same weights"
    return f"{text}, {_difference_text(difference(own, other, layer))}"


def _difference_text(gap: Estimate) -> str:
    """`a difference of +0.471 [+0.283, +0.660]` or `no difference shown, +0.02 [−0.01, +0.05]`."""
    shown = judge(gap.low, gap.high, None, unit="images").is_shown
    return f"{'a difference of' if shown else 'no difference shown,'} {_text(gap, signed=True)}"


def _pair_sentence(first: CellFeatures, second: CellFeatures) -> str:
    if not comparable(first, second):
        return f"{first.name} and {second.name} saw other images or layers: not compared."
    a, b = (find_probed(cell, TRAINED, cell.padding, ROLLED) for cell in (first, second))
    layer = best_layer(a)
    text = _difference_text(difference(a, b, layer))
    return f"{first.name} against {second.name} at {layer}: {text} across images of two models."


def comparable(first: CellFeatures, second: CellFeatures) -> bool:
    """Whether two cells were scored on the same images and have the same layers."""
    layers = [list(cell.probed[0].by_layer) for cell in (first, second)]
    return first.held_out == second.held_out and layers[0] == layers[1]


def _text(value: Estimate, signed: bool = False) -> str:
    return with_interval(value.value, value.low, value.high, signed)


def _notes(cells: Sequence[CellFeatures]) -> Iterator[str]:
    """Cautions for a reader of the numbers."""
    yield DISPUTED
    yield READ_OUT
    yield (
        "The other padding is applied to the weights as they were trained; probes are fitted anew. "
        "On frames as they are, what an image shows is a clue to position as well (objects in the "
        "middle, dark corners): compare with the other padding, not with 0. Intervals cover "
        "images, and seeds of the random networks; a trained cell is one network."
    )
    alone = [cell.name for cell in cells if not cell.other]
    if alone:
        yield (
            f"{', '.join(alone)}: the network has no padding switch, so that its own convolutions "
            "are compared with no other padding."
        )
    if any(cell.padding == "valid" for cell in cells):
        yield "A valid network mirrors its input once: features next to the border see it."


def _tables(cells: Sequence[CellFeatures]) -> Iterator[Table]:
    yield Table(
        "features",
        "R² of the distance to the border on rolled frames by layer: own padding, another one under"
        " the same weights, and the difference (95 % interval, paired by image)",
        DIFFERENCE_COLUMNS,
        [row for cell in cells if cell.other for row in _difference_rows(cell)],
    )
    yield Table(
        "feature_probes",
        "R² of the probe under every condition (95 % intervals over held-out images, and over "
        "seeds of random weights)",
        PROBE_COLUMNS,
        [row for cell in cells for row in _probe_rows(cell)],
    )
    first, *others = cells
    alike = [other for other in others if comparable(first, other)]
    pairs = [row for other in alike for row in _pair_rows(first, other)]
    if pairs:
        yield Table(
            "feature_cells",
            "Trained cells against each other: R² of the first minus R² of the second, paired by "
            "image",
            PAIR_COLUMNS,
            pairs,
        )


def _difference_rows(cell: CellFeatures) -> Iterator[tuple]:
    for weights in (TRAINED, RANDOM):
        own, other = (find_probed(cell, weights, p, ROLLED) for p in (cell.padding, cell.other))
        for layer in own.by_layer:
            a, b = (probed_estimate(probed, layer).value for probed in (own, other))
            gap = difference(own, other, layer)
            yield (cell.name, weights, layer, cell.padding, a, cell.other, b, *gap)


def _probe_rows(cell: CellFeatures) -> Iterator[tuple]:
    for probed in cell.probed:
        for layer, values in probed.by_layer.items():
            condition = (probed.weights, probed.padding, probed.frames, layer)
            yield (cell.name, *condition, *probed_estimate(probed, layer), len(values))


def _pair_rows(first: CellFeatures, second: CellFeatures) -> Iterator[tuple]:
    for frames in (ROLLED, AS_IS):
        a, b = (find_probed(cell, TRAINED, cell.padding, frames) for cell in (first, second))
        for layer in a.by_layer:
            yield (first.name, second.name, frames, layer, *difference(a, b, layer))


def _figures(cells: Sequence[CellFeatures]) -> Iterator[Figure]:
    best = []
    for cell in cells:
        own = find_probed(cell, TRAINED, cell.padding, ROLLED)
        layer = best_layer(own)
        value = probed_estimate(own, layer).value
        best.append(f"{cell.name} on rolled frames: highest at {layer}, {value:.2f}.")
    yield Figure(
        "feature_probe",
        "How well a linear read-out of each layer predicts the distance to the border (bars: 95 % "
        "intervals; hollow: random weights)",
        "R² by layer. " + " ".join(best),
        probe_figure(cells),
    )
    layers = ", ".join(dict.fromkeys(cell.map.layer for cell in cells))
    yield Figure(
        "feature_map",
        f"Principal components of {layers} (each grows inwards from the border)",
        "Maps of the first components over one held-out image, and pixels of all held-out images on"
        " components 1 and 2, darker nearer to the border.",
        map_figure(cells),
    )
