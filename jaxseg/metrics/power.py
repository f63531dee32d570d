"""Power: which differences paired seeds and test images could have shown by the rule in use.

A difference counts as shown when its interval over images and seeds excludes 0 and the exact
sign-flip p of the seeds is at most `level`. Differences are per-seed values, float [seeds], one arm
minus another trained with the same seed; they are taken to be spread normally.
"""

import bisect
import functools
import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from jaxseg.metrics.paired import seeds_for_level, sign_flip_floor, sign_flip_p

POWER = 0.8
MOST_SEEDS = 1000
SIMULATED_SEEDS = 9  # With more seeds the sign flip detects what the t-test detects, within 1 %.
TRIALS = 10_000
LARGEST_SHIFT = 1000  # Power is 1 there; keeps scipy's series within range.
MOST_DEGREES = 1e6


def t_test_power(effect: float, n_seeds: int, level: float = 0.05) -> float:
    """Power in [0, 1] of the two-sided paired t-test at `level`; NaN for fewer than two seeds.

    `effect` is the true mean difference over the standard deviation of the differences (dz).
    """
    if n_seeds < 2:
        return math.nan
    return _power(effect * math.sqrt(n_seeds), n_seeds - 1, level)


def interval_power(
    difference: float, sd: float, n_seeds: int, image_se: float = 0.0, level: float = 0.05
) -> float:
    """Probability, about, that the interval at 1 - `level` around `difference` excludes 0.

    The interval counts seeds, of standard deviation `sd`, and images, whose standard error is
    `image_se`; degrees of freedom as of Satterthwaite (1946). Without `image_se` it is
    `t_test_power`. NaN for fewer than two seeds.
    """
    if n_seeds < 2:
        return math.nan
    of_seeds = sd**2 / n_seeds
    variance = of_seeds + image_se**2
    if variance == 0:
        return 1.0 if difference else level
    degrees = (n_seeds - 1) * (variance / of_seeds) ** 2 if of_seeds else math.inf
    return _power(difference / math.sqrt(variance), min(degrees, MOST_DEGREES), level)


@functools.cache
def sign_flip_effect(n_seeds: int, level: float = 0.05, power: float = POWER) -> float:
    """The mean difference, in standard deviations, at which p <= `level` with probability `power`.

    p is that of `sign_flip_p`. Simulated with 10,000 draws (power to 0.5 %) up to 9 seeds, that of
    the t-test beyond; inf for seeds that cannot reach `level` at all.
    """
    if n_seeds < seeds_for_level(level):
        return math.inf
    if n_seeds > SIMULATED_SEEDS:
        return _root(lambda effect: t_test_power(effect, n_seeds, level) - power)
    draws = np.random.default_rng(0).normal(size=(TRIALS, n_seeds))
    half = np.arange(2 ** (n_seeds - 1)) >> np.arange(n_seeds)[:, None] & 1
    signs = (1 - 2 * half).astype(float)  # a pattern and its opposite tie

    def reached(effect: float) -> float:
        sums = (draws + effect) @ signs
        extreme = np.abs(sums) >= np.abs(sums[:, :1]) - 1e-12
        return float(np.mean(extreme.mean(axis=1) <= level))

    return _root(lambda effect: reached(effect) - power)


def smallest_detectable(
    sd: float,
    n_seeds: int,
    image_se: float = 0.0,
    level: float = 0.05,
    power: float = POWER,
) -> float:
    """The true mean difference that is called shown with probability `power`, about.

    The larger of the differences that the interval and the sign flip require. In the unit of `sd`,
    the standard deviation of per-seed differences, and of `image_se`, the standard error from
    images; inf where so few seeds cannot reach `level`, NaN for one seed.
    """
    if n_seeds < 2 or math.isnan(sd):
        return math.nan
    if n_seeds < seeds_for_level(level):
        return math.inf
    error = math.hypot(sd / math.sqrt(n_seeds), image_se)
    if error == 0:
        return 0.0
    shift = _root(lambda shift: interval_power(shift * error, sd, n_seeds, image_se, level) - power)
    return max(shift * error, sd * sign_flip_effect(n_seeds, level, power))


def seeds_needed(
    difference: float,
    sd: float,
    image_se: float = 0.0,
    level: float = 0.05,
    power: float = POWER,
) -> float:
    """The fewest paired seeds with which `difference` is called shown with probability `power`.

    A whole number as float, with the images as they are; inf for more than 1000, as when the
    images alone leave too much uncertainty; NaN where difference or sd is unknown.
    """
    if math.isnan(difference) or math.isnan(sd):
        return math.nan
    if difference == 0:
        return math.inf

    def enough(n: int) -> bool:
        if n < seeds_for_level(level) or interval_power(difference, sd, n, image_se, level) < power:
            return False
        return abs(difference) >= sd * sign_flip_effect(n, level, power)

    candidates = range(2, MOST_SEEDS + 1)
    found = bisect.bisect_left(candidates, True, key=enough)
    return float(candidates[found]) if found < len(candidates) else math.inf


def seed_figures(
    differences: np.ndarray, image_se: float = 0.0, level: float = 0.05
) -> dict[str, float]:
    """What so many seeds show of a difference and could have shown, by the names of `Contrast`.

    Float [seeds] without NaN and the standard error from images -> p and p_floor of the sign flip,
    sd, and at `level` and 80 % power smallest_detectable and seeds_needed. NaN, all of them, for
    fewer than two seeds.
    """
    n_seeds = len(differences)
    mean = float(differences.mean()) if n_seeds else math.nan
    sd = float(differences.std(ddof=1)) if n_seeds > 1 else math.nan
    return {
        "p": sign_flip_p(differences),
        "p_floor": sign_flip_floor(n_seeds),
        "sd": sd,
        "smallest_detectable": smallest_detectable(sd, n_seeds, image_se, level),
        "seeds_needed": seeds_needed(mean, sd, image_se, level),
    }


def _power(shift: float, degrees: float, level: float) -> float:
    """Of a two-sided t-test, its statistic shifted by `shift` standard errors."""
    if shift == 0:
        return level
    # t squared is noncentral F; scipy's noncentral t has NaNs in the tails (1.17).
    critical = stats.t.ppf(1 - level / 2, degrees) ** 2
    return float(stats.ncf.sf(critical, 1, degrees, min(abs(shift), LARGEST_SHIFT) ** 2))


def _root(excess: Callable[[float], float]) -> float:
    """Where `excess`, which rises from below 0, passes 0; also of steps."""
    highest = 1.0
    while excess(highest) < 0:
        highest *= 2
    return float(optimize.root_scalar(excess, bracket=(0.0, highest)).root)
