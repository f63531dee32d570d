import csv
import io
import math

import numpy as np
import pytest
from fake_workdir import fake_workdir

from jaxseg.errors import JaxsegError
from jaxseg.metrics import statistics
from jaxseg.metrics.dice import recall
from jaxseg.report.export import table_csv
from jaxseg.report.section import Table
from jaxseg.studies import rows as e
from jaxseg.studies.position import measures as t
from jaxseg.studies.rows import SUMMARY_COLUMNS, value_of
from jaxseg.studies.workdir_files import load


def as_csv(rows):
    fields = [row[: len(SUMMARY_COLUMNS)] for row in rows]
    return table_csv(Table("summary", "", SUMMARY_COLUMNS, fields))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load(fake_workdir(tmp_path_factory.mktemp("grid"), seeds=3, images=30))


@pytest.fixture(scope="module")
def rows(results):
    return t.estimates(results)


def test_values_equal_counts_by_hand(results, rows):
    border = results.counts("zeros/center", "quarter", "border")[:, :, :, 0].sum(axis=1)
    tp, fp, fn = np.moveaxis(border.sum(axis=1).astype(float), -1, 0)
    by_hand = {"dice": 2 * tp / (2 * tp + fp + fn), "iou": tp / (tp + fp + fn)}
    for metric, values in by_hand.items():
        row = value_of(rows, "zeros/center", "quarter", "all", metric)
        assert row.value == pytest.approx(values.mean())
        assert row.ci_low <= row.value <= row.ci_high
    tp, _, fn = np.moveaxis(border[:, 0].astype(float), -1, 0)
    outer = value_of(rows, "zeros/center", "quarter", "outer", "recall")
    assert outer.value == pytest.approx((tp / (tp + fn)).mean())
    assert (outer.n_seeds, outer.n_images) == (3, 30)


def test_the_index_is_inner_minus_outer_recall(rows):
    for row in rows:
        if row.metric == "border_shortcut_index":
            inner = value_of(rows, row.arm, row.test_set, "inner", "recall")
            outer = value_of(rows, row.arm, row.test_set, "outer", "recall")
            assert row.value == pytest.approx(inner.value - outer.value)


def test_the_outermost_border_ring_is_the_outer_region(rows):
    for arm in {row.arm for row in rows}:
        ring = value_of(rows, arm, "quarter", "border:0-8", "recall")
        outer = value_of(rows, arm, "quarter", "outer", "recall")
        assert ring.value == pytest.approx(outer.value)


@pytest.mark.parametrize("within", [e.SHARE, e.DIFFERENCE])
def test_intervals_of_few_seeds_end_where_the_metric_does(within):
    scores = np.repeat([[0.1], [0.95]], 5, axis=1)
    row = e.row_of(
        e.Scored("a", "full", scores, 500), "all", "dice", statistics.item_mean, within=within
    )
    free = statistics.estimate(scores, statistics.item_mean, clusters=np.arange(5), resamples=500)
    assert free.ci_low < within[0] and free.ci_high > within[1]
    assert (row.ci_low, row.ci_high) == within


def test_shares_and_their_differences_have_their_own_bounds(rows):
    for row in rows:
        low = -1 if row.metric == "border_shortcut_index" else 0
        if not math.isnan(row.ci_low):
            assert low <= row.ci_low <= row.ci_high <= 1, row


def test_every_ring_of_both_layouts_has_its_row(rows):
    bands = {row.band for row in rows}
    # 10 px of 256 are 2.5 px of 64: half-widths from 32 inwards; borders in steps of 8 px.
    assert {f"centre:{w:g}" for w in np.arange(32, 0, -2.5)} <= bands
    assert {"border:0-8", "border:8-16", "border:16-24", "border:24-32"} <= bands


def test_rings_of_another_width_than_the_config_says_are_refused(results):
    narrow = results._replace(scoring=results.scoring._replace(border_px=4))
    with pytest.raises(JaxsegError, match="4 border rings"):
        t.band_labels(narrow, "border", 4)


def test_per_image_dice_and_its_spread(results, rows):
    each = results.counts("zeros/center", "full", "border")[:, :, :, 0].sum(axis=2).astype(float)
    tp, fp, fn = np.moveaxis(each, -1, 0)
    values = 2 * tp / (2 * tp + fp + fn)
    mean = value_of(rows, "zeros/center", "full", "all", "dice_per_image")
    spread = value_of(rows, "zeros/center", "full", "all", "dice_per_image_sd")
    assert mean.value == pytest.approx(values.mean())
    assert spread.value == pytest.approx(values.std(axis=1, ddof=1).mean())


def test_summing_the_quarters_of_an_image_changes_no_pooled_interval(results):
    border = results.counts("zeros/center", "quarter", "border")
    image = results.clusters("quarter")
    summed = e.by_image(border, image)
    options = {"resamples": 200, "seed": 3}
    items = statistics.estimate(border, statistics.pooled(recall), clusters=image, **options)
    images = statistics.estimate(
        summed, statistics.pooled(recall), clusters=np.arange(30), **options
    )
    assert summed.shape == (3, 30, 4, 1, 3)
    np.testing.assert_allclose(images[:4], items[:4])


def test_bands_without_any_object_are_empty_not_zero(tmp_path):
    results = load(fake_workdir(tmp_path, seeds=2, images=6, empty_border=True))
    rows = t.estimates(results)
    outer = value_of(rows, "zeros/center", "quarter", "outer", "recall")
    assert math.isnan(outer.value)
    assert outer.n_left_out == 6
    text = as_csv([outer])
    assert next(csv.DictReader(io.StringIO(text)))["value"] == ""


def test_several_classes_have_their_own_rows(tmp_path):
    workdir = fake_workdir(tmp_path, seeds=2, images=6, classes=("head", "femur"))
    rows = t.estimates(load(workdir))
    both = value_of(rows, "zeros/center", "full", "all", "dice").value
    for name in ("head", "femur"):
        # The factory gives all classes equal counts.
        one = value_of(rows, "zeros/center", "full", "all", f"dice:{name}")
        assert one.value == pytest.approx(both)


def test_every_column_is_written(rows):
    text = as_csv(rows)
    read = list(csv.DictReader(io.StringIO(text)))
    needed = ["arm", "test_set", "band", "metric", "value", "ci_low", "ci_high"]
    needed += ["n_images", "n_seeds"]
    assert len(read) == len(rows)
    assert set(needed) <= set(read[0])
    assert float(read[0]["value"]) == pytest.approx(rows[0].value, rel=1e-5)
