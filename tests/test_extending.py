"""What has to be edited to add something: a row in one table, as CONTRIBUTING.md says.

Own networks, which need no edit at all, are in tests/nets/test_registry.py and
tests/grid/test_own_network.py.
"""

import pathlib

import numpy as np
import pytest

from jaxseg.data import crops
from jaxseg.data.crops import Stream, stream_plan
from jaxseg.grid.config import Config, DataConfig, check_config
from jaxseg.metrics import statistics
from jaxseg.nets import padding
from jaxseg.studies.position import measures
from jaxseg.studies.results import CountsInMemory, Results


def results():
    """Two seeds of one arm, scored on three images in the rings of a frame of 16 pixels."""
    rng = np.random.default_rng(0)
    arrays = {}
    for seed in (0, 1):
        arrays["only", seed, "full.centre"] = rng.integers(1, 9, (3, 13, 1, 3))
        arrays["only", seed, "full.border"] = rng.integers(1, 9, (3, 16, 1, 3))
        arrays["only", seed, "full.image"] = np.arange(3)
    return Results(
        arms=["only"], seeds={"only": (0, 1)}, settings={"only": {}}, axes={},
        test_sets=["full"], stored=CountsInMemory(arrays),
    )  # fmt: skip


def test_a_metric_from_counts_is_a_function_and_a_row(monkeypatch):
    def false_share(counts, empty="nan"):
        """Share of the predicted pixels that are wrong."""
        return counts[..., 1] / (counts[..., 0] + counts[..., 1])

    rows = {("all", "false_share"): statistics.pooled(false_share)}
    monkeypatch.setattr(measures, "NUMBERS", measures.NUMBERS | rows)
    found = results()
    (row,) = (r for r in measures.estimates(found) if r.metric == "false_share")
    sums = [found.stored("only", s, "full.border").sum(axis=(0, 1, 2)) for s in (0, 1)]
    assert row.value == pytest.approx(np.mean([fp / (tp + fp) for tp, fp, _ in sums]))
    assert row.ci_low < row.value < row.ci_high


def test_a_crop_is_a_function_and_a_row(monkeypatch):
    def upper_half(draws):
        return np.broadcast_to([0.0, 0.25, 0.5, 0.75], draws.shape)

    monkeypatch.setitem(crops.POLICIES, "upper", crops.Policy(upper_half, "frame2x"))
    _, boxes, _ = stream_plan(Stream("upper", 0), 5, 0)
    np.testing.assert_allclose(boxes, np.tile([0.0, 0.25, 0.5, 0.75], (5, 1)))
    check_config(Config(data=DataConfig(crop="upper")))


def test_a_padding_is_named_in_its_own_module_alone():
    home = pathlib.Path(padding.__file__)
    for path in home.parents[1].rglob("*.py"):
        text = path.read_text().replace('mode="symmetric"', "")  # of numpy.pad
        assert path == home or '"symmetric"' not in text, path
    assert {"symmetric", "partial"} <= set(padding.PADDING_MODES)
