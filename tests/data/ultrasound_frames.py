"""Speckled fans with a bright-rimmed oval, drawn on the spot; real heads, outlines filled."""

import cv2
import numpy as np


def speckle_frame(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey frame uint8 [H, W] and the oval's mask uint8 [H, W] in {0, 1}; seeds move the oval."""
    rng = np.random.default_rng(seed)
    fan = np.zeros((height, width), np.float32)
    cv2.ellipse(fan, (width // 2, -height // 8), (height * 17 // 16,) * 2, 90, -38, 38, 1, -1)
    centre = (int(width * rng.uniform(0.42, 0.58)), int(height * rng.uniform(0.4, 0.6)))
    axes = (int(height * rng.uniform(0.16, 0.24)), int(height * rng.uniform(0.1, 0.15)))
    angle, mask = rng.uniform(0, 180), np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
    tissue = np.where(mask > 0, 25, 45).astype(np.float32)
    cv2.ellipse(tissue, centre, axes, angle, 0, 360, 150, max(1, height // 60))
    grain = rng.rayleigh(0.8, (height, width)).astype(np.float32)
    grey = fan * tissue * cv2.GaussianBlur(grain, (0, 0), 0.4 + height / 500)
    return np.clip(grey, 0, 255).astype(np.uint8), mask


def real_heads(root, count: int, size: tuple[int, int]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(id, grey frame, filled mask) of HC18 frames spread over the set, at (width, height)."""
    outlines = sorted((root / "hc18" / "training_set").glob("*_Annotation.png"))
    heads = []
    for path in outlines[:: len(outlines) // count][:count]:
        name = path.stem.removesuffix("_Annotation")
        grey = cv2.imread(str(path.with_name(f"{name}.png")), cv2.IMREAD_GRAYSCALE)
        outline = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        found, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        mask = np.zeros_like(outline)
        cv2.fillPoly(mask, [max(found, key=len)], 1)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        heads.append((name, grey, cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)))
    return heads
