"""What a feature audit says in words: the verdict with its rule, and what is disputed."""

from collections.abc import Iterator, Sequence

from jaxseg.report.text import interval, number, plural
from jaxseg.studies.features.features import (
    RANDOM,
    ROLLED,
    TRAINED,
    CellFeatures,
    best_layer,
    difference,
    find_probed,
    probed_estimate,
)
from jaxseg.studies.intervals import Estimate

RULE = (
    "Rule: a ridge regression from a pixel's features to its distance from the border is fitted on "
    "some images and scored by R² on others (1: it tells every distance, 0: no more than the mean "
    "distance). Frames are rolled at random first, so that what they show cannot tell it. A "
    "difference is called shown where its 95 % interval excludes 0."
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


def verdict(cells: Sequence[CellFeatures]) -> list[str]:
    """Sentences that lead the section, the rule last."""
    lines = [line for cell in cells for line in _cell_sentences(cell)]
    if len(cells) > 1:
        lines += [_pair_sentence(cells[0], other) for other in cells[1:]]
    return [*lines, RULE]


def _cell_sentences(cell: CellFeatures) -> Iterator[str]:
    """Of the layer where the trained cell tells most, on rolled frames."""
    own = find_probed(cell, TRAINED, cell.padding, ROLLED)
    layer = best_layer(own)
    yield (
        f"{cell.name} ({cell.padding} padding, {cell.upsampling} up-sampling): of all layers "
        f"{layer} tells most of a pixel's distance from the border, R² "
        f"{_text(probed_estimate(own, layer))} over {plural(len(cell.held_out), 'held-out image')};"
        f" {_against(cell, TRAINED, layer)} under the same weights."
    )
    control = find_probed(cell, RANDOM, cell.padding, ROLLED)
    yield (
        f"Random weights of the same network ({plural(cell.seeds, 'seed')}): R² "
        f"{_text(probed_estimate(control, layer))} at {layer}; {_against(cell, RANDOM, layer)}."
    )


def _against(cell: CellFeatures, weights: str, layer: str) -> str:
    """`0.000 with circular padding, a difference of 0.471 [0.283, 0.660]`."""
    own, other = (find_probed(cell, weights, p, ROLLED) for p in (cell.padding, cell.other))
    gap = difference(own, other, layer)
    value = number(probed_estimate(other, layer).value)
    return f"{value} with {cell.other} padding, {difference_text(gap)}"


def difference_text(gap: Estimate) -> str:
    """`a difference of 0.471 [0.283, 0.660]` or `no difference shown, 0.02 [−0.01, 0.05]`."""
    shown = gap.low > 0 or gap.high < 0
    return f"{'a difference of' if shown else 'no difference shown,'} {_text(gap, signed=True)}"


def _pair_sentence(first: CellFeatures, second: CellFeatures) -> str:
    a, b = (find_probed(cell, TRAINED, cell.padding, ROLLED) for cell in (first, second))
    if not comparable(first, second):
        return f"{first.name} and {second.name} saw other images or layers: not compared."
    layer = best_layer(a)
    gap = difference(a, b, layer)
    return f"{first.name} against {second.name} at {layer}: {difference_text(gap)}."


def comparable(first: CellFeatures, second: CellFeatures) -> bool:
    """Whether two cells were scored on the same images and have the same layers."""
    layers = [list(cell.probed[0].by_layer) for cell in (first, second)]
    return first.held_out == second.held_out and layers[0] == layers[1]


def _text(value: Estimate, signed: bool = False) -> str:
    text = number(value.value, signed=signed)
    return f"{text} {interval(value.low, value.high, signed)}".strip()


def notes(cells: Sequence[CellFeatures]) -> list[str]:
    """Cautions for a reader of the numbers."""
    found = [
        DISPUTED,
        READ_OUT,
        "The other padding is applied to the weights as they were trained; probes are fitted anew. "
        "On frames as they are, what an image shows tells position as well (objects in the middle, "
        "dark corners): compare with the other padding, not with 0. Intervals cover images, and "
        "seeds of the random networks; a trained cell is one network.",
    ]
    if any(cell.padding == "valid" for cell in cells):
        found.append("A valid network mirrors its input once: features next to the border see it.")
    return found
