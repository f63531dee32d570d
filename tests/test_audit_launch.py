"""launch/audit.py as users call it."""

import csv
import os
import pathlib
import runpy
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxseg.cli import audit, audit_models
from jaxseg.cli.audit import training_step
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid.config import Config, DataConfig
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet

ROOT = pathlib.Path(__file__).parents[1]


def _call(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "launch/audit.py", *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip


def _discs(folder, n, spread, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for k in range(n):
        mask = np.zeros((64, 64), np.uint8)
        centre = rng.uniform(10, 54, 2) if spread is None else rng.normal(32, spread, 2)
        cv2.circle(mask, tuple(map(int, centre)), int(rng.integers(5, 9)), 255, -1)
        cv2.imwrite(str(folder / f"{k:03d}.png"), mask)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("audit")
    centred, even = _discs(home / "a/masks", 40, 5), _discs(home / "b/masks", 40, None, seed=1)
    (centred / "000.png").write_bytes(b"")
    (centred / "001.png").unlink()
    (centred / "001.png").symlink_to(home / "elsewhere.png")
    result = _call("dataset", centred, f"even={even}", "--out", home / "out")
    assert result.returncode == 0, result.stderr
    return home, result


def test_one_command_leaves_a_table_figures_and_a_page(run):
    home, result = run
    assert "masks: a network that ignores the image would reach Dice 0." in result.stdout
    told = " ".join(result.stdout.split())
    assert "masks: objects gather at the centre, about x 0." in told
    assert "even: no bias of position shown" in told
    assert f"Report:  {home / 'out/report.html'}" in result.stdout
    assert result.stdout.strip().endswith("padding_ablation:folders --config.data.manual_dir=DIR")
    assert result.stderr == ""
    with (home / "out/dataset.csv").open() as file:
        rows = {row[0]: row[1:] for row in csv.reader(file)}
    assert rows["measure"] == ["masks", "even"] and rows["masks"] == ["38", "40"]
    for name in ("dataset_maps", "dataset_areas"):
        assert (home / f"out/figures/{name}.png").stat().st_size > 1000
    assert (home / "out/report.html").read_text().count("data:image/png") == 2


def test_what_was_left_out_is_named(run):
    home, result = run
    assert "Left out: 2 files" in result.stdout
    told = " ".join(result.stdout.split())
    assert f"{home}/a/masks/000.png: is empty (0 bytes)" in told
    assert f"{home}/a/masks/001.png: a link that loops or leads nowhere" in told


def test_a_data_set_that_cannot_be_used_is_named_and_the_other_goes_on(run, tmp_path):
    home = run[0]
    (tmp_path / "empty").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"empty/{k}.png"), np.zeros((9, 9), np.uint8))
    result = _call("dataset", home / "b/masks", tmp_path / "empty", "--out", tmp_path / "out")
    assert result.returncode == 0 and "empty: all 3 masks are empty" in result.stdout
    alone = _call("dataset", tmp_path / "empty", "--out", tmp_path / "out2")
    assert alone.returncode == 1 and not (tmp_path / "out2").exists()
    assert alone.stderr == "audit.py: error: empty: all 3 masks are empty; nothing to measure\n"


def test_one_mask_alone_is_not_an_error(run, tmp_path):
    home = run[0]
    result = _call("dataset", home / "b/masks", "--pattern", "003.png", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "no centre prior" in result.stdout and "at least 10" in result.stdout


def test_the_next_step_trains_on_the_folder_that_was_audited(tmp_path):
    root = tmp_path / "my lesions"
    (root / "masks").mkdir(parents=True)
    masks = [str(root / "masks")]
    assert shlex.split(training_step(masks))[-1] == "--config.data.manual_dir=DIR"
    (root / "images").mkdir()
    assert shlex.split(training_step(masks))[-1] == f"--config.data.manual_dir={root}"
    assert shlex.split(training_step([*masks, "b/masks"]))[-1] == "--config.data.manual_dir=DIR"


def test_help_shows_commands_and_examples():
    top = _call("--help")
    assert top.returncode == 0 and f"python {ROOT}/launch/audit.py dataset" in top.stdout


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["datasets", "x"], 2, "invalid choice: 'datasets'"),
        (["dataset"], 2, "the following arguments are required: [NAME=]MASKS"),
        (["dataset", "{home}/none"], 2, "/none: no such folder"),
        (["dataset", "{home}/b/masks", "--fil"], 2, "unrecognized arguments: --fil"),
        (["dataset", "{home}/b/masks", "--seed", "x"], 2, "--seed: invalid int value: 'x'"),
        (["dataset", "{home}/b/masks", "--limit_px", "0"], 2, "--limit_px 0: must be from 1"),
        (["dataset", "{home}/b/masks", "--limit_px", "9"], 1, "declares 64×64 pixels"),
        (["dataset", "{home}/b/masks", "--images", "x", "y"], 2, "--images: 2 folders for 1 of"),
        (["dataset", "{home}/b/masks", "{home}/b/masks"], 2, "two folders are called 'b/masks'"),
        (["dataset", "{home}/b/masks", "--pattern", "x*"], 1, "holds no files to read (x* of"),
        (["dataset", "{home}/b/masks", "--out", "{home}/b/masks/003.png"], 2, "is a file; give"),
    ],
)
def test_mistakes_are_one_line(arguments, code, message, run, tmp_path, monkeypatch, capsys):
    # In this process, as if typed: a start of Python each would take most of the time.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["audit.py", *(a.format(home=run[0]) for a in arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "launch/audit.py"), run_name="__main__")
    told = capsys.readouterr().err
    assert ended.value.code == code and message in told, told
    assert told.startswith("audit.py: error: ") and len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["dataset", "{a}", "{home}/none"], "MASKS {home}/none: no such folder"),
        (["dataset", "{a}", "x={home}/none"], "MASKS {home}/none: no such folder"),
        (["dataset", "{a}", "--images", "{home}/none"], "--images {home}/none: no such folder"),
        (["dataset", "{a}", "{b}", "--pattern", "*.none"], "{a}: holds no files to read (*.none"),
        (["dataset", "{a}", "{b}", "--pattern", "001*", "--out", "{a}/002.png/o"],
         "--out {a}/002.png/o: {a}/002.png is not a folder"),
        (["predictions", "--truth", "{b}", "--pred", "{home}/none"], "--pred {home}/none: no such"),
        (["predictions", "--truth", "{b}", "--pred", "{b}", "--images", "{b}/001.png"],
         "--images {b}/001.png: is a file; give a folder"),
        (["predictions", "--truth", "{b}", "--pred", "{b}", "--border_px", "0"], "--border_px 0: "),
        (["predictions", "--truth", "{b}", "--pred", "{b}", "--scale_to", "-1"], "--scale_to -1: "),
        (["predictions", "{home}/none", "--cell", "c"], "WORKDIR {home}/none: no such folder"),
        (["shift", "nowhere:f", "--images", "{home}/none", "--truth", "{b}"],
         "--images {home}/none"),
        (["shift", "nowhere:f", "--images", "{b}", "--truth", "{b}", "--size", "0"], "--size 0: "),
        (["shift", "nowhere:f", "--images", "{b}", "--truth", "{b}", "--frames", "0"],
         "--frames 0"),
        (["shift", "{home}/none", "--cell", "c"], "WORKDIR {home}/none: no such folder"),
        (["shift", "{b}", "--cell", "c", "--images", "{b}"],
         "--images, --truth: are for a function"),
        (["shift", "{b}", "--cell", "c", "--manual_dir", "{home}/no"],
         "--manual_dir {home}/no: no"),
        (["features", "{b}", "--cell", "c", "--frames", "6"], "--frames 6: must be at least 7"),
        (["features", "{b}", "--cell", "c", "--random_nets", "0"], "--random_nets 0: must be"),
    ],
)  # fmt: skip
def test_folders_patterns_and_numbers_are_refused_before_any_file_is_read(
    arguments, message, run, tmp_path, monkeypatch
):
    def read(*_):
        raise AssertionError("read before all was checked")

    monkeypatch.chdir(tmp_path)
    for module in ("audit", "audit_models"):
        for name in ("load_callable", "predict_cells", "load_variables"):
            monkeypatch.setattr(f"jaxseg.cli.{module}.{name}", read, raising=False)
    for name in ("look_at", "read_image"):
        monkeypatch.setattr(f"jaxseg.studies.folders.{name}", read)
    places = {"home": run[0], "a": run[0] / "a/masks", "b": run[0] / "b/masks"}
    with pytest.raises(JaxsegError) as error:
        audit.main(["audit.py", *(word.format(**places) for word in arguments)])
    assert message.format(**places) in str(error.value) and str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_every_cell_and_layer_is_known_before_the_first_is_probed(monkeypatch, tmp_path):
    monkeypatch.setattr(audit_models, "find_cells", lambda _: {"a-s0": 0, "b-s0": 0})
    found = (Network.of(UNet(depth=2)), {}, Config(data=DataConfig(size=16)))
    monkeypatch.setattr(audit_models, "load_variables", lambda *_: found)
    monkeypatch.setattr(audit_models, "cell_frames", lambda *_: pytest.fail("prepared first"))
    monkeypatch.chdir(tmp_path)
    ask = ["audit.py", "features", str(tmp_path), "--cell", "a-s0", "--cell"]
    with pytest.raises(UsageError, match=r"--cell='c-s0': must be one of a-s0, b-s0"):
        audit.main([*ask, "c-s0"])
    with pytest.raises(UsageError, match=r"--layer='down3': must be one of inc, down1, down2"):
        audit.main([*ask, "b-s0", "--layer", "down3"])
