"""Writes a workdir as a finished study of annotations leaves it, with a planted reliance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fake_workdir import _curves, _row, _write_tables

DOSES = (1.0, 0.0, 0.2, 0.5, 0.8)
CLASSES = ("skull", "midline", "abdomen", "stomach", "femur", "cervix", "canal")
PLANE_CLASSES = {"head": (0, 1), "abdomen": (2, 3), "femur": (4,), "cervix": (5, 6)}
WHOLE = {
    "annotate.contamination": "1.0",
    "annotate.placement": "tied",
    "annotate.removal": "none",
    "annotate.drawn": "True",
}
# Dice gained by annotations when every training frame carries them, tied and not removed.
PLANTED = 0.12
BASE = 0.72
STAGES = 6
CENTRE_BANDS, BORDER_BANDS = 13, 4
SIZE = 64


def default_arms() -> list[dict[str, str]]:
    """Doses, placements, a removal and its placebo: no product of axes."""
    arms = [{"annotate.contamination": str(dose)} for dose in DOSES]
    arms += [{"annotate.placement": p} for p in ("jittered", "independent")]
    arms += [{"annotate.removal": "telea"}]
    arms += [{"annotate.removal": "telea", "annotate.drawn": "False"}]
    return [WHOLE | arm for arm in arms]


def planted(arm: Mapping[str, str], effect: float = PLANTED) -> float:
    """The true reliance of an arm: `effect` times the dose, half of it where marks are jittered."""
    if arm["annotate.removal"] != "none" or arm["annotate.drawn"] == "False":
        return 0.0
    share = {"tied": 1.0, "jittered": 0.5, "independent": 0.0}[arm["annotate.placement"]]
    return effect * share * float(arm["annotate.contamination"])


def fake_study(
    root: Path,
    *,
    arms: Sequence[dict[str, str]] | None = None,
    effect: float = PLANTED,
    seeds: int = 6,
    frames: int = 48,
    planes: bool = True,
    diverged: Sequence[str] = (),
    saliency: bool = True,
    clean_examples: bool = True,
    test_sets: Sequence[str] = ("clean", "annotated", "independent", "restored", "sequence"),
    never: Sequence[str] = (),
) -> Path:
    """Returns `root`, filled with the files of a finished study; deterministic in its arguments.

    Frames come in rotation of the planes; `never` names classes that no truth holds.
    """
    arms = default_arms() if arms is None else list(arms)
    axes = {k: v for k in WHOLE if len(v := list(dict.fromkeys(arm[k] for arm in arms))) > 1}
    (root / "counts").mkdir(parents=True, exist_ok=True)
    pixels = _truth(frames, planes, never)
    truth = _examples(root, clean_examples)
    rows, curves, cells = [], [], {}
    for settings in arms:
        values = [settings[axis] for axis in axes]
        arm = "/".join(values) or "single"
        for seed in range(seeds):
            cell = f"{arm.replace('/', '-')}-s{seed}"
            status = "diverged" if cell in diverged else "done"
            rows.append(_row(cell, status, arm, dict(zip(axes, values)), seed))
            rng = np.random.default_rng([seed, *arm.encode()])
            curves += _curves(cell, rng, status)
            if status == "done":
                gain = planted(settings, effect)
                cells[cell] = gain
                stored = _counts(pixels, gain, rng, seed, test_sets)
                stored |= _predictions(truth, gain, clean_examples)
                np.savez_compressed(root / "counts" / f"{cell}.npz", **stored)
    _write_tables(root, rows, curves)
    _write_config(root, axes, arms, frames, planes, test_sets)
    if saliency:
        _saliency(root, cells, frames, truth)
    return root


def _truth(frames: int, planes: bool, never: Sequence[str]) -> np.ndarray:
    """Pixels of every structure: int [frames, classes]; only those of a frame's plane."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(60, 400, (frames, len(CLASSES)))
    names = list(PLANE_CLASSES)
    for k in range(frames):
        held = PLANE_CLASSES[names[k % len(names)] if planes else "head"]
        pixels[k, [c for c in range(len(CLASSES)) if c not in held]] = 0
    pixels[:, [CLASSES.index(name) for name in never]] = 0
    return pixels


def _counts(
    pixels: np.ndarray, gain: float, rng: np.random.Generator, seed: int, test_sets: Sequence[str]
) -> dict[str, np.ndarray]:
    """Frames differ in difficulty, alike in all cells; seeds in level, alike in all arms."""
    level = BASE + np.random.default_rng(seed).normal(0, 0.01)
    hard = np.random.default_rng(11).normal(0, 0.08, (len(pixels), 1))
    # A network that relies on marks is worse without them.
    clean = level - gain / 2 + hard + rng.normal(0, 0.02, pixels.shape)
    with_marks = clean + gain + rng.normal(0, 0.006) + rng.normal(0, 0.02, pixels.shape)
    scores = {"clean": clean, "annotated": with_marks}
    scores["independent"] = clean - gain / 4 + rng.normal(0, 0.02, pixels.shape)
    scores["restored"] = clean + rng.normal(0, 0.01, pixels.shape)
    image = np.arange(len(pixels), dtype=np.int32)
    stored: dict[str, np.ndarray] = {}
    for name in (name for name in test_sets if name != "sequence"):
        stored |= _stored(name, pixels, scores[name], image)
    if "sequence" in test_sets:
        way = np.linspace(0, 1, STAGES)[:, None]
        steps = clean[:, None] + way * (with_marks - clean)[:, None]
        repeated = np.repeat(pixels, STAGES, axis=0)
        stored |= _stored(
            "sequence", repeated, steps.reshape(repeated.shape), np.repeat(image, STAGES)
        )
        same = 0.97 - 2 * gain * (1 - way) + rng.normal(0, 0.01, (len(pixels), STAGES, 1))
        same[:, -1] = 1
        same = np.broadcast_to(same, steps.shape).reshape(repeated.shape)
        stored["sequence.stability"] = _as_counts(repeated, same)
    return stored


def _stored(
    name: str, pixels: np.ndarray, scores: np.ndarray, image: np.ndarray
) -> dict[str, np.ndarray]:
    counts = _as_counts(pixels, scores)
    layouts = {"centre": CENTRE_BANDS, "border": BORDER_BANDS}
    found = {f"{name}.image": image.astype(np.int32)}
    for layout, bands in layouts.items():
        whole = np.zeros((len(pixels), bands, *counts.shape[1:]), np.int32)
        whole[:, 1] = counts
        found[f"{name}.{layout}"] = whole
    return found


def _as_counts(pixels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """As many false positives as false negatives: Dice is the share found, up to a pixel."""
    tp = np.rint(pixels * np.clip(scores, 0, 1)).astype(np.int32)
    return np.stack([tp, pixels - tp, pixels - tp], axis=-1).astype(np.int32)


def _examples(root: Path, clean_examples: bool) -> np.ndarray:
    """Writes examples.npz and returns the truth, uint8 [4, SIZE, SIZE]."""
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    truth = np.zeros((4, SIZE, SIZE), np.uint8)
    for k, held in enumerate(PLANE_CLASSES.values()):
        for j, c in enumerate(held):
            middle = (0.45 + 0.1 * j) * SIZE
            truth[k, (yy - middle) ** 2 + (xx - middle) ** 2 / 2 < (15 / (j + 1)) ** 2] = c + 1
    fan = np.abs(xx - SIZE / 2) < 0.2 * SIZE + 0.35 * yy
    grey = (60 + 80 * (truth > 0)) * rng.rayleigh(0.8, truth.shape) * fan
    clean = np.repeat(grey.clip(0, 255)[..., None], 3, axis=-1).astype(np.uint8)
    marked = clean.copy()
    marked[_marks(len(truth))] = (255, 220, 0)
    arrays = {"image": marked, "truth": truth, "item": np.arange(4, dtype=np.int32)}
    arrays |= {"label": np.array([*PLANE_CLASSES]), "rule": np.array("median area of each plane")}
    np.savez(root / "examples.npz", **arrays, **({"clean_image": clean} if clean_examples else {}))
    return truth


def _marks(n: int) -> np.ndarray:
    """Two calipers with a dotted line between them, and a text box: bool [n, SIZE, SIZE]."""
    marked = np.zeros((n, SIZE, SIZE), bool)
    for x in (12, 51):
        marked[:, 26:33, x] = marked[:, 29, x - 3 : x + 4] = True
    marked[:, 29, 14:50:3] = True
    marked[:, 4:9, 4:22:2] = True
    return marked


def _predictions(truth: np.ndarray, gain: float, clean: bool) -> dict[str, np.ndarray]:
    def shrunk(rows: int) -> np.ndarray:
        return np.where(np.roll(truth, rows, axis=1) > 0, truth, 0).astype(np.uint8)

    found = {"examples.prediction": shrunk(3)}
    if clean:
        found["examples.clean_prediction"] = shrunk(3 + round(60 * gain))
    return found


def _saliency(root: Path, cells: Mapping[str, float], frames: int, truth: np.ndarray) -> None:
    """Saliency on marks in proportion to the planted reliance, and none beyond chance else."""
    rng = np.random.default_rng(5)
    marked = _marks(len(truth))
    area = np.full(frames, marked[0].mean(), np.float32)
    shape = (len(cells), frames, len(CLASSES))
    factor = 1 + 30 * np.array([*cells.values()])[:, None, None] + rng.normal(0, 0.2, shape)
    absent = rng.random(shape) < 0.6
    arrays: dict[str, Any] = {"cells": np.array([*cells]), "layer": np.array("down4")}
    arrays |= {"classes": np.array(CLASSES), "test_set": np.array("annotated"), "area": area}
    arrays |= {"frame": np.arange(frames, dtype=np.int32)}
    for name, times in (("", factor), ("random_", 1 + rng.normal(0, 0.2, shape))):
        share = np.where(absent, np.nan, (times * area[:, None]).clip(0, 1))
        arrays[f"{name}share"] = share.astype(np.float32)
        hit = rng.random(shape) < (0.02 * times**2).clip(0, 1)
        arrays[f"{name}hit"] = np.where(absent, -1, hit).astype(np.int8)
    with np.load(root / "examples.npz") as stored:
        arrays |= {"example_frame": stored["item"], "example_image": stored["image"]}
    arrays["example_class"] = np.array([held[0] + 1 for held in PLANE_CLASSES.values()])
    arrays |= {"example_rule": np.array("median area of annotations"), "example_annotated": marked}
    arrays["example_map"] = np.stack([_map(truth, marked, gain) for gain in cells.values()])
    np.savez_compressed(root / "saliency.npz", **arrays)


def _map(truth: np.ndarray, marked: np.ndarray, gain: float) -> np.ndarray:
    heat = 0.5 * (truth > 0) + 8 * gain * marked
    for axis in (1, 2):
        heat = sum(np.roll(heat, k, axis) for k in range(-3, 4)) / 7
    return (heat / heat.max()).astype(np.float32)


def _write_config(
    root: Path,
    axes: dict[str, list[str]],
    arms: Sequence[dict[str, str]],
    frames: int,
    planes: bool,
    test_sets: Sequence[str],
) -> None:
    annotate = {k.partition(".")[2]: _typed(k, v) for k, v in arms[0].items()}
    config = {
        "name": "caliper_ablation",
        "seed": 0,
        "data": {"name": "ultrasound_phantoms", "size": SIZE, "crop": "center"},
        "annotate": annotate | {"colour": "yellow"},
        "net": {"width": 8, "depth": 4, "padding": "zeros", "upsampling": "align_corners"},
        "optim": {"loss": "dice_focal", "learning_rate": 3e-3, "batch_size": 16, "epochs": 12},
        "eval": {"test_sets": list(test_sets), "ring_width": 10, "border_px": 8, "empty": "nan"},
    }
    config["eval"]["resamples"] = 400
    of_frame = [[*PLANE_CLASSES][k % 4] if planes else "" for k in range(frames)]
    data = {"name": "ultrasound_phantoms", "n_train": 240, "n_test": frames, "planes": of_frame}
    data |= {"classes": list(CLASSES), "description": "Drawn ultrasound frames of four planes."}
    typed = [{k: _typed(k, v) for k, v in arm.items() if k in axes} for arm in arms]
    about = {"config": config, "grid": typed, "environment": {"jaxseg": "0.1.0", "jax": "0.10.2"}}
    about["axes"] = {k: [_typed(k, value) for value in values] for k, values in axes.items()}
    (root / "config.json").write_text(json.dumps(about | {"data": data}))


def _typed(field: str, value: str) -> Any:
    """As the config file has it: JSON must read back as the text of cells.csv."""
    if field == "annotate.contamination":
        return float(value)
    return value == "True" if field == "annotate.drawn" else value
