import itertools
import math

import numpy as np
import pytest
from fake_annotation_workdir import DOSES, PLANTED, WHOLE, default_arms, fake_study, planted

from jaxseg.metrics.paired import holm
from jaxseg.metrics.verdict import NO_DIFFERENCE
from jaxseg.studies.annotations import measures as c
from jaxseg.studies.annotations import measures as r
from jaxseg.studies.workdir_files import load

LOST = ["0.5-tied-none-True-s2"]


def compared(path, **options):
    results = load(fake_study(path, saliency=False, **options))
    study = r.study(results)
    return results, study, c.contrasts(study)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("study"), seeds=7, diverged=LOST)


def of_kind(rows, kind):
    return [row for row in rows if row.kind == kind]


def contrast(rows, metric, *arms):
    return next(r for r in of_kind(rows, c.CONTRAST) if (r.metric, r.arms) == (metric, arms))


def reliance_rows(rows, test_set="annotated-clean"):
    return [row for row in of_kind(rows, c.ARM) if row.test_set == test_set]


def test_the_planted_reliance_of_every_arm_is_found(study):
    results, _, rows = study
    found = {row.arm_a: row for row in reliance_rows(rows)}
    assert set(found) == set(results.arms)
    for settings in default_arms():
        row = found["/".join(settings.values())]
        # 9 intervals of 95 %: a hair more room than each would have alone.
        slack = 0.2 * (row.ci_high - row.ci_low)
        assert row.ci_low - slack < planted(settings) < row.ci_high + slack, settings
        assert (row.verdict == "higher") == (planted(settings) > 0)


def test_removal_takes_the_planted_effect_away(study):
    _, found, rows = study
    row = contrast(rows, "reliance", found.roles.baseline, found.roles.mitigated)
    assert row.axis == "baseline - mitigated" and row.verdict == "higher"
    assert row.ci_low < PLANTED < row.ci_high and row.p == row.p_floor == 2 / 2**7
    cost = contrast(rows, "dice_per_image", found.roles.baseline, found.roles.control)
    assert cost.test_set == "clean" and cost.ci_low < -PLANTED / 2 < cost.ci_high


def test_the_slope_equals_least_squares_through_each_seed(study):
    results, found, rows = study
    (row,) = of_kind(rows, c.TREND)
    doses = sorted(DOSES)
    arms = [f"{dose}/tied/none/True" for dose in doses]
    assert (row.arm_a, row.arm_b) == (arms[-1], arms[0])
    seeds = [s for s in range(7) if s != 2]
    means = np.array(
        [
            [r.reliance(found, arm)[results.seeds[arm].index(s)].mean() for arm in arms]
            for s in seeds
        ]
    )
    slopes = np.polyfit(doses, means.T, 1)[0]
    assert row.difference == pytest.approx(slopes.mean())
    assert row.sd == pytest.approx(slopes.std(ddof=1)) and row.n_seeds == 6
    signs = np.array(list(itertools.product((1, -1), repeat=6)))
    exact = np.mean(np.abs(signs @ slopes) >= abs(slopes.sum()) - 1e-12)
    assert row.p == pytest.approx(exact) and row.p_floor == 2 / 2**6
    assert row.ci_low < PLANTED < row.ci_high and row.verdict == "higher"


def test_reliance_of_an_arm_equals_the_files(study):
    results, _, rows = study
    row = reliance_rows(rows)[0]
    per_seed = []
    for seed in results.seeds[row.arm_a]:
        path = results.workdir / "counts" / f"{row.arm_a.replace('/', '-')}-s{seed}.npz"
        with np.load(path) as stored:
            scores = [by_hand(stored[f"{t}.border"].sum(axis=1)) for t in ("annotated", "clean")]
        per_seed.append(np.mean(np.subtract(*scores)))
    assert row.difference == pytest.approx(np.mean(per_seed))


def by_hand(counts):
    """Dice of every frame from counts [frames, classes, 3], one loop a pixel of thought."""
    found = []
    for frame in counts.astype(float):
        held = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in frame if tp + fn > 0]
        found.append(sum(held) / len(held))
    return np.array(found)


def test_pairs_run_along_each_axis_and_are_corrected_together(study):
    results, _, rows = study
    pairs = of_kind(rows, c.PAIR)
    assert {row.metric for row in pairs} == {"reliance", "dice_per_image", "stability"}
    family = [row for row in pairs if row.metric == "reliance"]
    assert {row.axis for row in family} == set(results.axes)
    np.testing.assert_allclose([row.p_holm for row in family], holm([row.p for row in family]))
    for row in family:
        a, b = (results.settings[arm] for arm in row.arms)
        assert [key for key in a if a[key] != b[key]] == [row.axis]


def test_a_diverged_cell_is_left_out_of_its_arm_alone(study):
    _, _, rows = study
    seeds = {row.arm_a: row.n_seeds for row in reliance_rows(rows)}
    assert seeds.pop("0.5/tied/none/True") == 6 and set(seeds.values()) == {7}


def test_no_effect_is_told_as_no_difference_shown(tmp_path):
    _, _, rows = compared(tmp_path, effect=0.0, frames=24)
    verdicts = [row.verdict for row in reliance_rows(rows)]
    # An interval of 95 % errs now and then; most of nine must not.
    assert verdicts.count(NO_DIFFERENCE) >= 7
    assert all(row.smallest_detectable > 0 for row in rows)


def test_one_seed_shows_nothing_however_large(tmp_path):
    _, _, rows = compared(tmp_path, seeds=1, frames=8)
    assert {row.verdict for row in rows} == {NO_DIFFERENCE}
    assert all(math.isnan(row.p) for row in rows)


def test_two_doses_are_a_pair_and_no_trend(tmp_path):
    arms = [WHOLE, WHOLE | {"annotate.contamination": "0.0"}]
    _, _, rows = compared(tmp_path, arms=arms, seeds=2, frames=8)
    assert of_kind(rows, c.TREND) == []
    pairs = [row for row in of_kind(rows, c.PAIR) if row.metric == "reliance"]
    assert [row.arms for row in pairs] == [("0.0", "1.0")]


def test_doses_without_a_common_seed_have_no_trend(tmp_path):
    lost = ["1.0-tied-none-True-s0", "0.2-tied-none-True-s1"]
    _, _, rows = compared(tmp_path, seeds=2, frames=8, diverged=lost)
    assert of_kind(rows, c.TREND) == []


def test_without_sequences_nothing_is_said_of_stability(tmp_path):
    _, _, rows = compared(tmp_path, seeds=2, frames=8, test_sets=("clean", "annotated"))
    assert "stability" not in {row.metric for row in rows}
