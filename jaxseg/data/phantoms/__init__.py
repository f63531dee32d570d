"""Generated frames with known objects: no download, no patient."""

import numpy as np

from jaxseg.errors import UsageError

SMALLEST = 32  # pixels


def generator(seed: int, index: int, size: int) -> np.random.Generator:
    """The draws of frame `index` of the sequence `seed`, the same for every `size`.

    Raises UsageError for a negative seed or index and for a size below 32 pixels.
    """
    if seed < 0 or index < 0 or size < SMALLEST:
        raise UsageError(
            f"seed={seed}, index={index}, size={size}: seed and index must not be negative "
            f"and size must be at least {SMALLEST}"
        )
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))
