"""Writes a workdir as a finished grid leaves it, with a planted border shortcut and no training."""

import csv
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TWO_BY_TWO = {"net.padding": ["zeros", "reflect"], "data.crop": ["center", "random"]}
# Share of the lesion pixels in the outermost 8 px that an arm misses, beyond the 8 % all miss.
PLANTED = {"zeros/center": 0.40, "reflect/center": 0.15}


def fake_workdir(
    root: Path,
    *,
    axes: dict[str, list[str]] | None = None,
    planted: dict[str, float] | None = None,
    seeds: int = 6,
    images: int = 80,
    size: int = 64,
    test_sets: Sequence[str] = ("full", "quarter"),
    diverged: Sequence[str] = (),
    pending: Sequence[str] = (),
    empty_border: bool = False,
    classes: Sequence[str] = ("lesion",),
    name: str = "phantoms",
    resamples: int = 1000,
) -> Path:
    """Returns `root`, filled with the files of the contract; deterministic in its arguments."""
    axes = TWO_BY_TWO if axes is None else axes
    planted = PLANTED if planted is None else planted
    (root / "counts").mkdir(parents=True, exist_ok=True)
    truth = {t: _truth(t, images, size, empty_border) for t in test_sets}
    examples = _examples(root, size)
    rows, curves = [], []
    for values in itertools.product(*axes.values()):
        arm = "/".join(values) or "single"
        for seed in range(seeds):
            cell = re.sub(r"[^\w.+-]", "_", f"{arm.replace('/', '-')}-s{seed}")
            status = "diverged" if cell in diverged else "pending" if cell in pending else "done"
            rows.append(_row(cell, status, arm, dict(zip(axes, values)), seed))
            if status == "pending":
                continue
            rng = np.random.default_rng([seed, *arm.encode()])
            curves += _curves(cell, rng, status)
            if status == "done":
                loss = planted.get(arm, 0.0) + rng.normal(0, 0.02)
                _write_counts(root, cell, truth, loss, rng, len(classes), examples)
    _write_tables(root, rows, curves)
    _write_config(root, axes, test_sets, size, images, classes, name, resamples)
    return root


def _truth(test_set: str, images: int, size: int, empty_border: bool) -> tuple[np.ndarray, ...]:
    """Lesion pixels of every item, int [items, centre bands, border bands], and its image index."""
    rng = np.random.default_rng(len(test_set))
    per_image = 4 if test_set == "quarter" else 1
    image = np.repeat(np.arange(images, dtype=np.int32), per_image)
    yy, xx = np.mgrid[:size, :size]
    border = np.minimum(np.minimum(yy, size - 1 - yy), np.minimum(xx, size - 1 - xx))
    width = 10 * size / 256
    n_centre, n_border = int(np.ceil(size / 2 / width)), size // 16
    centre = n_centre - 1 - np.minimum(border // width, n_centre - 1).astype(int)
    spread, radius = (0.5, 0.35) if test_set == "quarter" else (0.1, 0.25)
    middle = size / 2 + size * rng.uniform(-spread, spread, (len(image), 2))
    radii = size * radius * rng.uniform(0.6, 1.2, len(image))
    inside = (yy - middle[:, 0, None, None]) ** 2 + (xx - middle[:, 1, None, None]) ** 2
    mask = inside < radii[:, None, None] ** 2
    if empty_border:
        mask &= border >= 8
    bins = centre * n_border + border // 8
    table = np.stack([np.bincount(bins[m], minlength=n_centre * n_border) for m in mask])
    return table.reshape(len(image), n_centre, n_border).astype(np.int32), image


def _write_counts(
    root: Path,
    cell: str,
    truth: dict[str, tuple[np.ndarray, ...]],
    loss: float,
    rng: np.random.Generator,
    classes: int,
    examples: np.ndarray,
) -> None:
    stored: dict[str, np.ndarray] = {}
    for test_set, (pixels, image) in truth.items():
        missed = np.full(pixels.shape[-1], 0.08)
        missed[0] += max(loss, 0.0)
        # What an image loses varies from image to image and is shared by its four quarters.
        luck = rng.normal(0, 0.03, image.max() + 1)[image][:, None, None]
        tp = rng.binomial(pixels, np.clip(1 - missed - luck, 0, 1))
        fp = rng.poisson(0.05 * pixels)
        joint = np.stack([tp, fp, pixels - tp], axis=-1).astype(np.int32)
        joint = np.repeat(joint[..., None, :], classes, axis=-2)
        stored[f"{test_set}.centre"] = joint.sum(axis=2, dtype=np.int32)
        stored[f"{test_set}.border"] = joint.sum(axis=1, dtype=np.int32)
        stored[f"{test_set}.image"] = image
    eaten = round(len(examples[0]) / 2 * max(loss, 0.0) * 0.5) + 1
    prediction = np.zeros_like(examples)
    prediction[:, eaten:-eaten, eaten:-eaten] = examples[:, eaten:-eaten, eaten:-eaten]
    stored["examples.prediction"] = np.roll(prediction, 1, axis=2)
    np.savez_compressed(root / "counts" / f"{cell}.npz", **stored)


def _examples(root: Path, size: int) -> np.ndarray:
    """Writes examples.npz and returns the truth, uint8 [3, size, size]."""
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[:size, :size]
    middles = np.array([(0.5, 0.5), (0.9, 0.4), (0.1, 0.15)])[:, :, None, None] * size
    truth = (yy - middles[:, 0]) ** 2 + (xx - middles[:, 1]) ** 2 < (0.35 * size) ** 2
    skin = np.array([205, 160, 140]) + rng.normal(0, 6, (3, size, size, 1))
    image = np.where(truth[..., None], np.array([110, 70, 60]) + rng.normal(0, 9, skin.shape), skin)
    np.savez(
        root / "examples.npz",
        image=image.clip(0, 255).astype(np.uint8),
        truth=truth.astype(np.uint8),
        item=np.array([3, 17, 42], np.int32),
        label=np.array(["median lesion area", "most lesion at the border", "lesion in a corner"]),
        rule=np.array("chosen by the truth alone: median area, most at the border, in a corner"),
    )
    return truth.astype(np.uint8)


def _curves(cell: str, rng: np.random.Generator, status: str) -> list[dict[str, Any]]:
    epochs = 4 if status == "diverged" else 10
    noise = rng.normal(0, 0.02, epochs)
    return [
        {
            "cell": cell,
            "epoch": e,
            "step": 20 * (e + 1),
            "loss": 0.15 + 0.6 * np.exp(-e / 3) + noise[e],
            "val_loss": None,
            "val_dice": 0.85 - 0.6 * np.exp(-e / 3) + noise[e] if e % 2 else None,
        }
        for e in range(epochs)
    ]


def _row(cell: str, status: str, arm: str, settings: dict[str, str], seed: int) -> dict[str, Any]:
    message = "loss became nan at step 61" if status == "diverged" else ""
    row = {"cell": cell, "status": status, "arm": arm, "group": 0, **settings, "seed": seed}
    return row | {"epochs": 10, "wall_s": 12.5, "train_loss": 0.15, "message": message}


def _write_tables(root: Path, rows: list[dict], curves: list[dict]) -> None:
    with (root / "cells.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (root / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves))
    progress = {"wall_s": 412.0, "train_s": 350.0, "prepare_s": 8.0, "compile_s": 21.0}
    progress |= {"evaluate_s": 33.0, "peak_memory_mb": 910, "data_wait_share": 0.0213}
    (root / "progress.json").write_text(json.dumps(progress))


def _write_config(root, axes, test_sets, size, images, classes, name, resamples) -> None:
    config = {
        "name": "padding_ablation",
        "seed": 0,
        "data": {"name": name, "manual_dir": None, "size": size, "crop": "center"},
        "net": {"width": 8, "depth": 4, "padding": "zeros", "upsampling": "align_corners"},
        "optim": {"loss": "bce_dice", "learning_rate": 1e-3, "batch_size": 16, "epochs": 10},
        "eval": {"test_sets": list(test_sets), "ring_width": 10, "border_px": 8, "empty": "nan"},
    }
    config["eval"]["resamples"] = resamples
    grid = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
    environment = {"jaxseg": "0.1.0", "jax": "0.10.2", "python": "3.12.1", "device": "cpu x 2"}
    data = {"name": name, "n_train": 400, "n_test": images, "classes": list(classes)}
    data["description"] = "Procedural lesions on a textured background."
    about = {"config": config, "grid": grid, "axes": axes, "environment": environment}
    (root / "config.json").write_text(json.dumps(about | {"data": data}))
