import csv
import re

import matplotlib
import pytest
from fake_workdir import fake_workdir
from parsed_page import Page

from jaxseg.studies import grid_report
from jaxseg.studies.grid_sections import MAX_PANELS, grid_look
from jaxseg.studies.position.figures import MAX_ARMS, band_dice, examples, shown_arms
from jaxseg.studies.position.measures import estimates
from jaxseg.studies.rows import COMPARISON_COLUMNS, SUMMARY_COLUMNS
from jaxseg.studies.workdir_files import load

NAMES = ("band_dice", "comparisons", "examples", "learning_curves")
EIGHT = {"net.padding": ["zeros", "reflect", "circular"], "data.crop": ["center", "a", "b"]}
FEW = {"seeds": 1, "images": 4, "test_sets": ("quarter",), "resamples": 100}
SMALL = {"images": 20, "seeds": 3, "diverged": ["zeros-random-s1"]}


def write_report(root):
    """The path of the page."""
    page, _ = grid_report.write_report(root)
    return page


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    root = fake_workdir(tmp_path_factory.mktemp("run"), **SMALL)
    write_report(root)
    return root


def test_the_page_is_whole_and_needs_no_network(workdir):
    text = (workdir / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert "http" not in text and "//" not in re.sub(r"base64,[^\"]*", "", text)
    assert len(page.images) == 4
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert all(image["alt"] for image in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert len(text) < 5e6
    assert "at most 2.1 % of the training steps" in text


def test_every_link_leads_to_a_file(workdir):
    page = Page((workdir / "report.html").read_text())
    assert {"summary.csv", "comparisons.csv"} <= set(page.links)
    assert all((workdir / link).is_file() for link in page.links)
    assert all((workdir / "figures" / f"{n}.{e}").is_file() for n in NAMES for e in ("png", "svg"))


def test_the_csv_files_hold_every_column(workdir):
    for name, columns in (("summary", SUMMARY_COLUMNS), ("comparisons", COMPARISON_COLUMNS)):
        with (workdir / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows and tuple(rows[0]) == columns


def test_no_temporary_file_stays(workdir):
    assert not list(workdir.rglob("*.part"))


def test_equal_results_give_equal_bytes(workdir, tmp_path):
    write_report(fake_workdir(tmp_path, **SMALL))
    files = [p.relative_to(workdir) for p in workdir.rglob("*") if p.suffix != ".npz"]
    for file in (file for file in files if (workdir / file).is_file()):
        assert (workdir / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_names_from_files_are_escaped(tmp_path):
    axes = {"data.crop": ["<b>bold</b>", 'quo"te&amp']}
    root = fake_workdir(tmp_path, axes=axes, seeds=2, images=6, name="<script>alert(1)</script>")
    text = write_report(root).read_text()
    assert "<b>bold" not in text and "<script" not in text
    assert "&lt;b&gt;bold&lt;" in text and "quo&#34;te&amp;amp" in text
    assert Page(text).open == []


def test_images_of_ones_own_go_by_the_name_of_their_folder(workdir):
    results = load(workdir)._replace(
        data={"name": "folders"}, config={"name": "mine", "data": {"manual_dir": "/a/my <i> b/"}}
    )
    assert grid_report.title(results) == "mine on my <i> b"
    assert grid_report.title(results._replace(config={"name": "mine"})) == "mine on folders"


def test_a_run_without_examples_and_curves_still_reports(tmp_path):
    root = fake_workdir(tmp_path, axes={}, seeds=1, images=6)
    (root / "examples.npz").unlink()
    (root / "metrics.jsonl").unlink()
    (root / "progress.json").unlink()
    text = write_report(root).read_text()
    assert len(Page(text).images) == 1
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).replace("eval.empty", "").replace(
        "<td>nan</td>", ""
    )


def test_one_style_per_arm_and_no_two_alike(tmp_path):
    results = load(fake_workdir(tmp_path, axes=EIGHT, seeds=1, images=4))
    panels, styles, _, _ = grid_look(results)
    assert sorted(arm for _, arms in panels for arm in arms) == sorted(results.arms)
    for _, arms in panels:
        assert len({(styles[a].colour, str(styles[a].dash)) for a in arms}) == len(arms)
    assert len(shown_arms(results)) <= MAX_ARMS
    assert results.arms[0] in shown_arms(results)
    assert len(examples(results).axes) == 3 * (2 + len(shown_arms(results)))


MANY = {
    "net.padding": ["zeros", "reflect", "circular"],
    "data.crop": [f"crop{i}" for i in range(8)],
    "optim.learning_rate": [f"{i}e-3" for i in range(1, 4)],
}


def test_many_arms_are_folded_and_what_is_drawn_is_near_the_first(tmp_path):
    results = load(fake_workdir(tmp_path, axes=MANY, **FEW))
    assert len(results.arms) == 72
    first, panels = results.settings[results.arms[0]], grid_look(results).panels
    drawn = [results.settings[arm] for _, arms in panels for arm in arms]
    assert len(panels) == 1 + 7 + 2 and len(drawn) == 3 * len(panels)
    for own in drawn:
        assert sum(own[k] != first[k] for k in ("data.crop", "optim.learning_rate")) <= 1
    page = write_report(tmp_path).read_text()
    assert "30 of 72 arms: the first and what is near to it" in page
    visible, folded = page.split("<summary>48 more rows</summary>")
    assert visible.partition('id="arms"')[2].count("<tr><td>zeros</td>") == 24
    assert folded.partition("</details>")[0].count("<tr><td>") == 48


def test_arms_of_one_axis_share_panels_up_to_a_limit(tmp_path):
    axes = {"optim.learning_rate": [f"{i}e-4" for i in range(1, 121)]}
    results = load(fake_workdir(tmp_path, axes=axes, seeds=1, images=2, test_sets=("quarter",)))
    assert [len(arms) for _, arms in grid_look(results).panels] == [8] * MAX_PANELS


@pytest.mark.slow
def test_a_page_of_500_arms_opens(tmp_path):
    axes = MANY | {"optim.learning_rate": [f"{i}e-3" for i in range(1, 22)]}
    page = write_report(fake_workdir(tmp_path, axes=axes, seeds=1, images=20))
    assert page.stat().st_size < 5e6


def test_lines_show_the_rows_and_the_settings_of_matplotlib_stay(workdir):
    before = dict(matplotlib.rcParams)
    results = load(workdir)
    found = estimates(results)
    figure = band_dice(results, found, grid_look(results))
    assert dict(matplotlib.rcParams) == before
    border = figure.axes[3]
    values = [line.get_ydata() for line in border.get_lines()]
    for arm, drawn in zip(results.arms, values):
        rows = [
            r
            for r in found
            if (r.arm, r.test_set, r.metric) == (arm, "quarter", "recall") and "border" in r.band
        ]
        assert list(drawn) == [r.value for r in rows]
