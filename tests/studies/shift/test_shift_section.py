"""The section of a shift audit of planted models and of a random network."""

import csv
import io

import jax
import numpy as np
import pytest

from jaxseg.errors import JaxsegError
from jaxseg.metrics.bands import border_depth
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.report.plot import rendered
from jaxseg.studies.features.measures import random_variables
from jaxseg.studies.models import callable_model, network_model
from jaxseg.studies.shift import section


def frames_at(side, n=5):
    y, x = np.mgrid[:side, :side] / side
    for k in range(n):
        rng = np.random.default_rng(k)
        middle = 0.5 + rng.uniform(-0.04, 0.04, 2)
        truth = ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 0.2**2).astype(np.uint8)
        image = truth[..., None] * 90 + rng.integers(0, 60, (side, side, 3))
        yield f"scene{k}", image.astype(np.uint8), truth


def looks(images):
    return (images[..., 0] >= 75).astype(np.uint8)


def blind_at_the_border(images):
    return looks(images) * (border_depth(images.shape[1:3]) >= 10)


def told(predict, factor=16):
    return section(callable_model("m:f", predict, size=32)._replace(factor=factor), frames_at)


@pytest.fixture(scope="module")
def network():
    net = Network.of(UNet(width=2, depth=1, padding="zeros", upsampling="nearest"))
    images = np.stack([image for _, image, _ in frames_at(32, 4)])
    variables = jax.tree.map(np.asarray, random_variables(net, 0, images))
    return section(network_model("zeros-s0", net, variables, 32), frames_at)


def test_a_loss_is_told_with_its_interval_and_the_rule():
    outcome = told(blind_at_the_border, factor=4)
    assert outcome.title == "Shift: m:f" and outcome.name == "shift"
    assert outcome.verdict[1].startswith("Same scale test: moved by up to 10 px of 64")
    assert "a loss of 0." in outcome.verdict[1]
    assert outcome.verdict[1].endswith(" across images of one model (5 images).")
    assert outcome.verdict[-1].startswith("Rule: a model that finds the object by its looks")
    assert "1 − Dice" in outcome.notes[1]


def test_no_loss_is_told_as_such():
    outcome = told(looks)
    assert "no loss shown, 0.000 [0.000, 0.000]" in outcome.verdict[1]
    assert "differ by 0.000" in outcome.verdict[2]


def test_a_model_that_never_finds_anything_is_told_without_a_warning():
    outcome = told(lambda images: np.zeros(images.shape[:3], np.uint8))
    assert "Dice 0.000 in the central window to 0.000 in the outermost two" in outcome.verdict[1]
    assert "differ by –" in outcome.verdict[2]
    for picture in outcome.figures:
        rendered(picture.figure, "png")


def test_a_function_that_takes_one_size_only_is_told_as_left_out():
    def strict(images):
        if images.shape[1] != 32:
            raise JaxsegError("model m:f: raised for uint8 [64, 64, 3]: ValueError: 32 only")
        return looks(images)

    outcome = told(strict)
    assert list(outcome.left_out) == [
        "reach of the border: model m:f: raised for uint8 [64, 64, 3]: ValueError: 32 only"
    ]
    assert [t.name for t in outcome.tables] == ["shift_windows", "shift_rolls"]


def test_a_networks_section_tells_reach_and_contributions(network):
    text = " ".join(network.verdict)
    assert "border reaches 8 px into the logits;" in text
    assert "0 to rounding with circular and nearest" in text
    assert [t.name for t in network.tables] == [
        "shift_windows", "shift_rolls", "shift_reach", "shift_reach_profile",
    ]  # fmt: skip
    assert [p.name for p in network.figures] == [
        "shift_strip_reference", "shift_strip_same_scale", "shift_offsets", "shift_contributions",
        "shift_reach",
    ]  # fmt: skip


def test_rows_fit_their_columns_and_can_be_written(network):
    for table in network.tables:
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
        text = io.StringIO()
        csv.writer(text).writerows([table.columns, *table.rows])
        assert "array" not in text.getvalue() and "Estimate" not in text.getvalue()
    reach = next(t for t in network.tables if t.name == "shift_reach")
    rows = [dict(zip(reach.columns, row)) for row in reach.rows]
    assert {row["theoretical_px"] for row in rows} == {8}
    assert all(row["noticeable_px"] <= row["full_px"] <= 8 for row in rows)


def test_beyond_the_reach_aligned_windows_agree(network):
    table = network.tables[0]
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    aligned = [row for row in rows if row["aligned"] and row["offset_px"]]
    assert aligned and all(row["error_beyond"] < 1e-5 < row["error_near"] for row in aligned)


def test_figures_have_labels_words_and_equal_bytes(network):
    for picture in network.figures:
        assert len(picture.alt) > 40 and picture.title
        assert rendered(picture.figure, "png").startswith(b"\x89PNG")
    offsets = next(p for p in network.figures if p.name == "shift_offsets").figure
    labels = [ax.get_xlabel() for ax in offsets.axes] + [ax.get_ylabel() for ax in offsets.axes]
    assert "Offset along both axes (px of 256)" in labels and "Dice" in " ".join(labels)
