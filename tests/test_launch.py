"""The real entry points, as a user calls them."""

import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxseg.cli import audit, predict, report
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.progress import silent
from jaxseg.studies.cell_frames import predict_cells

ROOT = pathlib.Path(__file__).parents[1]
QUICK = ["--config", "configs/padding_ablation.py:quick"]
SMALL = ["--grid", "padding=zeros,reflect", "--grid", "seed=0:1", "--config.optim.epochs=2",
         "--config.net.width=2", "--config.eval.resamples=200"]  # fmt: skip


def _call(script, *arguments, cache=None):
    environment = {**os.environ, "JAXSEG_CACHE": str(cache or "/nonexistent")}
    return subprocess.run(
        [sys.executable, ROOT / "launch" / script, *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("launch")
    result = _call("grid.py", *QUICK, *SMALL, "--workdir", home / "run", cache=home / "cache")
    assert result.returncode == 0, result.stderr
    return home / "run", home / "cache", result


def test_one_command_leaves_tables_figures_and_a_page(run):
    workdir, _, result = run
    page = (workdir / "report.html").read_text()
    assert "<html" in page and "border shortcut index" in page
    for name in ("summary.csv", "comparisons.csv", "cells.csv", "config.json", "metrics.jsonl"):
        assert (workdir / name).stat().st_size > 0
    assert list((workdir / "figures").glob("*.png"))
    assert "zeros/center" in result.stdout and "report.html" in result.stdout
    assert "Traceback" not in result.stderr


def test_the_same_command_again_only_rewrites_the_report(run):
    workdir, cache, _ = run
    before = {p: p.read_bytes() for p in (workdir / "counts").iterdir()}
    result = _call("grid.py", *QUICK, *SMALL, "--workdir", workdir, cache=cache)
    assert result.returncode == 0 and "compiling" not in result.stderr
    assert before == {p: p.read_bytes() for p in (workdir / "counts").iterdir()}


def test_checkpoints_can_be_inspected_compared_and_exported(run, tmp_path):
    workdir = run[0]
    listed = _call("inspect_checkpoint.py", workdir)
    assert "reflect-random-s0" in listed.stdout and "finished" in listed.stdout
    cell = ["--cell", "zeros-center-s0"]
    shown = _call("inspect_checkpoint.py", workdir, *cell, "--export", tmp_path / "cell.npz")
    assert "params/inc/conv1/kernel" in shown.stdout and '"net.padding": "zeros"' in shown.stdout
    with np.load(tmp_path / "cell.npz") as arrays:
        assert arrays["params/inc/conv1/kernel"].shape == (3, 3, 3, 2)
    compared = _call("inspect_checkpoint.py", workdir, *cell, "--diff", "reflect-center-s0")
    assert compared.returncode == 0 and "params/inc/conv1/kernel" in compared.stdout


def test_cells_are_audited_as_the_grid_scored_them(run, tmp_path, monkeypatch):
    workdir, cache, _ = run
    monkeypatch.setenv("JAXSEG_CACHE", str(cache))
    cells = ["zeros-center-s0", "reflect-center-s0"]
    found = predict_cells(workdir, cells, "full", silent)
    _, masks, *of_cells = map(np.array, zip(*found.items))
    for cell, predicted in zip(cells, of_cells):
        with np.load(workdir / "counts" / f"{cell}.npz") as counts:
            scored = counts["full.border"].sum((1, 2))
        parts = (predicted & masks, predicted & ~masks & 1, masks & ~predicted)
        np.testing.assert_array_equal(np.stack([p.sum((1, 2)) for p in parts], -1), scored)
    named = [word for cell in cells for word in ("--cell", cell)]
    audit = ["audit.py", "predictions", workdir, *named, "--test_set", "quarter", "--out", tmp_path]
    result = _call(*audit, cache=cache)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "figures" / "prediction_examples.png").stat().st_size > 1000
    wrong = _call(*audit[:-3], "annotated", cache=cache)
    assert wrong.returncode == 2 and "--test_set='annotated'" in wrong.stderr, wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


def test_the_report_of_a_finished_grid_is_written_again(run, tmp_path, capsys):
    workdir, _, result = run
    before = (workdir / "summary.csv").read_bytes()
    for name in ("summary.csv", "report.html"):
        (workdir / name).unlink()
    report.main(["jaxseg report", str(workdir)])
    assert (workdir / "summary.csv").read_bytes() == before
    assert "<html" in (workdir / "report.html").read_text()
    told = capsys.readouterr().out
    assert told.splitlines()[:5] == result.stdout.splitlines()[:5]
    with pytest.raises(JaxsegError, match=r"is not the folder of a grid, it has no config.json"):
        report.main(["jaxseg report", str(tmp_path)])
    with pytest.raises(UsageError, match=r"WORKDIR .*none: no such folder"):
        report.main(["jaxseg report", str(tmp_path / "none")])


@pytest.fixture(scope="module")
def pictures(run, tmp_path_factory):
    """Test images of the grid as files, one of them enlarged, with a cell's masks of them."""
    workdir, cache, _ = run
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSEG_CACHE", str(cache))
        found = predict_cells(workdir, ["zeros-center-s0"], "full", silent)
        frames = [found.show(name) for name, *_ in list(found.items)[:4]]
    folder = tmp_path_factory.mktemp("pictures") / "images"
    (folder / "second").mkdir(parents=True)
    for k, (_, _, image) in enumerate(frames[:3]):
        cv2.imwrite(str(folder / f"case {k}.png"), image[..., ::-1])
    larger = cv2.resize(frames[3][2], (96, 64), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "second/large.tif"), larger[..., ::-1])
    (folder / "case 9.png").write_bytes(b"none")
    return folder, frames


def test_masks_are_predicted_for_a_folder_of_images(run, pictures, capsys):
    folder, frames = pictures
    words = ["jaxseg predict", str(run[0]), "--cell", "zeros-center-s0", "--images", str(folder)]
    out = folder.parent / "masks"  # where the true masks often lie, which these are not
    words += ["--out", str(out)]
    predict.main(words)
    told = capsys.readouterr().out
    for k, (_, (predicted,), _) in enumerate(frames[:3]):
        mask = cv2.imread(str(out / f"case {k}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, predicted * 255)
    assert cv2.imread(str(out / "second/large.png")).shape == (64, 96, 3)
    assert len([path for path in out.rglob("*") if path.is_file()]) == 4
    assert "4 masks in" in told and "0 is background, 255 the object" in told
    assert "Left out: 1 file\n" in told and "case 9.png: cannot be read" in told
    assert "Next: jaxseg audit predictions --truth MASKS --pred zeros-center-s0=" in told

    with pytest.raises(UsageError, match=r"case 0.png and 3 more files exist already; give"):
        predict.main(words)
    predict.main([*words, "--overwrite"])
    with pytest.raises(UsageError, match="lies in the folder of the images"):
        predict.main([*words[:-1], str(folder / "masks")])
    with pytest.raises(UsageError, match=r"--cell='zero-s0': must be one of .*did you mean"):
        predict.main([*words[:3], "zero-s0", *words[4:]])


def test_predicted_masks_are_audited_without_a_flag(run, pictures, tmp_path, capsys):
    folder, frames = pictures
    (tmp_path / "truth").mkdir()
    for k, (mask, _, _) in enumerate(frames[:3]):
        cv2.imwrite(str(tmp_path / f"truth/case {k}.png"), mask)
    words = ["--cell", "zeros-center-s0", "--images", str(folder), "--out", str(tmp_path / "p")]
    predict.main(["jaxseg predict", str(run[0]), *words])
    words = ["--truth", str(tmp_path / "truth"), "--pred", f"zeros={tmp_path / 'p'}"]
    audit.main(["jaxseg audit", "predictions", *words, "--out", str(tmp_path / "audit")])
    assert "read as background and 1 class" in capsys.readouterr().out


def test_a_study_of_annotations_leaves_its_tables_figures_and_saliency(tmp_path):
    small = ["--grid", "seed=0:1", "--config.optim.epochs=1", "--config.net.width=2",
             "--config.eval.resamples=200", "--config.data.test_split=test[:4]"]  # fmt: skip
    command = ["--config", "configs/caliper_ablation.py:quick", *small, "--workdir", tmp_path / "w"]
    result = _call("grid.py", *command, cache=tmp_path / "cache")
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    assert "reliance" in result.stdout and "compiling" in result.stderr
    page = (tmp_path / "w" / "report.html").read_text()
    assert "reliance" in page and "Saliency" in page and "border shortcut index" not in page
    with np.load(tmp_path / "w" / "saliency.npz") as stored:
        assert len(stored["cells"]) == 4 and np.isfinite(stored["area"]).all()
    saliency = (tmp_path / "w" / "saliency.npz").read_bytes()
    again = _call("grid.py", *command, cache=tmp_path / "cache")
    assert again.returncode == 0 and "scoring saliency" not in again.stderr
    assert saliency == (tmp_path / "w" / "saliency.npz").read_bytes()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([], 2, "--config: is required"),
        (["--config", "configs/none.py"], 2, "configs/none.py: no such file"),
        (["--config", "configs/padding_ablation.py:quik"], 2, "did you mean 'quick'"),
        ([*QUICK, "--config.net.paddin=zeros"], 2, "padding"),
        ([*QUICK, "--config.optim.epochs=many"], 2, "optim.epochs"),
        ([*QUICK, "--grid", "paddin=zeros"], 2, "did you mean 'padding'"),
        ([*QUICK, "--config.net.padding=circular"], 2, "is an axis of the grid"),
        ([*QUICK, "--grid", "seed=0-5"], 2, "the range 0:6"),
        ([*QUICK, "--grid", "padding=mirror"], 2, "net.padding='mirror'"),
        (
            [*QUICK, "--config.net.options.heads=3"],
            2,
            "net.options.heads: unet takes no",
        ),
        ([*QUICK, "--config.data.size=30"], 2, "must be a multiple of 4"),
        ([*QUICK, "--config.data.name=folders"], 2, "data.manual_dir"),
        ([*QUICK, "--config.data.train_split=trane"], 2, "did you mean 'train'"),
        ([*QUICK, "--workdirs", "x"], 2, "workdir"),
    ],
)
def test_mistakes_are_one_line_with_exit_code_2(arguments, code, message, tmp_path):
    result = _call("grid.py", *arguments, *([] if "--workdirs" in arguments else
                   ["--workdir", tmp_path / "w"]), cache=tmp_path / "c")  # fmt: skip
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_inspecting_a_folder_that_is_not_there_is_one_line(tmp_path):
    result = _call("inspect_checkpoint.py", tmp_path / "none")
    assert result.returncode == 1 and "no such folder" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
