"""The page of audits: whole, offline, one section an audit, readable on a phone."""

import csv
import html
import json
import re
import shutil
import subprocess

import pytest
from matplotlib.figure import Figure

from jaxseg.errors import UsageError
from jaxseg.report.export import add_to_page
from jaxseg.report.section import Figure as Picture
from jaxseg.report.section import Section, Table
from jaxseg.report.terminal import terminal_text

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def _section(
    name="dataset", verdict="It is so: p < 0.05.", rows=3, columns=2, left_out=0, code="c"
):
    figure = Figure(figsize=(9, 2))
    figure.subplots().plot([0, 1])
    heads = ["measure", *(f"column number {k}" for k in range(columns - 1))]
    body = [[f"row {k}", *([k / 3] * (columns - 1))] for k in range(rows)]
    return Section(
        name=name,
        title=f"Title of {name}",
        verdict=[verdict],
        tables=[Table(f"{name}_numbers", "Numbers", heads, body)],
        figures=[Picture(f"{name}_line", "A line", 'A "line" that rises', figure)],
        notes=["Mind <this>."],
        left_out=[f"/data/{k}.png: damaged" for k in range(left_out)],
        code=[code],
    )


def test_tables_figures_and_the_page_are_written(tmp_path):
    page = add_to_page(tmp_path / "out", _section(left_out=12, code="python x <y>"))
    text = page.read_text()
    assert "It is so: p &lt; 0.05." in text and "Mind &lt;this&gt;." in text
    assert "python x &lt;y&gt;" in text and 'alt="A &#34;line&#34; that rises"' in text
    assert "/data/9.png" in text and "/data/10.png" not in text and "12 files" in text
    assert {p.name for p in (tmp_path / "out" / "figures").iterdir()} == {
        "dataset_line.png", "dataset_line.svg",
    }  # fmt: skip
    with (tmp_path / "out/dataset_numbers.csv").open() as file:
        assert list(csv.reader(file))[2] == ["row 1", "0.333333"]
    assert len((tmp_path / "out/dataset_left_out.csv").read_text().splitlines()) == 13
    assert "http" not in text and not re.search(r"<(script|link|iframe)\b", text)


def test_audits_of_one_folder_come_together_and_replace_themselves(tmp_path):
    order = ("dataset", "shift")
    add_to_page(tmp_path, _section("shift"), order)
    add_to_page(tmp_path, _section("dataset", "Old words."), order)
    text = add_to_page(tmp_path, _section("dataset", "New words."), order).read_text()
    assert "Old words." not in text and text.count("New words.") == 1
    assert text.index('<section id="dataset">') < text.index('<section id="shift">')
    assert '<a href="#shift">Title of shift</a>' in text


def test_equal_sections_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        add_to_page(tmp_path / name, _section())
    for path in (p for p in (tmp_path / "a").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_long_tables_end_with_a_link_and_wide_ones_fit_the_terminal(tmp_path):
    section = _section(rows=100, columns=9, left_out=11)
    text = add_to_page(tmp_path, section).read_text()
    assert text.count("<tr>") == 41 and "60 more rows in" in text
    steps = {"Report": str(tmp_path / "report.html"), "Next": "go on"}
    printed = terminal_text([section], steps)
    assert "… and 76 more rows and 3 more columns in dataset_numbers.csv" in printed
    assert "Left out: 11 files; all in dataset_left_out.csv" in printed
    assert max(map(len, printed.splitlines()[:-2])) <= 100
    assert printed.endswith(f"Report:  {tmp_path / 'report.html'}\nNext:    go on")


@pytest.mark.parametrize("made", ["grid", "file"])
def test_a_grids_workdir_and_a_file_are_refused(made, tmp_path):
    out = tmp_path / "out"
    if made == "grid":
        out.mkdir()
        (out / "config.json").write_text("{}")
    else:
        out.write_text("")
    with pytest.raises(UsageError, match=f"--out {out}: is "):
        add_to_page(out, _section())


# Everything but what stands in the page itself is refused, and a refusal is told.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe style="width:%dpx;height:800px;border:0" srcdoc="%s"></iframe><pre id="told"></pre><script>
const frame = document.querySelector('iframe');
frame.addEventListener('load', () => {
  const inside = frame.contentDocument, root = inside.documentElement;
  document.getElementById('told').textContent = JSON.stringify({
    scroll: root.scrollWidth, width: root.clientWidth, trouble: frame.contentWindow.trouble,
    images: [...inside.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width, i.alt]),
    fetched: frame.contentWindow.performance.getEntriesByType('resource')
      .map(e => e.name).filter(name => !name.startsWith('data:')),
  });
});
</script>"""
GUARD = """<head><meta http-equiv="Content-Security-Policy" content="default-src 'none';
 img-src data:; style-src 'unsafe-inline'; script-src 'nonce-probe'"><script nonce="probe">
var trouble = [];
addEventListener('error', e => trouble.push(String(e.message)), true);
addEventListener('securitypolicyviolation', e => trouble.push(e.blockedURI));
</script>"""


def opened(page, folder, width):
    """What a browser of `width` pixels says of a page: sizes, images, errors, requests."""
    guarded = page.read_text().replace("<head>", GUARD, 1)
    probe = folder / "probe.html"
    probe.write_text(PROBE % (width, html.escape(guarded)))
    result = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900",
         "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
         f"--user-data-dir={folder / 'profile'}", "--dump-dom", probe.as_uri()],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    told = re.search(r'<pre id="told">(\{.*?\})</pre>', result.stdout, re.S)
    assert told, result.stderr[-2000:]
    return json.loads(html.unescape(told[1]))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_opens_in_a_browser_without_requests_errors_or_scrolling(width, tmp_path):
    out = tmp_path / "out"
    add_to_page(out, _section("shift", columns=9, left_out=3, code="python " + "x" * 300))
    page = add_to_page(out, _section(verdict="word " * 60))
    told = opened(page, tmp_path, width)
    assert told["trouble"] == [] and told["fetched"] == []
    assert told["width"] in (width, width - 15) and told["scroll"] <= told["width"]
    assert len(told["images"]) == 2
    for natural, drawn, alt in told["images"]:
        assert natural > 500 and 0 < drawn <= width and alt


@pytest.mark.skipif(BROWSER is None, reason="no Chromium installed")
def test_the_browser_would_notice(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<!DOCTYPE html><html><head></head><body><img src="http://localhost:9/x.png" alt="">'
        '<div style="width:900px">wide</div></body></html>'
    )
    told = opened(page, tmp_path, 390)
    assert told["trouble"] and told["scroll"] > told["width"]
