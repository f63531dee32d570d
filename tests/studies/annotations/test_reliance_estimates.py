import csv
import io

import numpy as np
import pytest
from fake_annotation_workdir import CLASSES, PLANTED, WHOLE, fake_study

from jaxseg.report.export import table_csv
from jaxseg.report.section import Table
from jaxseg.studies.annotations import measures as r
from jaxseg.studies.rows import SUMMARY_COLUMNS, value_of
from jaxseg.studies.workdir_files import load

ARMS = [WHOLE, WHOLE | {"annotate.removal": "telea"}]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    root = fake_study(tmp_path_factory.mktemp("study"), arms=ARMS, seeds=4, frames=24)
    results = load(root)
    study = r.study(results)
    return study, r.estimates(study)


def test_rows_are_tidy(scored):
    _, rows = scored
    keys = [(row.arm, row.test_set, row.band, row.metric) for row in rows]
    assert len(keys) == len(set(keys))
    table = Table("summary", "", SUMMARY_COLUMNS, [row[: len(SUMMARY_COLUMNS)] for row in rows])
    read = list(csv.DictReader(io.StringIO(table_csv(table))))
    assert len(read) == len(rows) and tuple(read[0]) == SUMMARY_COLUMNS
    assert not any("border:" in row.band or "centre:" in row.band for row in rows)


def test_dice_and_its_spread_equal_the_scores(scored):
    study, rows = scored
    for band, mask in r.bands(study, "annotated").items():
        scores = r.image_dice(study, "none", "annotated")[:, mask]
        row = value_of(rows, "none", "annotated", band, "dice_per_image")
        assert row.value == pytest.approx(scores.mean()) and row.n_images == mask.sum()
        spread = value_of(rows, "none", "annotated", band, "dice_per_image_sd")
        assert spread.value == pytest.approx(scores.std(axis=1, ddof=1).mean())


def test_the_planted_reliance_is_found_in_every_plane_and_structure(scored):
    _, rows = scored
    found = [r for r in rows if r.test_set == "annotated-clean" and r.arm == "none"]
    assert {row.band for row in found if row.metric == "reliance"} == {
        "all",
        *(f"plane:{name}" for name in ("head", "abdomen", "femur", "cervix")),
    }
    assert {row.metric for row in found} == {"reliance", *(f"reliance:{c}" for c in CLASSES)}
    for row in found:
        assert row.value == pytest.approx(PLANTED, abs=0.03) and row.ci_low > 0.05


def test_differences_of_all_marked_sets_are_there(scored):
    _, rows = scored
    sets = {row.test_set for row in rows if row.metric == "reliance"}
    assert sets == {"annotated-clean", "independent-clean", "restored-clean"}


def test_stability_is_the_first_stage(scored):
    study, rows = scored
    for arm, expected in (("none", 0.97 - 2 * PLANTED), ("telea", 0.97)):
        row = value_of(rows, arm, "sequence", "all", "stability")
        assert row.value == pytest.approx(expected, abs=0.01)
        first = value_of(rows, arm, "sequence", "stage:0", "dice_to_last")
        assert [first.value, row.value] == pytest.approx([r.stage_dice(study, arm).mean()] * 2)
        assert value_of(rows, arm, "sequence", "stage:5", "dice_to_last").value == 1


def test_pooled_dice_stands_beside(scored):
    study, rows = scored
    whole = value_of(rows, "none", "clean", "all", "dice")
    by_class = [value_of(rows, "none", "clean", "all", f"dice:{c}").value for c in study.classes]
    assert min(by_class) < whole.value < max(by_class)


def test_frames_without_structures_are_counted(tmp_path):
    results = load(fake_study(tmp_path, arms=ARMS, seeds=2, frames=8, never=["femur"]))
    rows = r.estimates(r.study(results))
    row = value_of(rows, "none", "clean", "all", "dice_per_image")
    assert row.n_left_out == 2
    femur = value_of(rows, "none", "clean", "plane:femur", "dice_per_image")
    assert np.isnan(femur.value) and np.isnan(femur.ci_low)
