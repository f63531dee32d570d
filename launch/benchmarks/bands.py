"""Band counts of a grid's masks beside the paper's way: image by image and ring by ring."""

import jax
import numpy as np

from benchmarks.ring_loop import ring_dice
from benchmarks.timing import Row, Setting, measure, rated, row
from jaxseg.metrics.bands import band_counts, square_rings

_SIZE, _INTERVAL, _IMAGES = 256, 10, 32


def bench_bands(setting: Setting) -> list[Row]:
    """Milliseconds per pair of masks at 256 × 256."""
    rng = np.random.default_rng(0)
    shape = (_IMAGES, _SIZE, _SIZE, 1)
    chosen, truth = rng.random(shape) < 0.4, rng.random(shape) < 0.4
    rings = square_rings(_SIZE, _INTERVAL)
    counted = jax.jit(lambda a, b: band_counts(a, b, rings))
    variants = {
        "jaxseg": lambda: jax.block_until_ready(counted(chosen, truth)),
        "a loop over images and rings": lambda: [
            ring_dice(*pair, _INTERVAL) for pair in zip(chosen[..., 0], truth[..., 0])
        ],
    }
    seconds = measure(variants, setting.repeats)
    rows = [row("bands", name, values, _IMAGES) for name, values in seconds.items()]
    return rated(rows, rows[1]["ms"])
