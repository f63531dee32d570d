"""An audit of features as one section: verdict, tables, Fig. 5 of the paper and more."""

from collections.abc import Iterator, Sequence

from jaxseg.report.section import Figure, Section, Table
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
from jaxseg.studies.features.wording import comparable, notes, verdict


def tell(cells: Sequence[CellFeatures]) -> Section:
    """The section of a feature audit of one or more cells, compared with the first."""
    return Section(
        name="features",
        title="Features: " + ", ".join(cell.name for cell in cells),
        verdict=verdict(cells),
        tables=list(_tables(cells)),
        figures=list(_pictures(cells)),
        notes=notes(cells),
    )


def _tables(cells: Sequence[CellFeatures]) -> Iterator[Table]:
    yield Table(
        "features",
        "R² of the distance to the border on rolled frames by layer: own padding, another one under"
        " the same weights, and the difference (95 % interval, paired by image)",
        DIFFERENCE_COLUMNS,
        [row for cell in cells for row in _difference_rows(cell, ROLLED)],
    )
    yield Table(
        "feature_probes",
        "R² of the probe under every condition (95 % intervals over held-out images, and over "
        "seeds of random weights)",
        PROBE_COLUMNS,
        [row for cell in cells for row in _probe_rows(cell)],
    )
    pairs = [(cells[0], other) for other in cells[1:] if comparable(cells[0], other)]
    if pairs:
        yield Table(
            "feature_cells",
            "Trained cells against each other: R² of the first minus R² of the second, paired by "
            "image",
            ("first", "second", "frames", "layer", "difference", "low", "high", "n_images"),
            [row for pair in pairs for row in _pair_rows(*pair)],
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


def _difference_rows(cell: CellFeatures, frames: str) -> Iterator[tuple]:
    for weights in (TRAINED, RANDOM):
        own, other = (find_probed(cell, weights, p, frames) for p in (cell.padding, cell.other))
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


def _pictures(cells: Sequence[CellFeatures]) -> Iterator[Figure]:
    yield Figure(
        "feature_probe",
        "How well a linear read-out of each layer tells the distance to the border (bars: 95 % "
        "intervals; hollow: random weights)",
        "R² by layer. " + " ".join(map(_probe_alt, cells)),
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


def _probe_alt(cell: CellFeatures) -> str:
    own = find_probed(cell, TRAINED, cell.padding, ROLLED)
    layer = best_layer(own)
    value = probed_estimate(own, layer).value
    return f"{cell.name} on rolled frames: highest at {layer}, {value:.2f}."
