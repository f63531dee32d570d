import math

import numpy as np
import pytest
from fake_workdir import PLANTED, fake_workdir

from jaxseg.metrics.verdict import NO_DIFFERENCE
from jaxseg.studies.position import measures as c
from jaxseg.studies.rows import families
from jaxseg.studies.workdir_files import load


def compared(path, **options):
    results = load(fake_workdir(path, **options))
    return results, c.contrasts(results)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("planted"))


def test_the_planted_shortcut_leads_with_its_size(planted):
    results, rows = planted
    lead = c.headline(results, rows)
    assert (lead.arm_a, lead.arm_b, lead.axis) == ("zeros/random", "zeros/center", "data.crop")
    assert lead.verdict == "lower"
    assert -lead.difference == pytest.approx(PLANTED["zeros/center"], abs=0.04)
    assert lead.ci_low < -PLANTED["zeros/center"] + 0.04 and lead.ci_high < 0
    assert lead.p == lead.p_floor == 2 / 2**6


def test_the_interaction_is_the_difference_of_the_two_crop_effects(planted):
    _, rows = planted
    for row in (row for row in rows if row.kind == "interaction"):
        same = [r for r in rows if r.kind == "pair" and c_key(r) == c_key(row)]
        effect = {r.arms: r.difference for r in same}
        expected = effect[row.arm_a, row.arm_b] - effect[row.arm_c, row.arm_d]
        assert row.difference == pytest.approx(expected)
    index = next(r for r in rows if r.kind == "interaction" and r.metric == c.INDEX)
    expected = PLANTED["zeros/center"] - PLANTED["reflect/center"]
    assert index.difference == pytest.approx(expected, abs=0.05)
    assert index.verdict == "higher"


def c_key(row):
    return row.test_set, row.band, row.metric


def test_whole_frames_show_what_the_shortcut_costs_there(planted):
    _, rows = planted
    sets = {(row.test_set, row.metric) for row in rows}
    probe = {("quarter", m) for m in (c.INDEX, "recall", "dice")}
    assert sets == probe | {("full", "dice")}


def test_pairs_differ_in_one_axis_and_face_its_first_value(planted):
    results, rows = planted
    for row in (row for row in rows if row.kind == "pair"):
        a, b = results.settings[row.arm_a], results.settings[row.arm_b]
        assert [key for key in a if a[key] != b[key]] == [row.axis]
        assert b[row.axis] == results.axes[row.axis][0]


def test_holm_runs_over_one_metric(planted):
    _, rows = planted
    for family in families(rows):
        p = sorted(row.p for row in family)
        assert min(row.p_holm for row in family) == pytest.approx(min(1, len(family) * p[0]))
        assert all(row.p_holm >= row.p for row in family)


def test_no_effect_is_told_as_no_difference_shown(tmp_path):
    _, rows = compared(tmp_path, planted={}, seeds=4, images=40)
    index = [row for row in rows if row.metric == c.INDEX]
    assert [row.verdict for row in index].count(NO_DIFFERENCE) >= len(index) - 1
    assert all(row.smallest_detectable > 0 for row in index)


def test_one_seed_shows_no_difference_however_large(tmp_path):
    _, rows = compared(tmp_path, seeds=1, images=20)
    assert {row.verdict for row in rows} == {NO_DIFFERENCE}
    assert all(math.isnan(row.p) and math.isnan(row.p_holm) for row in rows)


def test_one_axis_gives_no_interaction(tmp_path):
    axes = {"net.padding": ["zeros", "reflect", "circular"]}
    results, rows = compared(tmp_path, axes=axes, planted={"zeros": 0.3}, seeds=3, images=10)
    assert {row.kind for row in rows} == {"pair"}
    assert c.headline(results, rows).arms == ("reflect", "zeros")


def test_no_axis_gives_no_comparison(tmp_path):
    results, rows = compared(tmp_path, axes={}, seeds=2, images=6)
    assert rows == [] and c.headline(results, rows) is None


def test_arms_meet_on_the_seeds_both_have(tmp_path):
    lost = ["zeros-center-s0", "zeros-random-s2"]
    results, rows = compared(tmp_path, seeds=4, images=10, diverged=lost)
    row = c.headline(results, rows)
    assert row.n_seeds == 2
    reference = load(fake_workdir(tmp_path / "whole", seeds=4, images=10))
    parts = [by_seed(reference, arm, (1, 3)) for arm in row.arms]
    assert row.difference == pytest.approx(np.mean(parts[0] - parts[1]))


def by_seed(results, arm, seeds):
    """Border shortcut index of the quarter test set, computed from the files alone."""
    values = []
    for seed in seeds:
        name = f"{arm.replace('/', '-')}-s{seed}.npz"
        with np.load(results.workdir / "counts" / name) as stored:
            tp, _, fn = np.moveaxis(
                stored["quarter.border"][:, :, 0].sum(axis=0).astype(float), -1, 0
            )
        inner = tp[1:].sum() / (tp[1:].sum() + fn[1:].sum())
        values.append(inner - tp[0] / (tp[0] + fn[0]))
    return np.array(values)


def test_arms_without_a_common_seed_are_not_compared(tmp_path):
    lost = ["zeros-center-s0", "zeros-random-s1"]
    _, rows = compared(tmp_path, seeds=2, images=6, diverged=lost)
    assert ("zeros/random", "zeros/center") not in {row.arms for row in rows}
    assert rows


def test_a_whole_arm_may_be_missing(tmp_path):
    lost = [f"zeros-center-s{s}" for s in range(2)]
    results, rows = compared(tmp_path, seeds=2, images=6, diverged=lost)
    assert {row.kind for row in rows} == {"pair"}
    assert c.headline(results, rows) is not None


def test_an_undefined_metric_has_no_verdict_but_the_cautious_one(tmp_path):
    _, rows = compared(tmp_path, seeds=3, images=6, empty_border=True)
    index = [row for row in rows if row.metric == c.INDEX]
    assert all(math.isnan(row.difference) and row.verdict == NO_DIFFERENCE for row in index)
    assert any(math.isfinite(row.difference) for row in rows if row.metric == "dice")
