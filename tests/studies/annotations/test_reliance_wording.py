import re

import numpy as np
import pytest
from fake_annotation_workdir import PLANTED, WHOLE, fake_study

from jaxseg.studies.annotations import findings, wording
from jaxseg.studies.annotations.measures import Analysis, study
from jaxseg.studies.grid_report import terminal_report
from jaxseg.studies.workdir_files import load

REMOVAL = [WHOLE, WHOLE | {"annotate.removal": "telea"}]


def found_in(path, **options):
    return findings(load(fake_study(path, **options)))


def read(path, **options):
    """The section that holds the headline, the findings and the cautions."""
    return found_in(path, **options).sections[0]


def together(reading):
    return " ".join([*reading.verdict, *reading.findings, *reading.notes])


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return found_in(tmp_path_factory.mktemp("planted"), seeds=7, diverged=["0.5-tied-none-True-s2"])


def test_the_headline_is_the_reliance_of_the_baseline(planted):
    reading = planted.sections[0]
    assert reading.lead.low < PLANTED < reading.lead.high
    assert reading.verdict[0].startswith(
        "The shortcut is shown across seeds: networks of the arm “100 %"
    )
    assert "7 seeds, 48 frames, p = 0.016, the lowest 7 seeds can give" in reading.verdict[0]
    assert "Removing annotations from the training frames (telea) lowers this" in reading.verdict[0]


def test_the_mitigated_arm_is_told_with_the_room_its_interval_leaves(planted):
    text = " ".join(planted.sections[0].findings)
    assert "is not shown to rely on annotations" in text
    assert "its interval leaves room for at most" in text
    share = re.search(r"takes away (all|about (\d+) %)", text)
    assert share[1] == "all" or int(share[2]) == pytest.approx(100, abs=10)


def test_dose_placebo_planes_stability_and_saliency_are_told(planted):
    text = " ".join(planted.sections[0].findings)
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
    text = " ".join(planted.sections[0].notes)
    assert "0.5-tied-none-True-s2 (diverged" in text
    assert "mean over the structures it holds" in text


def test_no_effect_is_told_with_what_could_have_been_shown(tmp_path):
    reading = read(tmp_path, effect=0.0, frames=24)
    assert reading.verdict[0].startswith(
        "No difference shown across seeds (6 seeds could have shown ≥ 0.0"
    )
    assert "The shortcut is shown" not in together(reading)
    assert "No trend of reliance with the dose is shown" in together(reading)
    assert "takes away" not in together(reading)


def test_a_negative_reliance_is_no_shortcut(tmp_path):
    reading = read(tmp_path, arms=REMOVAL, effect=-0.1, frames=16, saliency=False)
    assert reading.verdict[0].startswith("No shortcut is shown across seeds, but the reverse")
    assert reading.lead.high < 0 and " lower on test frames with annotations" in reading.verdict[0]


def test_removal_that_fails_is_told(tmp_path):
    """The words follow the rows, whatever these say."""
    found = found_in(tmp_path, arms=REMOVAL, effect=0.1, frames=16, saliency=False)
    rows = [
        row._replace(verdict="higher", ci_low=0.05, ci_high=0.1)
        if (row.kind, row.arm_a) == ("arm", "telea")
        else row
        for row in found.contrasts
    ]
    analysis = Analysis(study(found.results), found.estimates, rows)
    words = wording.findings(analysis)
    assert "still relies on annotations" in " ".join(words)


def test_one_seed_claims_nothing(tmp_path):
    reading = read(tmp_path, seeds=1, frames=12)
    assert reading.verdict[0].startswith("No difference shown")
    assert "One paired seed" in reading.notes[0]
    assert "leaves room for at most" not in together(reading)


def test_three_seeds_claim_no_significance_however_large_the_effect(tmp_path):
    found = found_in(tmp_path, seeds=3)
    told = found.sections[0]
    assert told.lead.low > 0 and not any(row.is_shown for row in found.contrasts)
    assert told.verdict[0].startswith(
        "Not significant across seeds (3 seeds cannot give p below 0.250, 6 can reach 0.05): "
        "networks of the arm"
    )
    for claim in ("The shortcut is shown", "lowers this", "rises", "takes away", "relies"):
        assert claim not in together(told)


def test_few_seeds_few_frames_and_absent_structures_are_told(tmp_path):
    text = together(read(tmp_path, seeds=3, frames=20, never=["stomach", "femur"]))
    assert "With 3 paired seeds the sign-flip p is at least 0.250" in text
    assert "Planes with fewer than 10 test frames: head (5), abdomen (5)" in text
    assert "No test frame holds stomach, femur" in text
    assert "5 test frames hold no structure and are left out" in text
    assert "Of 20 sequences, stability has no value in 5 " in text
    assert "nan" not in text


def test_what_the_grid_lacks_is_told(tmp_path):
    text = together(read(tmp_path, arms=REMOVAL, seeds=2, frames=8))
    assert "No arm was trained without any annotation" in text
    assert "No placebo" in text
    assert "Fewer than 3 doses" in text


def test_another_baseline_than_planned_is_told(tmp_path):
    lost = [f"1.0-tied-none-True-s{seed}" for seed in range(2)]
    text = together(read(tmp_path, seeds=2, frames=8, diverged=lost))
    assert "so it is about “80 % annotated, tied”" in text


def test_a_single_arm_is_read(tmp_path):
    reading = read(tmp_path, arms=[WHOLE], seeds=3, frames=12)
    assert "“100 % annotated”" in reading.verdict[0]
    assert "is at least 0.250" in " ".join(reading.notes)


def test_networks_without_room_or_without_skill_are_told(tmp_path):
    found = found_in(tmp_path, arms=REMOVAL, seeds=2, frames=8, saliency=False)

    def cautions(factor):
        rows = [row._replace(value=factor * row.value) for row in found.estimates]
        analysis = Analysis(study(found.results), rows, found.contrasts)
        return " ".join(wording.cautions(analysis))

    assert "hardly learnt" not in cautions(1) and "little room" not in cautions(1)
    assert "hardly learnt" in cautions(0.2)
    assert "little room" in cautions(1.5)


def test_frames_without_any_structure_have_no_headline(tmp_path):
    never = ["skull", "midline"]
    reading = read(tmp_path, arms=[WHOLE], seeds=2, frames=6, planes=False, never=never)
    assert "No reliance can be given" in reading.verdict[0] and "nan" not in together(reading)


def test_networks_without_a_map_are_named(tmp_path):
    root = fake_study(tmp_path, arms=REMOVAL, seeds=2, frames=6)
    with np.load(root / "saliency.npz") as stored:
        arrays = dict(stored)
    removed = [str(name).startswith("telea") for name in arrays["cells"]]
    arrays["share"][removed], arrays["hit"][removed] = np.nan, -1
    np.savez(root / "saliency.npz", **arrays)
    text = together(findings(load(root)).sections[0])
    assert "removed by telea has no map" in text and "nan" not in text


def test_the_terminal_table_fits_and_says_what_next(planted):
    text = terminal_report(planted, planted.results.workdir)
    assert max(len(line) for line in text.splitlines()[:-2]) <= 100
    assert "never annotated" in text and "+0.1" in text and "border" not in text
    assert planted.sections[0].verdict[0][:60] in text
    assert "report.html" in text and "jaxseg inspect " in text
