"""Drawn examples, and cutting done by PIL and integer arithmetic instead of TensorFlow."""

import cv2
import numpy as np
from PIL import Image

from jaxseg.data.crops import pixel_box


def draw_pair(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random image uint8 [H, W, 3] and a disc mask {0, 1} uint8 [H, W]."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (9, 9), 2)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 3 + seed % 5, height // 2), height // 4, 1, -1)
    return image, mask


def pil_cut(image, mask, box, size):
    """Crop, then bicubic with antialiasing (PIL); the mask by the pixel at each centre."""
    y0, x0, y1, x1 = pixel_box(box, *mask.shape)
    cropped = Image.fromarray(image[y0:y1, x0:x1])
    rows, columns = ((2 * np.arange(size) + 1) * n // (2 * size) for n in (y1 - y0, x1 - x0))
    labels = mask[y0:y1, x0:x1][rows[:, None], columns]
    return np.asarray(cropped.resize((size, size), Image.Resampling.BICUBIC)), labels
