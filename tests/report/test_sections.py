"""Sections of no study as page, terminal text and files; `test_page_in_browser` opens a browser."""

import csv
import html.parser
import math
import pathlib
import re

import pytest
from matplotlib.figure import Figure as Drawing

from jaxseg.report import page, terminal
from jaxseg.report.export import table_csv, write_page
from jaxseg.report.section import Figure, Label, Measure, Section, Table

HOSTILE = "<script>alert('1')</script>\x1b[31m & \"quoted\""
REPORT = pathlib.Path(page.__file__).parent


class Page(html.parser.HTMLParser):
    """Collects links and checks that every tag is closed by its own end tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.tags, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key == "href"]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def drawing():
    figure = Drawing(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


def table(name="rows", n=3, **options):
    rows = [(f"row {k}", Measure(0.5, 0.25, 0.75), k, math.nan) for k in range(n)]
    return Table(name, "A table", ("what", "share", "count", "missing"), rows, **options)


def full(name="one", **changes):
    section = Section(
        name,
        f"Section {name}",
        lead=Measure(0.25, 0.125, 0.375, signed=True),
        lead_label="a share",
        verdict=["A verdict of 5 % [0.1, 0.2]."],
        findings=["A finding."],
        text=["A paragraph."],
        figures=[Figure(f"{name}_figure", "A caption", "A line", drawing())],
        tables=[table(f"{name}_rows")],
        notes=["A caution."],
        facts={"Machine": "a laptop"},
        settings={"width": 8},
        terms={"share": "A part of the whole."},
        files=["other.txt"],
        taken=["a.png: read as grey"],
        left_out=["b.png: is empty"],
        code=["make report"],
        closing=["The end."],
    )
    return section._replace(**changes)


def text_of(sections, folder):
    return write_page(folder, "A title", sections).read_text()


def test_a_page_says_all_that_its_sections_hold_and_loads_nothing(tmp_path):
    text = text_of([full()], tmp_path)
    found = Page(text)
    said = " ".join(found.text)
    for part in ("+0.250", "[+0.125,", "a share", "A verdict", "A finding.", "A paragraph.",
                 "A caption", "A table", "A caution.", "a laptop", "width", "A part of the whole.",
                 "make report", "b.png: is empty", "The end."):  # fmt: skip
        assert part in said, part
    assert "http" not in text and not {"script", "link", "iframe"} & set(found.tags)


def test_names_that_are_markup_are_text_on_a_page(tmp_path):
    hostile = Section(
        "hostile",
        HOSTILE,
        lead=Measure(1.0),
        lead_label=HOSTILE,
        verdict=[HOSTILE],
        findings=[HOSTILE],
        text=[HOSTILE],
        figures=[Figure("f", HOSTILE, HOSTILE, drawing())],
        tables=[
            Table("t", HOSTILE, [HOSTILE], [[HOSTILE], [Label(HOSTILE, HOSTILE)]], note=HOSTILE)
        ],
        notes=[HOSTILE],
        facts={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        terms={HOSTILE: HOSTILE},
        left_out=[HOSTILE],
        code=[HOSTILE],
        closing=[HOSTILE],
    )
    text = write_page(tmp_path, HOSTILE, [hostile]).read_text()
    assert "script" not in Page(text).tags
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_every_link_of_a_page_leads_to_a_file(tmp_path):
    (tmp_path / "other.txt").touch()
    text = text_of([full("one"), full("two", tables=[table("two_rows", page_rows=0)])], tmp_path)
    links = [link for link in Page(text).links if not link.startswith("#")]
    assert {"one_rows.csv", "two_rows.csv", "figures/one_figure.svg"} <= set(links)
    assert all((tmp_path / link).is_file() for link in links)


def test_rows_beyond_those_of_the_page_are_folded_or_left_to_the_file(tmp_path):
    own = [table("", 50, page_rows=40), table("long", 41, page_rows=40)]
    text = text_of([full(tables=own)], tmp_path)
    assert "<summary>10 more rows</summary>" in text
    assert '1 more row in <a href="long.csv">' in text
    assert text.count("<td>row ") == 50 + 40


def test_a_folded_table_is_hidden_under_its_text(tmp_path):
    text = text_of([full(tables=[table("", folded="By class")])], tmp_path)
    before, _, inside = text.partition("<summary>By class</summary>")
    assert "<td>row 0" not in before and "<td>row 0" in inside


def test_numbers_stand_right_under_their_heading(tmp_path):
    text = text_of([full()], tmp_path)
    heads = re.findall(r'<th scope="col"([^>]*)>(\w+)</th>', text)
    assert [name for more, name in heads if "n" in more] == ["share", "count", "missing"]


def test_a_section_that_holds_nothing_is_left_out(tmp_path):
    assert Section("empty", "Nothing").is_empty and not full().is_empty
    assert "Nothing" not in text_of([full(), Section("empty", "Nothing")], tmp_path)


def test_equal_sections_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_page(tmp_path / name, "A title", [full()])
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_table_is_a_file_of_numbers_without_intervals(tmp_path):
    write_page(tmp_path, "A title", [full()])
    with (tmp_path / "one_rows.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["what", "share", "count", "missing"], ["row 0", "0.5", "0", ""]]
    assert table_csv(Table("", "", ["a"], [[Label("=1+1", "below")], [1 / 3]])) == (
        "a\n'=1+1\n0.333333\n"
    )


def test_what_was_left_out_is_a_file_while_there_is_any(tmp_path):
    path = tmp_path / "one_left_out.csv"
    write_page(tmp_path, "A title", [full()])
    assert path.read_text() == "left_out\nb.png: is empty\n"
    write_page(tmp_path, "A title", [full(left_out=[])])
    assert not path.exists()


@pytest.fixture
def wide():
    columns = ["name", *(f"column number {k}" for k in range(9))]
    return Table("wide", "", columns, [[HOSTILE * 4, *([0.5] * 9)]] * 30)


def test_terminal_text_fits_and_obeys_nothing_in_names(wide):
    hostile = full(tables=[wide], verdict=[HOSTILE * 4], notes=[HOSTILE * 4], left_out=[HOSTILE])
    text = terminal.terminal_text([hostile], {"Page": "out/report.html"})
    assert max(map(len, text.splitlines())) <= terminal.WIDTH
    assert "\x1b" not in text and r"\x1b" in text
    assert "… and 6 more rows and" in text and "more columns in wide.csv" in text
    assert text.endswith("Page:    out/report.html")


def test_a_terminal_shows_numbers_with_their_interval_and_small_lines_nowhere():
    rows = [("a", Measure(0.5, 0.25, 0.75, below="small")), (Label("b", "small"), Measure(1.0))]
    shown = full(tables=[Table("", "", ["name", "share"], rows, note="A note.")])
    text = terminal.terminal_text([shown], {})
    assert "0.500 [0.250, 0.750]" in text and "A note." in text and "small" not in text


def test_a_long_name_goes_on_indented_below():
    long = Table("", "", ["name", "share"], [["word " * 30, 0.5], ["next", 1.0]])
    first, second, last = terminal.terminal_text([full(tables=[long])], {}).split("\n")[3:6]
    assert first.endswith("0.500") and second.startswith("  word") and last.startswith("next")


def test_a_table_may_be_for_the_page_or_the_terminal_alone(tmp_path):
    own = [table("", 1, terminal_rows=0)._replace(title="Of the page"), table("", 1, page_rows=0)]
    section = full(tables=own)
    assert terminal.terminal_text([section], {}).count("row 0") == 1
    assert text_of([section], tmp_path).count("row 0") == 1


WORDS = r"padding(?![=:-])|\bcrops?\b|seed|annotat|caliper|lesion|\bdice\b|recall|\bcells?\b"


def test_the_report_knows_no_study():
    for path in REPORT.iterdir():
        source = path.read_text() if path.suffix in (".py", ".j2", ".css") else ""
        assert "jaxseg.studies" not in source, path
        assert re.findall(WORDS, source, re.IGNORECASE) == [], path
