"""What paired seeds can show: exact sign-flip p, Holm, and the power of a paired t-test.

Differences are per-seed values, float [seeds], one arm minus another trained with the same seed.
"""

import bisect
import math

import numpy as np
from scipy import optimize, stats

EXACT_SEEDS = 16
RANDOM_FLIPS = 20_000
MOST_SEEDS = 1000
BLOCK = 2**20  # Signs held at a time: 8 MiB, however many differences there are.
LARGEST_EFFECT = 100  # Power is 1 from two seeds on; keeps the shift within scipy's range.


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


def t_test_power(effect: float, n_seeds: int, level: float = 0.05) -> float:
    """Power in [0, 1] of the two-sided paired t-test at `level`; NaN for fewer than two seeds.

    `effect` is the true mean difference over the standard deviation of the differences (dz).
    """
    if n_seeds < 2:
        return math.nan
    if effect == 0:
        return level
    # t squared is noncentral F; scipy's noncentral t has NaNs in the tails (1.17).
    critical = stats.t.ppf(1 - level / 2, n_seeds - 1) ** 2
    shift = n_seeds * min(abs(effect), LARGEST_EFFECT) ** 2
    return float(stats.ncf.sf(critical, 1, n_seeds - 1, shift))


def smallest_detectable(sd: float, n_seeds: int, level: float = 0.05, power: float = 0.8) -> float:
    """The mean difference that `n_seeds` paired seeds detect with probability `power`.

    In the unit of `sd`, the standard deviation of per-seed differences; NaN for one seed.
    """
    if n_seeds < 2 or math.isnan(sd):
        return math.nan
    highest = 1.0
    while t_test_power(highest, n_seeds, level) < power:
        highest *= 2
    found = optimize.root_scalar(
        lambda effect: t_test_power(effect, n_seeds, level) - power, bracket=(0.0, highest)
    )
    return float(found.root) * sd


def seeds_needed(difference: float, sd: float, level: float = 0.05, power: float = 0.8) -> float:
    """The fewest paired seeds with which a t-test detects `difference` with probability `power`.

    A whole number as float; inf for more than 1000, NaN where difference or sd is unknown.
    """
    if math.isnan(difference) or math.isnan(sd):
        return math.nan
    if difference == 0:
        return math.inf
    if sd == 0:
        return 2.0
    effect = abs(difference) / sd
    candidates = range(2, MOST_SEEDS + 1)
    found = bisect.bisect_left(candidates, power, key=lambda n: t_test_power(effect, n, level))
    return float(candidates[found]) if found < len(candidates) else math.inf


def seed_figures(differences: np.ndarray, level: float = 0.05) -> dict[str, float]:
    """What so many seeds show of a difference and could have shown, by the names of `Contrast`.

    Float [seeds] without NaN -> p and p_floor of the sign flip, sd, and at `level` and 80 % power
    smallest_detectable and seeds_needed, which is never below what the sign flip needs. NaN, all of
    them, for fewer than two seeds.
    """
    n_seeds = len(differences)
    mean = float(differences.mean()) if n_seeds else math.nan
    sd = float(differences.std(ddof=1)) if n_seeds > 1 else math.nan
    return {
        "p": sign_flip_p(differences),
        "p_floor": sign_flip_floor(n_seeds),
        "sd": sd,
        "smallest_detectable": smallest_detectable(sd, n_seeds, level),
        "seeds_needed": float(np.maximum(seeds_needed(mean, sd, level), seeds_for_level(level))),
    }
