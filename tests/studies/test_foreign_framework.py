"""Runs of a plain PyTorch script, two paddings and three seeds, compared by the command line."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
ROOT = pathlib.Path(__file__).parents[2]
# What a user of PyTorch has: nothing of jaxseg is imported.
SCRIPT = """
import pathlib, sys
import numpy as np, torch
from PIL import Image

images = sorted(pathlib.Path("images").glob("*.png"))
read = lambda paths: torch.tensor(np.stack([np.asarray(Image.open(p)) for p in paths]))[:, None]
x, y = read(images) / 255, read([f"masks/{path.name}" for path in images]) / 255
for padding in ("zeros", "reflect"):
    for seed in range(3):
        torch.manual_seed(seed)
        conv = lambda i, o: torch.nn.Conv2d(i, o, 5, padding=2, padding_mode=padding)
        net = torch.nn.Sequential(conv(1, 8), torch.nn.ReLU(), conv(8, 1))
        optimiser = torch.optim.Adam(net.parameters(), 3e-2)
        for _ in range(40):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x), y)
            optimiser.zero_grad(); loss.backward(); optimiser.step()
        folder = pathlib.Path(f"runs/{padding}/seed{seed}")
        folder.mkdir(parents=True)
        for path, logits in zip(images, net(x)):
            mask = (logits[0] > 0).numpy().astype("uint8")
            Image.fromarray(mask * 255).save(folder / path.name)
"""


@pytest.mark.slow
def test_masks_of_a_pytorch_script_become_a_page_with_statistics(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for k in range(12):
        mask = np.zeros((64, 64), np.uint8)
        top, left = rng.integers(0, 40, 2)
        mask[top : top + 24, left : left + 24] = 255
        image = np.clip(mask * 0.6 + rng.normal(60, 25, mask.shape), 0, 255).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / f"masks/im{k}.png")
        Image.fromarray(image).save(tmp_path / f"images/im{k}.png")
    (tmp_path / "train.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True)
    words = ["compare", "--truth", "masks", "--runs", "runs/{arm}/seed{seed}", "--images", "images"]
    place = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jaxseg", *words]
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reflect" in done.stdout and "3 paired seeds" in done.stdout
    page = (tmp_path / "compared/report.html").read_text()
    assert all(word in page for word in ("Comparisons", "Where in the frame", "Examples"))
    rows = (tmp_path / "compared/summary.csv").read_text().splitlines()
    dice = [float(row.split(",")[4]) for row in rows if ",all,dice," in row]
    assert len(dice) == 2 and min(dice) > 0.7
