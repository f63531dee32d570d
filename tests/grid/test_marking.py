"""The annotate section of a config: its rules, and what it makes of a cell's data."""

import numpy as np
import pytest

from jaxseg.data.crops import Stream, annotated_images
from jaxseg.errors import UsageError
from jaxseg.grid.cells import expand, group_cells
from jaxseg.grid.evaluate import stability, validation_items
from jaxseg.grid.prepared import cell_stream, validation_stream, views_of_tests
from jaxseg.grid.sweeps import product

ANNOTATE = {
    "contamination": 1.0, "placement": "tied", "removal": "none", "drawn": True, "colour": "yellow",
}  # fmt: skip


@pytest.fixture
def study(tiny_config):
    sets = ("clean", "annotated", "sequence")
    return tiny_config | {
        "annotate": ANNOTATE,
        "eval": tiny_config["eval"] | {"test_sets": sets},
    }


def test_arms_of_a_study_share_one_program(study):
    grid = product(contamination=(0.0, 0.5, 1.0), placement=("tied", "independent"), seed=(0, 1))
    cells = expand(study, [*grid, {"removal": "telea"}, {"removal": "noise", "drawn": False}])
    assert len(group_cells(cells)) == 1
    assert len({cell_stream(cell.config) for cell in cells}) == len(cells)


def test_streams_name_the_view_and_the_share(study):
    (cell,) = expand(study, [{"removal": "telea", "drawn": False, "seed": 3}])
    assert cell_stream(cell.config) == Stream("center", 3, "train.tied.yellow.telea.placebo", 1.0)
    assert validation_stream(cell.config).seed == 0
    assert views_of_tests(cell.config) == {
        "clean": "clean.yellow", "annotated": "annotated.yellow", "sequence": "sequence.yellow",
    }  # fmt: skip


def test_a_config_without_the_section_is_as_before(tiny_config):
    (cell,) = expand(tiny_config, [{"crop": "random"}])
    assert cell_stream(cell.config) == Stream("random", 0)
    assert validation_stream(cell.config).store == "random"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"annotate.contamination": 1.5}, "annotate.contamination=1.5: must be from 0 to 1"),
        ({"annotate.placement": "teid"}, "annotate.placement='teid'.*tied"),
        ({"annotate.removal": "tela"}, "annotate.removal='tela'.*telea"),
        ({"annotate.colour": "red"}, "annotate.colour='red'"),
        ({"annotate.drawn": False}, "annotate.drawn=False: requires a removal"),
        ({"data.crop": "random"}, "data.crop='random': annotated frames are shown whole"),
    ],
)
def test_settings_that_cannot_be_are_named(study, fields, words):
    with pytest.raises(UsageError, match=words):
        expand(study, [fields])


def test_annotated_test_sets_need_the_section(tiny_config):
    tiny_config["eval"]["test_sets"] = ("clean",)
    with pytest.raises(UsageError, match=r"eval.test_sets='clean': requires the config's section"):
        expand(tiny_config, [{}])


def test_a_field_that_lacks_is_named(study):
    study["annotate"] = {"contamination": 1.0}
    with pytest.raises(UsageError, match=r"config field annotate.placement: is missing"):
        expand(study, [{}])


def test_validation_takes_one_version_of_each_frame():
    images = np.arange(10 * 2).reshape(10, 2, 1, 1, 1).astype(np.uint8)
    stream = Stream("center", 0, "train.tied.yellow.none.drawn", 0.5)
    items = validation_items(stream, images, images[..., 0])
    chosen = annotated_images(10, 0, 0.5)
    np.testing.assert_array_equal(items.images[:, 0, 0, 0], 2 * np.arange(10) + chosen)
    assert items.image.tolist() == list(range(10))


def test_stability_counts_against_the_last_prediction_of_the_frame():
    rng = np.random.default_rng(0)
    predictions = rng.integers(0, 3, (2, 5, 4, 4)).astype(np.uint8)
    frame = np.array([0, 0, 1, 1, 1], np.int32)
    counts = stability(predictions, frame, 2)
    assert counts.shape == (2, 5, 2, 3)
    for cell in range(2):
        for item, last in enumerate([1, 1, 4, 4, 4]):
            for k in (1, 2):
                a, b = predictions[cell, item] == k, predictions[cell, last] == k
                expected = [(a & b).sum(), (a & ~b).sum(), (~a & b).sum()]
                assert counts[cell, item, k - 1].tolist() == expected
