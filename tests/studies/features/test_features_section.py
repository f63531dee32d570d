"""The section of a feature audit of planted probes: no network is run."""

import csv
import io

import numpy as np
import pytest

from jaxseg.report.plot import rendered
from jaxseg.studies.features import features_section
from jaxseg.studies.features.measures import (
    AS_IS,
    RANDOM,
    ROLLED,
    TRAINED,
    CellFeatures,
    FeatureMap,
    Probed,
)

LAYERS = ("inc", "down1", "up1")


def cell(name, padding, other, images=12, seeds=4, level=0.8):
    """R² of about `level` under zeros at down1, half of it at up1, 0 elsewhere."""
    rng = np.random.default_rng(0)

    def planted(weights, of, frames):
        peak = {"inc": 0.0, "down1": level, "up1": level / 2}
        share = (1.0 if weights == TRAINED else 0.3) * (of == "zeros")
        rows = seeds if weights == RANDOM else 1
        noise = lambda: rng.normal(0, 0.02, (rows, images))  # noqa: E731
        return Probed(weights, of, frames, {k: share * peak[k] + noise() for k in LAYERS})

    probed = [
        planted(w, p, f)
        for f in (AS_IS, ROLLED)
        for w in (TRAINED, RANDOM)
        for p in (padding, other)
    ]
    picture = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    dots = rng.uniform(0, 8, (60, 3))
    mapped = FeatureMap("up1", picture, rng.normal(size=(2, 16, 16, 3)), dots, np.full(3, 0.3))
    ids = [f"image{k}" for k in range(images)]
    return CellFeatures(name, padding, other, "nearest", ids, seeds, probed, mapped)


@pytest.fixture(scope="module")
def pair():
    return [cell("zeros-s0", "zeros", "circular"), cell("circular-s0", "circular", "zeros")]


@pytest.fixture(scope="module")
def outcome(pair):
    return features_section(pair)


def test_the_verdict_gives_the_layer_the_difference_and_the_random_control(outcome):
    first, control = outcome.verdict[:2]
    assert first.startswith("zeros-s0 (zeros padding, nearest up-sampling): of all layers down1")
    assert "with circular padding and the same weights, a difference of +0." in first
    assert control.startswith("Random weights of the same network (4 seeds): R² 0.2")
    assert "a difference of +0.2" in control
    assert outcome.verdict[4].startswith("zeros-s0 against circular-s0 at down1: a difference of")
    assert outcome.verdict[-1].startswith("Rule: a ridge regression")


def test_where_nothing_is_told_no_difference_is_called(pair):
    flat = features_section([cell("flat-s0", "zeros", "circular", level=0.0)])
    assert "no difference shown," in flat.verdict[1]
    assert len(flat.verdict) == 3 and len(flat.tables) == 2


def test_the_notes_say_that_random_weights_separate_and_that_it_is_disputed(outcome):
    text = " ".join(outcome.notes)
    for words in ("Random weights separate paddings too", "disputes", "Islam et al. 2020 and 2024",
                  "Kayhan & van Gemert 2020", "Alsallakh et al. 2021"):  # fmt: skip
        assert words in text


def test_rows_fit_their_columns_and_can_be_written(outcome):
    names = [table.name for table in outcome.tables]
    assert names == ["features", "feature_probes", "feature_cells"]
    for table in outcome.tables:
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
        text = io.StringIO()
        csv.writer(text).writerows([table.columns, *table.rows])
        assert "array" not in text.getvalue()
    assert len(outcome.tables[1].rows) == 2 * 8 * len(LAYERS)


def test_the_difference_is_that_of_the_two_columns_beside_it(outcome):
    table = outcome.tables[0]
    for row in table.rows:
        values = dict(zip(table.columns, row))
        assert values["difference"] == pytest.approx(values["r2"] - values["r2_other"])
        assert values["low"] <= values["difference"] <= values["high"]


def test_cells_that_saw_other_images_are_not_compared():
    cells = [cell("a", "zeros", "circular"), cell("b", "circular", "zeros", images=9)]
    outcome = features_section(cells)
    assert "a and b saw other images or layers: not compared." in outcome.verdict
    assert "feature_cells" not in [table.name for table in outcome.tables]


def test_figures_have_labels_and_words(outcome):
    for picture in outcome.figures:
        assert len(picture.alt) > 40
        assert rendered(picture.figure, "png").startswith(b"\x89PNG")
    probe, mapped = (picture.figure for picture in outcome.figures)
    assert "R²" in probe.axes[0].get_ylabel() and "Layer" in probe.axes[0].get_xlabel()
    assert any("distance to the border (px)" in ax.get_ylabel() for ax in mapped.axes)
