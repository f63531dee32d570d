"""The programs on machines as they are: terminals, variables of notebooks, users without homes."""

import html
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxseg import homes
from jaxseg.data.prepare import prepare_views
from jaxseg.errors import JaxsegError
from jaxseg.grid.storage import write_with_digest
from jaxseg.progress import silent
from jaxseg.texts import read_with_digest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def masks(tmp_path):
    """A folder of masks in a folder whose name a shell, a URL and a terminal take amiss."""
    folder = tmp_path / "it's 100 % of #1 é" / "masks"
    folder.mkdir(parents=True)
    for k in range(8):
        mask = np.zeros((40, 40), np.uint8)
        mask[5 + k : 20 + k, 8:25] = 255
        Image.fromarray(mask).save(folder / f"{k}.png")
    return folder


def _audit(masks, *, command=(), stdout=subprocess.PIPE, **environment):
    words = ["launch/audit.py", "dataset", masks, "--out", masks.parent / "out"]
    return subprocess.run(
        [*command, sys.executable, *map(str, words)], cwd=ROOT, stdout=stdout,
        stderr=subprocess.PIPE, env={**os.environ, **environment}, timeout=200,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_notebooks_backend_and_a_narrow_encoding_do_no_harm(masks, encoding):
    backend = "module://matplotlib_inline.backend_inline_that_is_not_here"
    done = _audit(masks, MPLBACKEND=backend, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"report.html" in done.stdout and list((masks.parent / "out/figures").glob("*.png"))


def test_a_locale_that_knows_no_unicode_reads_and_writes_unicode_names(masks):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = _audit(masks, **locale)
    assert done.returncode == 0, done.stderr
    assert (masks.parent / "out" / "report.html").exists()


@pytest.mark.slow
def test_a_users_style_and_an_unwritable_font_folder_leave_figures_as_they_are(masks, tmp_path):
    assert _audit(masks).returncode == 0
    expected = (masks.parent / "out/report.html").read_bytes()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.dpi: 20\nfont.size: 30\n")
    done = _audit(masks, MATPLOTLIBRC=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert (masks.parent / "out/report.html").read_bytes() == expected
    done = _audit(masks, MPLCONFIGDIR="/proc/1/nowhere")
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert (masks.parent / "out/report.html").read_bytes() == expected


@pytest.mark.slow
def test_output_that_nobody_reads_ends_quietly_and_a_full_one_in_one_line(masks):
    reader, writer = os.pipe()
    os.close(reader)
    done = _audit(masks, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    with open("/dev/full", "w") as full:
        done = _audit(masks, stdout=full)
    assert (done.returncode, done.stderr) == (1, b"audit.py: error: No space left on device\n")


def test_a_backend_that_is_there_stays_the_one_of_pyplot():
    code = "import jaxseg.report, os, matplotlib; print(matplotlib.get_backend())"
    environment = {**os.environ, "MPLBACKEND": "svg"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(os.environ['MPLBACKEND'])"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["svg", "svg"]


# Paths.


def test_a_folder_with_odd_letters_is_audited_and_named_so_that_it_can_be_pasted(masks):
    (masks.parent / "images").mkdir()
    done = _audit(masks)
    page = masks.parent / "out" / "report.html"
    (line,) = [x for x in done.stdout.decode().splitlines() if x.startswith("Next:")]
    assert shlex.split(line.partition("manual_dir=")[2]) == [str(masks.parent)]
    (made_by,) = re.findall("Command:</p><pre>(.*?)</pre>", page.read_text())
    assert shlex.split(html.unescape(made_by))[-1] == str(page.parent)


def test_a_negative_seed_of_an_audit_is_one_line(masks):
    words = [sys.executable, "launch/audit.py", "dataset", str(masks), "--seed", "-1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "audit.py: error: --seed -1: must be at least 0\n")


# Homes.


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """A user with the environment of a container: no cache chosen; temporary files in tmp_path."""
    monkeypatch.delenv("JAXSEG_CACHE", raising=False)
    monkeypatch.setattr(homes.tempfile, "gettempdir", lambda: str(tmp_path))
    homes._temporary_folder.cache_clear()
    yield
    homes._temporary_folder.cache_clear()


@pytest.mark.parametrize("home", ["", "/dev/null", "relative", "~"])
def test_without_a_home_a_folder_of_the_user_is_used_and_said_once(
    homeless, home, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("HOME", home)
    if home == "":  # which means the root of all files, where this test may run as its owner
        monkeypatch.setattr(homes, "may_access", lambda *_: False)
    folder = homes.default_data_dir()
    assert folder == homes.default_data_dir() == tmp_path / f"jaxseg-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    said = capsys.readouterr().err
    assert said.count("JAXSEG_CACHE") == 1 and str(folder) in said


def test_a_home_is_used_where_there_is_one(homeless, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert homes.default_data_dir() == tmp_path / ".cache" / "jaxseg"
    monkeypatch.setenv("JAXSEG_CACHE", "~/mine")
    assert homes.default_data_dir() == tmp_path / "mine"
    monkeypatch.setenv("JAXSEG_CACHE", "~nobody-of-this-name/mine")
    assert homes.default_data_dir() == pathlib.Path("~nobody-of-this-name/mine")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("what", ["link", "file", "open to all"])
def test_a_temporary_folder_that_others_can_write_to_is_refused(
    homeless, what, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", "/dev/null")
    folder = tmp_path / f"jaxseg-{os.getuid()}"
    if what == "link":
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
    elif what == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises((JaxsegError, FileExistsError)) as refused:
        homes.default_data_dir()
    assert str(folder) in str(refused.value)


def test_owners_without_a_name_are_read_and_prepared(monkeypatch, tmp_path):
    import grp
    import pwd

    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    path = epath.Path(tmp_path) / "a.json"
    write_with_digest(path, {"a": 1})
    assert read_with_digest(path) == {"a": 1}
    monkeypatch.setattr(grp, "getgrgid", nobody)
    options = {"size": 16, "views": ["full"], "data_dir": tmp_path, "progress": silent}
    assert len(prepare_views("lesion_phantoms", "test[:2]", **options)["full"].ids) == 2
