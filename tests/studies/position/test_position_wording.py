import pytest
from fake_workdir import fake_workdir

from jaxseg.studies.grid_report import terminal_report
from jaxseg.studies.position import cautions, findings
from jaxseg.studies.workdir_files import load


def read(path, **options):
    return findings(load(fake_workdir(path, **options)))


def reading(found):
    """The section that leads the page."""
    return found.sections[0]


def sentence(found):
    (line,) = reading(found).verdict
    return line


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return read(tmp_path_factory.mktemp("planted"), seeds=7, diverged=["reflect-random-s2"])


def test_the_headline_is_told_from_the_baseline(planted):
    lead, text = reading(planted).lead, sentence(planted)
    assert lead.low < 0.4 < lead.high + 0.04 and lead.low > 0.3
    assert "crop center lose 0.3" in text or "crop center lose 0.4" in text
    assert "7 paired seeds, 80 images" in text


def test_the_share_that_padding_explains_is_told_and_what_it_leaves(planted):
    text = " ".join(reading(planted).findings)
    # Planted: 0.40 under zeros, 0.15 under reflect, so five eighths go away.
    share = int(text.split("about ")[1].split(" %")[0])
    assert share == pytest.approx(62, abs=8)
    assert "padding does not explain it" in text


def test_lost_cells_are_named_with_their_message(planted):
    text = " ".join(reading(planted).notes)
    assert "reflect-random-s2 (diverged: loss became nan at step 61)" in text
    assert "1 of 28 cells" in text


def test_an_index_that_falls_without_recall_at_the_border_is_called_no_cure(planted):
    """Planted: objects are missed at the border alone, so recall rises there as the index falls."""
    found = [row for row in planted.contrasts if row.metric == "border_shortcut_index"]
    lower = next(row for row in found if row.verdict == "lower" and row.kind == "pair")
    assert "no cure" not in " ".join(reading(planted).notes)
    blunt = [
        row._replace(verdict="no difference shown") if row.metric == "recall" else row
        for row in planted.contrasts
    ]
    told = " ".join(cautions(planted.results, planted.estimates, blunt))
    assert f"{lower.arm_a} against {lower.arm_b}" in told and "which is no cure" in told


@pytest.mark.parametrize("seeds, floor", [(3, "0.250"), (4, "0.125"), (5, "0.062")])
def test_few_seeds_claim_no_significance_however_large_the_effect(tmp_path, seeds, floor):
    found = read(tmp_path, seeds=seeds, images=40)
    told = reading(found)
    rows = [row for row in found.contrasts if row.metric == "border_shortcut_index"]
    assert any(row.ci_low > 0 or row.ci_high < 0 for row in rows)
    assert not any(row.is_shown for row in found.contrasts)
    assert sentence(found).startswith(
        f"Not significant ({seeds} seeds cannot give p below {floor}, 6 can reach 0.05): networks"
    )
    assert f"With {seeds} paired seeds the sign-flip p is at least {floor}" in told.notes[0]
    everything = " ".join(
        [*told.findings, *told.notes, terminal_report(found, found.results.workdir)]
    )
    for claim in (" lower by ", " higher by ", "explain", "goes away", "no cure"):
        assert claim not in everything


def test_one_seed_claims_nothing(tmp_path):
    found = read(tmp_path, seeds=1, images=20)
    assert sentence(found).startswith("No difference shown")
    assert "One paired seed" in reading(found).notes[0]
    assert not any(" lower by " in s or " higher by " in s for s in reading(found).findings)


def test_no_effect_is_not_told_as_absence(tmp_path):
    found = read(tmp_path, planted={}, images=30)
    if "No difference shown" in sentence(found):
        assert "could have shown ≥ 0.0" in sentence(found)
    assert "nor that it plays none" in " ".join(reading(found).findings)


def test_one_arm_is_described(tmp_path):
    found = read(tmp_path, axes={}, planted={"single": 0.2}, seeds=2, images=20)
    assert reading(found).lead.value == pytest.approx(0.2, abs=0.06)
    assert "no two arms could be compared" in sentence(found)


def test_an_empty_border_is_told(tmp_path):
    found = read(tmp_path, seeds=2, images=6, empty_border=True)
    assert "no true pixel lies there" in " ".join(reading(found).notes)
    assert "nan" not in " ".join([sentence(found), *reading(found).findings])


def test_position_and_magnification_are_kept_apart(tmp_path):
    crops = {"data.crop": ["center", "center_same_scale", "quarter"]}
    told = "mix position with magnification"
    with_control = read(tmp_path / "a", axes=crops, seeds=2, images=6)
    assert told not in " ".join(reading(with_control).notes)
    without = read(tmp_path / "b", seeds=2, images=6)
    assert told in " ".join(reading(without).notes)


def test_the_terminal_table_fits_and_says_what_next(planted):
    text = terminal_report(planted, planted.results.workdir)
    assert max(len(line) for line in text.splitlines()[:-2]) <= 100
    for arm in planted.results.arms:
        assert arm in text
    assert sentence(planted)[:60] in text
    assert "report.html" in text and "jaxseg inspect " in text
