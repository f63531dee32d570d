"""Masks for the tests of audits: ellipses anywhere, and predictors with a known flaw."""

import numpy as np

from jaxseg.metrics.bands import border_depth


def ellipses(n, shape=(64, 64), seed=0, reach=0.0):
    """uint8 [n, H, W]; centres up to `reach` frame sides beyond the border."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape) + 0.5
    masks = []
    for _ in range(n):
        cy, cx = rng.uniform(-reach, 1 + reach, 2) * shape
        ry, rx = rng.uniform(0.15, 0.35, 2) * shape
        masks.append(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1)
    return np.array(masks, np.uint8)


def erased(mask, k, scale_to=None):
    """The mask without what lies within k px of the border."""
    return np.where(border_depth(mask.shape, scale_to) < k, 0, mask).astype(mask.dtype)


def noisy(mask, share, seed):
    """The mask with a share of its pixels lost at random."""
    return np.where(np.random.default_rng(seed).random(mask.shape) < share, 0, mask).astype(
        np.uint8
    )


def items(truths, *predictions):
    return [(f"case{i:03d}", *masks) for i, masks in enumerate(zip(truths, *predictions))]
