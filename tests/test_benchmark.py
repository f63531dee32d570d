"""launch/benchmark.py: its peers compute what jaxseg computes, and its table is made."""

import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

import jaxseg

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "launch"))


def _call(script, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "launch" / script, *map(str, arguments)],
        capture_output=True, text=True, timeout=400, cwd=ROOT,
    )  # fmt: skip


def test_the_loop_over_rings_scores_what_band_counts_score():
    from benchmarks.ring_loop import ring_dice

    rng = np.random.default_rng(0)
    chosen, truth = rng.random((2, 64, 64)) < [[[0.4]], [[0.3]]]
    rings = jaxseg.square_rings(64, 10)
    counts = np.asarray(jaxseg.band_counts(chosen[None, ..., None], truth[None, ..., None], rings))
    expected = jaxseg.dice(counts[0, :, 0], empty="smooth1")
    np.testing.assert_allclose(ring_dice(chosen, truth)[::-1], expected, atol=1e-6)


def test_bands_are_measured_into_a_table_and_json_lines(tmp_path):
    result = _call(
        "benchmark.py", "--parts", "bands", "--repeats", 3, "--out", tmp_path / "b.jsonl"
    )
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == ["jaxseg", "a loop over images and rings"]
    for row in rows:
        assert row["ms_q1"] <= row["ms"] <= row["ms_q3"] and row["jax"]
        assert row["ratio"] == pytest.approx(rows[1]["ms"] / row["ms"])
        assert f"{row['ms']:.2f}" in result.stdout


@pytest.mark.slow
def test_steps_and_preparation_are_measured(tmp_path):
    small = ["--width", 2, "--size", 16, "--batch", 2, "--steps", 1, "--repeats", 3]
    parts = "step,preparation"
    result = _call("benchmark.py", "--parts", parts, *small, "--out", tmp_path / "b.jsonl")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert {row["part"] for row in rows} == {*parts.split(",")}
    assert all(0 < row["share"] < 1 for row in rows if row["part"] == "step")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--parts", "steps"], "did you mean 'step'"),
        (["--width", 1], "width"),
        (["--parts", "bands", "more"], "'more': not understood"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    result = _call("benchmark.py", *arguments)
    assert result.returncode == 2 and message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_peer_has_the_papers_parameters_and_an_ensemble_equals_its_members():
    torch = pytest.importorskip("torch")
    from benchmarks.torch_unet import TorchUNet, make_ensemble_step, make_step

    assert sum(p.numel() for p in TorchUNet(64).parameters()) == 17_267_393
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    masks = (rng.random((2, 16, 16)) < 0.3).astype(np.uint8)
    torch.manual_seed(0)
    losses = make_ensemble_step(4, 1, device="cpu")(images, masks)
    alone = make_step(4, seed=0)(images, masks)
    assert losses.shape == (1,) and float(losses[0]) == pytest.approx(float(alone), abs=1e-5)


def test_the_script_trains_and_scores_a_cell(tmp_path):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for part in ("images", "masks"):
            (tmp_path / split / part).mkdir(parents=True)
        for i in range(4):
            mask = np.zeros((40, 40), np.uint8)
            mask[10 + i : 25 + i, 12:30] = 255
            image = (rng.integers(0, 60, (40, 40, 3)) + mask[..., None] // 2).astype(np.uint8)
            cv2.imwrite(str(tmp_path / split / "images" / f"{i}.jpg"), image)
            cv2.imwrite(str(tmp_path / split / "masks" / f"{i}.png"), mask)
    own = ["--width", 4, "--size", 32, "--batch", 2, "--epochs", 2, "--crop", "quarter"]
    result = _call("benchmarks/torch_script.py", tmp_path, *own)
    assert result.returncode == 0, result.stderr
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["epoch", "epoch", "full", "quarter"]
