"""What users get wrong in their data, through the real entry point: one line, and a mend works."""

import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxseg.data.prepare import prepare_views
from jaxseg.grid.storage import write_with_digest

ROOT = pathlib.Path(__file__).parents[1]
SPLITS = {"train": 6, "validation": 2, "test": 2}


def _draw(root):
    rng = np.random.default_rng(0)
    for split, count in SPLITS.items():
        for part in ("images", "masks"):
            (root / split / part).mkdir(parents=True, exist_ok=True)
        for i in range(count):  # the same names in every split, as exports often have
            mask = np.zeros((40, 40), np.uint8)
            mask[10 + i : 25 + i, 12:30] = 255
            image = (rng.integers(0, 60, (40, 40, 3)) + mask[..., None] // 2).astype(np.uint8)
            cv2.imwrite(str(root / split / "images" / f"a{i}.png"), image)
            cv2.imwrite(str(root / split / "masks" / f"a{i}.png"), mask)


def _grid(root, *extra):
    own = [f"--config.data.manual_dir={root}", "--config.data.name=folders"]
    own += [f"--config.data.{part}_split={split}" for part, split in
            (("train", "train"), ("val", "validation"), ("test", "test"))]  # fmt: skip
    own += ["--config.optim.batch_size=4", "--config.net.width=2", "--config.optim.epochs=1"]
    return subprocess.run(
        [sys.executable, ROOT / "launch/grid.py", "--config", "configs/padding_ablation.py:quick",
         *own, "--workdir", root.with_name("run"), *extra],
        cwd=ROOT, env={**os.environ, "JAXSEG_CACHE": str(root.with_name("cache"))},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def _write(path, pixels):
    cv2.imwrite(str(path), np.broadcast_to(np.asarray(pixels, np.uint8), (40, 40)).copy())


def _empty(folder):
    for path in folder.iterdir():
        _write(path, 0)


def _cut_short(path, size):
    path.write_bytes(path.read_bytes()[:size])


def _remove_all(split):
    for part in ("images", "masks"):
        shutil.rmtree(split / part)
        (split / part).mkdir()


DATA = {
    "image without mask": (
        lambda root: (root / "train/masks/a3.png").unlink(),
        1, "train/images/a3.png: image without a mask (1 in all); add the mask (an empty",
    ),
    "mask without image": (
        lambda root: (root / "train/images/a3.png").unlink(),
        1, "train/masks/a3.png: mask without an image (1 in all); add the image, or keep",
    ),
    "mask values": (
        lambda root: _write(root / "train/masks/a3.png", [7] * 20 + [255] * 20),
        1, "train/masks/a3.png holds 7 and 255",
    ),
    "truncated image": (
        lambda root: _cut_short(root / "train/images/a3.png", 300),
        1, "train/images/a3.png: cannot be read as an image (truncated or damaged); replace",
    ),
    "image of no bytes": (
        lambda root: _cut_short(root / "test/images/a1.png", 0),
        1, "test/images/a1.png: is empty (0 bytes)",
    ),
    "truncated mask": (
        lambda root: _cut_short(root / "train/masks/a3.png", 60),
        1, "train/masks/a3.png: cannot be read as an image (truncated or damaged)",
    ),
    "sizes differ": (
        lambda root: cv2.imwrite(str(root / "train/masks/a3.png"), np.zeros((30, 40), np.uint8)),
        1, "train/masks/a3.png: 30×40 pixels but ",
    ),
    "no images": (
        lambda root: _remove_all(root / "train"),
        1, "train/images: holds no files to read (.png",
    ),
    "all masks empty": (
        lambda root: _empty(root / "test/masks"),
        1, "folders test: all 2 masks are empty",
    ),
    "validation masks empty": (
        lambda root: _empty(root / "validation/masks"),
        1, "folders validation: all 2 masks are empty",
    ),
}  # fmt: skip


_ALIKE = ("image of no bytes", "truncated mask", "sizes differ", "validation masks empty")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] if c in _ALIKE else []) for c in DATA]
)
def test_wrong_data_is_one_line_and_nothing_stays_in_the_way_of_the_mend(case, tmp_path):
    root = tmp_path / "data"
    spoil, code, message = DATA[case]
    _draw(root)
    spoil(root)
    result = _grid(root)
    assert result.returncode == code and message in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert str(tmp_path) in result.stderr or "folders" in result.stderr
    _draw(root)
    for split, count in SPLITS.items():
        views = prepare_views("folders", split, size=32, views=["full", "quarter"],
                              manual_dir=root, data_dir=tmp_path / "cache")  # fmt: skip
        assert len(views["full"].ids) == count and views["full"].masks.any()


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--config.optim.batch_size=7"], "optim.batch_size=7: must be from 1 to the 6 training"),
        (["--config.data.size=4", "--config.eval.ring_width=64", "--config.eval.border_px=1",
          "--grid", "padding=reflect"], "reflect"),
        (["--config.data.manual_dir=/none"], "data.manual_dir='/none': no such folder"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_data_are_one_line(extra, message, tmp_path):
    _draw(tmp_path / "data")
    result = _grid(tmp_path / "data", *extra)
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_a_workdir_of_other_settings_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    write_with_digest(tmp_path / "run/config.json", {"config": {"name": "other"}, "grid": []})
    _draw(tmp_path / "data")
    result = _grid(tmp_path / "data")
    assert result.returncode == 2 and "name ('other' there" in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
