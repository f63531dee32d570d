import re

import pytest
from fake_annotation_workdir import PLANTED, WHOLE, fake_study
from jaxseg.studies.position.analysis import analyse

from jaxseg.report.terminal import terminal_table
from jaxseg.studies.annotations.cautions import study_cautions
from jaxseg.studies.annotations.reading import study_reading

REMOVAL = [WHOLE, WHOLE | {"annotate.removal": "telea"}]


def read(path, **options):
    return analyse(fake_study(path, **options))


def together(reading):
    return " ".join([reading.sentence, *reading.findings, *reading.cautions])


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return read(tmp_path_factory.mktemp("planted"), seeds=7, diverged=["0.5-tied-none-True-s2"])


def test_the_headline_is_the_reliance_of_the_baseline(planted):
    reading = planted.reading
    assert reading.ci_low < PLANTED < reading.ci_high
    assert reading.sentence.startswith("The shortcut is shown: networks of the arm “100 %")
    assert "7 seeds, 48 frames, p = 0.016, the lowest 7 seeds can give" in reading.sentence
    assert "Removing annotations from the training frames (telea) lowers this" in reading.sentence


def test_the_mitigated_arm_is_told_with_the_room_its_interval_leaves(planted):
    text = " ".join(planted.reading.findings)
    assert "is not shown to rely on annotations" in text
    assert "its interval leaves room for at most" in text
    share = re.search(r"takes away (all|about (\d+) %)", text)
    assert share[1] == "all" or int(share[2]) == pytest.approx(100, abs=10)


def test_dose_placebo_planes_stability_and_saliency_are_told(planted):
    text = " ".join(planted.reading.findings)
    for words in (
        "Reliance rises with the dose (tied)",
        "The placebo (100 % placebo of telea, tied)",
        "Networks that never saw an annotation: reliance",
        "by plane: head",
        "Stability while a frozen frame is annotated",
        "Share of the saliency that lies on annotations",
        "100 % annotated, jittered:",
    ):
        assert words in text
    assert "nan" not in text


def test_lost_cells_and_the_rule_of_dice_are_told(planted):
    text = " ".join(planted.reading.cautions)
    assert "0.5-tied-none-True-s2 (diverged" in text
    assert "mean over the structures it holds" in text


def test_no_effect_is_told_with_what_could_have_been_shown(tmp_path):
    reading = read(tmp_path, effect=0.0, frames=24).reading
    assert reading.sentence.startswith("No difference shown (6 seeds could have shown ≥ 0.0")
    assert "The shortcut is shown" not in together(reading)
    assert "No trend of reliance with the dose is shown" in together(reading)
    assert "takes away" not in together(reading)


def test_a_negative_reliance_is_no_shortcut(tmp_path):
    reading = read(tmp_path, arms=REMOVAL, effect=-0.1, frames=16, saliency=False).reading
    assert reading.sentence.startswith("No shortcut is shown, but the reverse")
    assert reading.ci_high < 0 and " lower on test frames with annotations" in reading.sentence


def test_removal_that_fails_is_told(tmp_path):
    """The words follow the rows, whatever these say."""
    analysis = read(tmp_path, arms=REMOVAL, effect=0.1, frames=16, saliency=False)
    rows = [
        row._replace(verdict="higher", ci_low=0.05, ci_high=0.1)
        if (row.kind, row.arm_a) == ("arm", "telea")
        else row
        for row in analysis.comparisons
    ]
    told = study_reading(analysis.results, analysis.study, analysis.rows, rows)
    assert "still relies on annotations" in " ".join(told.findings)


def test_one_seed_claims_nothing(tmp_path):
    reading = read(tmp_path, seeds=1, frames=12).reading
    assert reading.sentence.startswith("No difference shown")
    assert "One paired seed" in reading.cautions[0]
    assert "leaves room for at most" not in together(reading)


def test_three_seeds_claim_no_significance_however_large_the_effect(tmp_path):
    analysis = read(tmp_path, seeds=3)
    told = analysis.reading
    assert told.ci_low > 0 and not any(row.is_shown for row in analysis.comparisons)
    assert told.sentence.startswith(
        "Not significant (3 seeds cannot give p below 0.250, 6 can reach 0.05): networks of the arm"
    )
    for claim in ("The shortcut is shown", "lowers this", "rises", "takes away", "relies"):
        assert claim not in together(told)


def test_few_seeds_few_frames_and_absent_structures_are_told(tmp_path):
    text = together(read(tmp_path, seeds=3, frames=20, never=["stomach", "femur"]).reading)
    assert "With 3 paired seeds the sign-flip p cannot be below 0.250" in text
    assert "Planes with fewer than 10 test frames: head (5), abdomen (5)" in text
    assert "No test frame holds stomach, femur" in text
    assert "5 test frames hold no structure and are left out" in text
    assert "Of 20 sequences, stability has no value in 5 " in text
    assert "nan" not in text


def test_what_the_grid_lacks_is_told(tmp_path):
    text = together(read(tmp_path, arms=REMOVAL, seeds=2, frames=8).reading)
    assert "No arm was trained without any annotation" in text
    assert "No placebo" in text
    assert "Fewer than 3 doses" in text


def test_another_baseline_than_planned_is_told(tmp_path):
    lost = [f"1.0-tied-none-True-s{seed}" for seed in range(2)]
    text = together(read(tmp_path, seeds=2, frames=8, diverged=lost).reading)
    assert "it is told of “80 % annotated, tied”" in text


def test_a_single_arm_is_read(tmp_path):
    analysis = read(tmp_path, arms=[WHOLE], seeds=3, frames=12)
    assert "“100 % annotated”" in analysis.reading.sentence
    assert "cannot be below 0.250" in " ".join(analysis.reading.cautions)


def test_networks_without_room_or_without_skill_are_told(tmp_path):
    analysis = read(tmp_path, arms=REMOVAL, seeds=2, frames=8, saliency=False)

    def told(factor):
        rows = [row._replace(value=factor * row.value) for row in analysis.rows]
        held = study_cautions(analysis.results, analysis.study, rows, analysis.comparisons)
        return " ".join(held)

    assert "hardly learnt" not in told(1) and "little room" not in told(1)
    assert "hardly learnt" in told(0.2)
    assert "little room" in told(1.5)


def test_frames_without_any_structure_have_no_headline(tmp_path):
    never = ["skull", "midline"]
    reading = read(tmp_path, arms=[WHOLE], seeds=2, frames=6, planes=False, never=never).reading
    assert "No reliance can be told" in reading.sentence and "nan" not in together(reading)


def test_the_terminal_table_fits_and_says_what_next(planted):
    text = terminal_table(planted)
    assert max(len(line) for line in text.splitlines()[:-2]) <= 100
    assert "never annotated" in text and "+0.1" in text and "border" not in text
    assert planted.reading.sentence[:60] in text
    assert "report.html" in text and "inspect_checkpoint.py" in text
