"""How well removal works, measured where the truth is known: on annotations drawn over frames."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxseg.data.annotations import COLOURS, draw_annotations
from jaxseg.data.annotations.removal import METHODS, detect_annotations, remove_annotations
from jaxseg.data.images import as_rgb
from jaxseg.errors import UsageError

Array = NDArray


def self_test(
    frames: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    ids: Sequence[str],
    *,
    colours: Iterable[str] = COLOURS,
    methods: Iterable[str] = METHODS,
    placement: str = "tied",
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Draws annotations, removes them, and compares with the clean frames: a row a colour × method.

    `frames` (anything `as_rgb` takes), `masks` (uint8 class indices) and `ids` belong together.
    Every figure pools the pixels of all frames:

    - `precision`, `recall` of the detected mask against the pixels that drawing changed;
    - `psnr` (dB), `ssim` of the restored frame over drawn or removed pixels, and, over the same
      pixels, `psnr_drawn`, `ssim_drawn` of the frame before removal;
    - `psnr_placebo`, `ssim_placebo`: the drawn pixels removed from the clean frame, where nothing
      had been drawn: the damage that removal does by itself;
    - `false_share`: share of the clean frames' pixels in which detection sees annotations.

    Overlays that the frames already have count against precision. Raises as `draw_annotations`
    and `remove_annotations`, and UsageError for lists of different or no length.
    """
    if not len(frames) == len(masks) == len(ids) or not len(frames):
        raise UsageError(
            f"{len(frames)} frames, {len(masks)} masks, {len(ids)} ids: must be as many "
            "of each, and at least 1"
        )
    methods = tuple(methods)
    rows = []
    for colour in colours:
        sums = {method: Counter[str]() for method in methods}
        for image, mask, name in zip(frames, masks, ids):
            clean = as_rgb(image)
            drawn, truth = draw_annotations(
                clean, mask, seed=seed, image_id=name, placement=placement, colour=colour
            )
            found = detect_annotations(drawn, colour)
            false = detect_annotations(clean, colour)
            pixels = {"hits": found & truth, "found": found, "truth": truth, "false": false}
            shared = {name: int(where.sum()) for name, where in pixels.items()}
            shared["pixels"] = truth.size
            for method in methods:
                sums[method].update(shared | _restored(clean, drawn, truth, found, method, seed))
        for method, found in sums.items():
            row = {"colour": colour, "method": method, "frames": len(frames)}
            row["precision"] = _share(found["hits"], found["found"])
            row["recall"] = _share(found["hits"], found["truth"])
            for part in ("", "_drawn", "_placebo"):
                row["psnr" + part] = psnr(_share(found["error" + part], found["n" + part]))
                row["ssim" + part] = _share(found["ssim" + part], found["n" + part])
            rows.append(row | {"false_share": _share(found["false"], found["pixels"])})
    return rows


def _restored(
    clean: Array, drawn: Array, truth: Array, found: Array, method: str, seed: int
) -> dict[str, float]:
    """Sums over one frame's pixels, of the restored, the drawn and the placebo frame."""
    restored, removed = remove_annotations(drawn, method=method, mask=found, seed=seed)
    placebo, spots = remove_annotations(clean, method=method, mask=truth, seed=seed)
    either = truth | removed
    parts = {"": (restored, either), "_drawn": (drawn, either), "_placebo": (placebo, spots)}
    sums = {}
    for part, (image, where) in parts.items():
        sums["n" + part] = int(where.sum())
        sums["error" + part] = float(((image.astype(float) - clean) ** 2).mean(-1)[where].sum())
        sums["ssim" + part] = float(ssim_map(image, clean)[where].sum())
    return sums


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit images; infinite where they are equal."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.float64(255**2) / mean_squared_error))


def ssim_map(a: Array, b: Array) -> Array:
    """Structural similarity at every pixel of two uint8 images [H, W, 3]: float64 [H, W].

    In [-1, 1], of grey values, as Wang et al. 2004 define it: Gaussian window of 11 × 11, standard
    deviation 1.5, K1 = 0.01, K2 = 0.03, peak 255.
    """
    x, y = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float) for image in (a, b))
    mean_x, mean_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def _window(values: Array) -> Array:
    return cv2.GaussianBlur(values, (11, 11), 1.5)
