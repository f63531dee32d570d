import csv
import re

import numpy as np
import pytest
from fake_annotation_workdir import PLANE_CLASSES, SIZE, WHOLE, default_arms, fake_study
from parsed_page import Page

from jaxseg.studies.annotations.figures import (
    arm_looks,
    dose_response,
    examples,
    frame_dice,
    line_styles,
    saliency_maps,
    sequence,
)
from jaxseg.studies.annotations.measures import estimates, read_saliency, study
from jaxseg.studies.grid_report import write_report
from jaxseg.studies.rows import COMPARISON_COLUMNS, SUMMARY_COLUMNS
from jaxseg.studies.workdir_files import load

NAMES = ("dose_response", "sequence", "examples", "saliency_maps", "saliency_scores")
NAMES += ("comparisons", "learning_curves")
SMALL = {"seeds": 2, "frames": 8, "diverged": ["0.5-tied-none-True-s1"]}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    root = fake_study(tmp_path_factory.mktemp("study"), **SMALL)
    write_report(root)
    return root


@pytest.fixture(scope="module")
def results(workdir):
    return load(workdir)


@pytest.fixture(scope="module")
def rows(results):
    return estimates(study(results))


def words(text):
    return re.sub(r"base64,[^\"]*", "", text)


def test_the_page_is_whole_and_needs_no_network(workdir):
    text = (workdir / "report.html").read_text()
    page = Page(text)
    assert page.open == [] and len(page.images) == len(NAMES)
    assert "http" not in text and "//" not in words(text)
    assert all(image["alt"] for image in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert all((workdir / link).is_file() for link in page.links)
    assert all((workdir / "figures" / f"{n}.{e}").is_file() for n in NAMES for e in ("png", "svg"))


def test_the_page_is_silent_on_borders(workdir):
    said = words((workdir / "report.html").read_text()).replace("border_px", "").lower()
    assert "shortcut index" not in said and "interaction" not in said
    assert "border" not in re.sub(r"<style>.*</style>", "", said, flags=re.S)


def test_the_page_holds_both_tables_by_plane(workdir):
    text = (workdir / "report.html").read_text()
    assert "By plane" in text and "Stability" in text and "Test for trend" in text
    for plane in PLANE_CLASSES:
        assert text.count(plane) >= 2
    for settings in default_arms():
        assert "/".join(settings.values()) in text


def test_the_csv_files_hold_every_column(workdir):
    for name, columns in (("summary", SUMMARY_COLUMNS), ("comparisons", COMPARISON_COLUMNS)):
        with (workdir / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows and tuple(rows[0]) == columns


def test_equal_results_give_equal_bytes(workdir, tmp_path):
    write_report(fake_study(tmp_path, **SMALL))
    files = [p.relative_to(workdir) for p in workdir.rglob("*") if p.suffix not in (".npz", "")]
    for file in files:
        assert (workdir / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_a_study_without_extras_still_reports(tmp_path):
    root = fake_study(
        tmp_path, arms=[WHOLE], seeds=1, frames=4, planes=False, saliency=False,
        test_sets=("clean", "annotated"),
    )  # fmt: skip
    for name in ("examples.npz", "metrics.jsonl", "progress.json"):
        (root / name).unlink()
    text = write_report(root)[0].read_text()
    assert Page(text).open == [] and Page(text).images == []
    assert "nan" not in words(text).replace("<td>nan</td>", "")


def test_examples_without_clean_frames_show_what_there_is(tmp_path, results):
    root = fake_study(tmp_path, arms=[WHOLE], seeds=1, frames=4, clean_examples=False)
    lean = load(root)
    assert len(examples(study(lean)).axes) == 4 * (1 + 1 + 1)
    assert len(examples(study(results)).axes) == 4 * (2 + 1 + 4)


def test_saliency_of_other_cells_than_shown_draws_no_map(tmp_path):
    root = fake_study(tmp_path, arms=[WHOLE], seeds=2, frames=4)
    with np.load(root / "saliency.npz") as stored:
        arrays = dict(stored)
    arrays["cells"] = arrays["cells"][::-1]
    arrays |= {"cells": np.array(["elsewhere-s0", "single-s1"])}
    np.savez(root / "saliency.npz", **arrays)
    other = load(root)
    assert saliency_maps(study(other), read_saliency(other)) is None
    assert write_report(root)[0].is_file()


def test_frame_dice_by_hand():
    truth, found = np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    assert np.isnan(frame_dice(truth, found))
    truth[0, :4], found[0, 2:6] = 1, 1
    truth[1, :2], found[1, :2] = 3, 3
    found[2, :50] = 2
    assert frame_dice(truth, found) == pytest.approx((2 * 2 / 8 + 1) / 2)


def test_lines_show_the_rows(results, rows):
    ax = dose_response(results, rows).axes[0]
    found = {
        row.arm: row.value
        for row in rows
        if (row.metric, row.band, row.test_set) == ("reliance", "all", "annotated-clean")
    }
    drawn = [y for line in ax.get_lines() for y in line.get_ydata()]
    assert set(found.values()) <= set(drawn)
    steps = sequence(study(results), rows).axes[0]
    assert all(line.get_ydata()[-1] == pytest.approx(1) for line in steps.get_lines())


def test_one_style_per_line_and_arm(results):
    for styles in (line_styles(results), arm_looks(results)):
        assert len({(s.colour, str(s.dash)) for s in styles.values()}) == len(styles)
    assert set(arm_looks(results)) == set(results.arms)


def test_names_from_files_are_escaped(tmp_path):
    root = fake_study(tmp_path, arms=[WHOLE], seeds=1, frames=4)
    path = root / "config.json"
    path.write_text(path.read_text().replace('"skull"', '"<b>skull"').replace('"head"', '"<i>h"'))
    text = write_report(root)[0].read_text()
    assert "<b>skull" not in text and "<i>h" not in text
    assert "&lt;b&gt;skull" in text and "&lt;i&gt;h" in text
