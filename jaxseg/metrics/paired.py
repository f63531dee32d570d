"""What paired seeds show: the exact sign-flip p, and Holm's correction of several.

Differences are per-seed values, float [seeds], one arm minus another trained with the same seed.
"""

import math

import numpy as np

EXACT_SEEDS = 16
RANDOM_FLIPS = 20_000
BLOCK = 2**20  # Signs held at a time: 8 MiB, however many differences there are.


def sign_flip_p(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided sign-flip (paired permutation) p for a mean difference of zero.

    Exact over all 2^n sign patterns up to 16 seeds; beyond, 20,000 random ones with the observed
    one counted in (Phipson and Smyth 2010). NaN for fewer than two seeds.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    # The bound keeps patterns that tie with the observed one up to rounding.
    bound = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if n <= EXACT_SEEDS:
        bits = np.arange(2**n)[:, None] >> np.arange(n)[None, :] & 1
        return float(np.mean(np.abs((1 - 2 * bits) @ differences) >= bound))
    rng, rows = np.random.default_rng(seed), max(1, BLOCK // n)
    extreme = 0
    for start in range(0, RANDOM_FLIPS, rows):
        signs = rng.choice([-1.0, 1.0], size=(min(rows, RANDOM_FLIPS - start), n))
        extreme += np.sum(np.abs(signs @ differences) >= bound)
    return float((extreme + 1) / (RANDOM_FLIPS + 1))


def sign_flip_floor(n_seeds: int) -> float:
    """The smallest p that `sign_flip_p` can give: 0.25 for 3 seeds, 0.03125 for 6."""
    if n_seeds < 2:
        return math.nan
    return 2.0 ** (1 - n_seeds) if n_seeds <= EXACT_SEEDS else 1 / (RANDOM_FLIPS + 1)


def seeds_for_level(level: float = 0.05) -> int:
    """The fewest seeds whose sign-flip p can reach `level`: 6 for 0.05."""
    return math.ceil(1 - math.log2(level))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values, float [tests], as R's `p.adjust(method="holm")`.

    NaN (no test) stays NaN and does not count as a test.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, math.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
