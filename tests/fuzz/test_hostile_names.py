"""Names from outside on a page, in tables and on a terminal: shown as they are, never obeyed."""

import collections
import csv
import html.parser
import json
import os
import re
import xml.etree.ElementTree

import cv2
import numpy as np
import pytest
from fake_workdir import fake_workdir

from jaxseg.cli import audit
from jaxseg.errors import JaxsegError, UsageError, printable
from jaxseg.studies.grid_report import write_report
from jaxseg.texts import csv_text, plain, utf8

NAMES = ("two words", 'it\'s "quoted"', "line\nbreak", "<script>alert(1)<", "a&amp;b", "größe 大")
NAMES += ("=HYPERLINK(1)", "+1+cmd", "-x", "@SUM(A1)", "\ttab", "\rreturn", "$x^$", "\x1b[2Jred")
FORMULA = re.compile(r"[=+\-@\t\r\n]")
NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?|[+-]inf")
PNG = "a&<b>'\"\n=.png"


class Page(html.parser.HTMLParser):
    """Tags of a page with how often each comes, the attributes that run code, and all its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.active, self.words = collections.Counter(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.active += [(k, v) for k, v in attrs if k.startswith("on") or "script:" in (v or "")]

    def handle_data(self, data):
        self.words.append(data)


def _masks(folder, names, shift=0):
    folder.mkdir(parents=True)
    for k, name in enumerate(names):
        mask = np.zeros((32, 40), np.uint8)
        mask[3 + k % 12 : 18 + k % 12 - shift, 8 : 24 + k % 9] = 255
        (folder / name).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    (folder / "damaged\n<i>=.png").write_bytes(b"no picture")


def _audited(out, *words):
    audit.main(["audit.py", *map(str, words), "--out", str(out)])
    page = (out / "report.html").read_text(encoding="utf-8")
    return Page(page), _tables(out)


def _tables(out):
    """Every field of every CSV file; none of them is a formula."""
    fields = []
    for path in out.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            fields += [field for row in csv.reader(file) for field in row]
    bad = [f for f in fields if FORMULA.match(f) and not NUMBER.fullmatch(f)]
    assert not bad
    return {plain(field) for field in fields}


@pytest.mark.filterwarnings("error")
def test_an_audit_of_a_data_set_shows_names_and_obeys_none(tmp_path, capsys):
    files = [f"{name}.png" for name in NAMES]
    _masks(tmp_path / "x", files)
    _masks(tmp_path / "x/<b>=sub\n", ["-n.png", PNG])
    plain_masks = [f"m{k}.png" for k in range(len(NAMES) + 2)]
    _masks(tmp_path / "y", plain_masks)
    page, fields = _audited(tmp_path / "out", "dataset", f"=<b>\n&={tmp_path}/x", tmp_path / "y")
    harmless, _ = _audited(tmp_path / "out2", "dataset", f"a={tmp_path}/x", tmp_path / "y")
    assert page.tags == harmless.tags and not page.active
    assert "=<b>\\n&" in fields and "=<b>\\n&" in "".join(page.words)
    # Every mask has its double in the other set: all names stand in duplicates.csv.
    assert {printable(name) for name in files} <= fields
    told = capsys.readouterr().out
    assert "\x1b" not in told and "damaged\\n<i>=.png" in told


def test_an_audit_of_predictions_shows_names_and_obeys_none(tmp_path, capsys):
    files = [f"{name}.png" for name in NAMES]
    _masks(tmp_path / "truth", files)
    _masks(tmp_path / "pred=1", files, shift=4)
    name = '=HYPERLINK("http://x","y")<script>'
    words = ["predictions", "--truth", tmp_path / "truth", "--pred"]
    page, fields = _audited(tmp_path / "out", *words, f"{name}={tmp_path}/pred=1")
    harmless, _ = _audited(tmp_path / "out2", *words, f"m={tmp_path}/pred=1")
    assert page.tags == harmless.tags and not page.active
    assert name in fields and name in "".join(page.words)
    for picture in (tmp_path / "out/figures").glob("*.svg"):
        xml.etree.ElementTree.parse(picture)
    assert name in capsys.readouterr().out


def test_names_that_are_not_utf8_are_printed_and_crash_nothing(tmp_path, capsys):
    folder = os.fsdecode(b"odd\xff")
    _masks(tmp_path / folder, ["a.png", "b.png", os.fsdecode(b"c\xfe.png")])
    os.rename(tmp_path / folder / "b.png", tmp_path / folder / "line\n.png")
    page, fields = _audited(tmp_path / f"out{folder}", "dataset", tmp_path / folder)
    assert any("name is not valid UTF-8" in field for field in fields)
    assert "odd\\udcff" in "".join(page.words)
    capsys.readouterr().out.encode("utf-8")


def test_a_report_shows_arms_classes_and_settings_and_obeys_none(tmp_path):
    hostile = ["=cmd|'/C calc'!A0", "<script>$\\frac{\x1b[2J\n@x</script>"]
    classes = ["=a\n<img src=x onerror=y>", "&"]
    made = [
        fake_workdir(
            tmp_path / name, axes={"net.padding": values, "data.crop": ["-0.3"]}, seeds=2,
            images=4, size=32, test_sets=("full",), classes=named, name=named[0],
        )
        for name, values, named in (("bad", hostile, classes), ("good", list("yz"), ["c", "d"]))
    ]  # fmt: skip
    pages = []
    for root in made:
        about = json.loads((root / "config.json").read_text())
        about["environment"]["\ud800<b>"] = "\udcff=<i>"
        about["config"]["eval"]["resamples"] = 100
        (root / "config.json").write_text(json.dumps(about))
        page, _ = write_report(root)
        pages.append(Page(page.read_text(encoding="utf-8")))
    assert pages[0].tags == pages[1].tags and not pages[0].active
    (made[0] / "cells.csv").unlink()  # it is not the report's
    fields = _tables(made[0])
    assert {"=cmd|'/C calc'!A0/-0.3", "dice:=a\\n<img src=x onerror=y>"} <= fields
    for picture in (made[0] / "figures").glob("*.svg"):
        xml.etree.ElementTree.parse(picture)


@pytest.mark.parametrize(
    "text", [*NAMES, "'=x", "''", "'", "''-y", "=", "- 3", "-0.3", "+1e-5", ""]
)
def test_a_field_comes_back_as_it_was(text):
    row = next(csv.reader(csv_text([text, -0.3], []).splitlines(keepends=True), strict=True))
    assert plain(row[0]) == printable(text) and row[1] == "-0.3"
    assert NUMBER.fullmatch(row[0]) or not FORMULA.match(row[0])


@pytest.mark.parametrize("text", [*NAMES, "\udcff", "\u202eabc", "\u2028"])
def test_a_printable_text_is_one_line_of_utf8(text):
    assert printable(text).isprintable() and printable("größe 大") == "größe 大"
    assert utf8(text).decode("utf-8")
    assert str(JaxsegError(text)).isprintable() and UsageError(text).exit_code == 2
