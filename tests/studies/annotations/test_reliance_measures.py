import json
import math

import numpy as np
import pytest
from fake_annotation_workdir import STAGES, WHOLE, default_arms, fake_study
from fake_workdir import fake_workdir

from jaxseg.errors import JaxsegError
from jaxseg.studies.annotations import is_for
from jaxseg.studies.annotations import measures as r
from jaxseg.studies.annotations.arms import arm_names, is_planned, lines, roles, shown_arms
from jaxseg.studies.workdir_files import load

SMALL = {"seeds": 2, "frames": 8, "saliency": False}


def loaded(path, arms=None, **options):
    return load(fake_study(path, arms=arms, **(SMALL | options)))


def with_(**changes):
    return WHOLE | {f"annotate.{key}": value for key, value in changes.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    results = loaded(tmp_path_factory.mktemp("study"))
    return results, r.study(results)


def rewrite(workdir, change):
    """Applies `change` to the arrays of every cell."""
    for path in (workdir / "counts").glob("*.npz"):
        with np.load(path) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(path, **arrays)


def test_a_grid_without_both_test_sets_is_no_study(tmp_path):
    assert not is_for(load(fake_workdir(tmp_path / "grid", seeds=1, images=4)))
    clean = loaded(tmp_path / "clean", test_sets=("clean", "sequence"))
    assert not is_for(clean)
    assert is_for(loaded(tmp_path / "both", [WHOLE], test_sets=("clean", "annotated")))


def test_dice_of_a_frame_is_the_mean_over_the_classes_its_truth_holds(tmp_path):
    """By hand: class 0 has 2·6 / (12 + 2 + 4) = 2/3, class 1 has 2·1 / (2 + 0 + 2) = 1/2, class 2
    is false positives alone and does not enter; frame 1 holds nothing."""
    results = loaded(tmp_path, [WHOLE], frames=8)

    def change(arrays):
        counts = np.zeros_like(arrays["clean.border"])
        counts[0, 0, 0] = (2, 1, 1)
        counts[0, 3, 0] = (4, 1, 3)
        counts[0, 2, 1] = (1, 0, 2)
        counts[:, 1, 2] = (0, 9, 0)
        arrays["clean.border"] = counts

    rewrite(results.workdir, change)
    scores = r.image_dice(r.study(results), results.arms[0], "clean")
    assert scores[:, 0] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert np.isnan(scores[:, 1:]).all()


def test_reliance_is_paired_by_frame(whole):
    _, study = whole
    arm = study.roles.baseline
    expected = r.image_dice(study, arm, "annotated") - r.image_dice(study, arm, "clean")
    np.testing.assert_array_equal(r.reliance(study, arm), expected)
    assert r.reliance(study, arm, "restored").shape == expected.shape == (2, 8)


def test_the_last_stage_equals_itself_and_stages_stand_in_order(whole):
    results, study = whole
    for arm in results.arms:
        assert study.to_last[arm].shape == (2, 8, STAGES)
        np.testing.assert_allclose(r.stage_dice(study, arm, STAGES - 1), 1)
    steps = study.to_last[study.roles.baseline].mean(axis=(0, 1))
    assert (np.diff(steps) > 0).all()


def test_planes_part_the_frames(whole):
    _, study = whole
    masks = r.bands(study, "clean")
    assert list(masks) == ["all", "plane:head", "plane:abdomen", "plane:femur", "plane:cervix"]
    np.testing.assert_array_equal(sum(m for k, m in masks.items() if k != "all"), masks["all"])


def test_one_plane_has_no_band_of_its_own(tmp_path):
    study = r.study(loaded(tmp_path, [WHOLE], planes=False))
    assert list(r.bands(study, "clean")) == ["all"]


def test_means_leave_out_what_is_not_defined():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(r.defined_mean(values), [2.0, np.nan])


def test_test_sets_of_other_frames_are_refused(tmp_path):
    results = loaded(tmp_path, [WHOLE])
    rewrite(results.workdir, lambda a: a.update({"annotated.image": a["annotated.image"][::-1]}))
    with pytest.raises(JaxsegError, match="clean and annotated hold other frames"):
        r.study(results)


def test_sequences_of_scattered_stages_are_refused(tmp_path):
    results = loaded(tmp_path, [WHOLE])
    rewrite(results.workdir, lambda a: a.update({"sequence.image": a["sequence.image"][::-1] % 3}))
    with pytest.raises(JaxsegError, match="stages of each frame"):
        r.study(results)


def test_too_few_planes_are_refused(tmp_path):
    path = fake_study(tmp_path, arms=[WHOLE], **SMALL) / "config.json"
    about = json.loads(path.read_text())
    about["data"]["planes"] = about["data"]["planes"][:3]
    path.write_text(json.dumps(about))
    with pytest.raises(JaxsegError, match="names 3 frames, counts hold 8"):
        r.study(load(tmp_path))


def test_a_config_without_annotations_is_refused(tmp_path):
    path = fake_study(tmp_path, arms=[WHOLE], **SMALL) / "config.json"
    about = json.loads(path.read_text())
    del about["config"]["annotate"]
    path.write_text(json.dumps(about))
    with pytest.raises(JaxsegError, match=r"has no annotate\.removal"):
        r.study(load(tmp_path))


def test_roles_are_chosen_by_settings(whole):
    results, _ = whole
    found = roles(results)
    assert found.baseline == "1.0/tied/none/True" and found.mitigated == "1.0/tied/telea/True"
    assert found.control == "0.0/tied/none/True" and found.placebo == "1.0/tied/telea/False"
    assert is_planned(results, found.baseline)


def test_telea_is_the_mitigation_where_there_are_several(tmp_path):
    arms = [with_(removal=method) for method in ("none", "black_box", "telea")]
    results = loaded(tmp_path, arms)
    assert roles(results).mitigated == "telea"
    assert roles(results).control is None and roles(results).placebo is None


def test_without_the_baseline_the_nearest_arm_stands_in_and_is_not_as_planned(tmp_path):
    lost = [f"1.0-tied-none-True-s{seed}" for seed in range(2)]
    results = loaded(tmp_path, diverged=lost)
    assert roles(results).baseline == "0.8/tied/none/True"
    assert not is_planned(results, roles(results).baseline)


def test_lines_share_networks_that_saw_the_same_frames(whole):
    results, _ = whole
    found = {line.name: line.arms for line in lines(results)}
    never = "0.0/tied/none/True"
    assert list(found["tied"]) == [0.0, 0.2, 0.5, 0.8, 1.0]
    for name in ("tied", "jittered", "independent", "tied, placebo of telea"):
        assert found[name][0.0] == never
    # Removal also sees frames without annotations, so that its arm has no start among the others.
    assert found["tied, removed by telea"] == {1.0: "1.0/tied/telea/True"}


def test_in_a_product_every_line_has_its_own_start(tmp_path):
    arms = [
        with_(contamination=dose, placement=place)
        for dose in ("0.0", "1.0")
        for place in ("tied", "independent")
    ]
    results = loaded(tmp_path, arms)
    assert {line.name: line.arms[0.0] for line in lines(results)} == {
        "tied": "0.0/tied",
        "independent": "0.0/independent",
    }
    assert len(set(arm_names(results).values())) == 4


def test_a_grid_of_unannotated_arms_keeps_its_line(tmp_path):
    results = loaded(tmp_path, [with_(contamination="0.0")])
    assert [line.arms for line in lines(results)] == [{0.0: "single"}]
    assert roles(results) == ("single", None, None, None)


def test_names_tell_every_arm_apart(whole):
    results, _ = whole
    names = arm_names(results)
    assert len(set(names.values())) == len(names) == len(default_arms())
    assert names["0.0/tied/none/True"] == "never annotated"
    assert names["1.0/tied/telea/True"] == "100 % annotated, tied, removed by telea"
    assert names["1.0/tied/telea/False"] == "100 % placebo of telea, tied"


def test_shown_arms_hold_the_roles(whole):
    results, _ = whole
    shown = shown_arms(results)
    assert set(roles(results).present) <= set(shown) and len(shown) <= 8
    assert "0.5/tied/none/True" not in shown and "1.0/jittered/none/True" in shown


def test_frames_without_structures_have_no_score(tmp_path):
    results = loaded(tmp_path, [WHOLE], never=["femur"])
    study = r.study(results)
    scores = r.image_dice(study, results.arms[0], "clean")
    assert np.isnan(scores[:, 2::4]).all() and not np.isnan(scores[:, 0::4]).any()
    assert math.isnan(r.stage_dice(study, results.arms[0])[0, 2])
