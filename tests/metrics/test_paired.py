"""Sign-flip p and Holm against enumeration and hand cases."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxseg.metrics.paired import (
    holm,
    seeds_for_level,
    sign_flip_floor,
    sign_flip_p,
)


@pytest.mark.parametrize("n, floor", [(2, 0.5), (3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_seeds_that_agree_reach_the_floor_and_no_less(n, floor):
    assert sign_flip_p(np.arange(1.0, n + 1)) == sign_flip_floor(n) == floor


def test_sign_flip_hand_case():
    # Sums of ±1 ±2 ±4: 7 and 5 in absolute value belong to 4 of the 8 patterns.
    assert sign_flip_p(np.array([-1.0, 2.0, 4.0])) == 0.5
    assert sign_flip_p(np.array([1.0, -1.0, 1.0, -1.0])) == 1.0
    assert sign_flip_p(np.zeros(4)) == 1.0
    assert math.isnan(sign_flip_p(np.array([0.3])))


def test_ties_are_counted_in_spite_of_rounding():
    # 0.1 + 0.2 - 0.3 is not 0 in floating point, yet flipping all signs must tie.
    d = np.array([0.1, 0.2, -0.3, 0.1, 0.1])
    integer = sign_flip_p(np.array([1.0, 2.0, -3.0, 1.0, 1.0]))
    assert sign_flip_p(d) == integer


def test_sign_flip_equals_scipys_permutation_test():
    d = np.random.default_rng(0).normal(0.4, 1, size=9)
    oracle = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_p(d) == pytest.approx(oracle.pvalue, abs=1e-12)
    patterns = itertools.product([1, -1], repeat=9)
    hits = [abs(np.dot(s, d)) >= abs(d.sum()) - 1e-12 for s in patterns]
    assert sign_flip_p(d) == np.mean(hits)


def test_many_seeds_use_random_flips_near_the_exact_p():
    d = np.random.default_rng(1).normal(0.5, 1, size=20)
    assert sign_flip_p(d) == sign_flip_p(d)
    assert sign_flip_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert sign_flip_p(np.ones(20)) == pytest.approx(sign_flip_floor(20), abs=1e-3)
    assert sign_flip_floor(20) == 1 / 20_001


def test_six_seeds_are_needed_for_five_percent():
    assert seeds_for_level(0.05) == 6 and seeds_for_level(0.25) == 3
    for level in (0.2, 0.1, 0.05, 0.01):
        n = seeds_for_level(level)
        assert sign_flip_floor(n) <= level < sign_flip_floor(n - 1)


def test_holm_hand_case():
    # 4 * .01, 3 * .02, then 2 * .03 and 1 * .04 held up by the step before.
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])


def test_holm_passes_nan_through_without_counting_it():
    adjusted = holm(np.array([0.02, np.nan, 0.01]))
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.02])
    assert np.isnan(holm(np.full(2, np.nan))).all() and holm(np.array([])).size == 0


def test_sixteen_seeds_are_still_exact():
    assert sign_flip_p(np.arange(1.0, 17)) == sign_flip_floor(16) == 2.0**-15


def test_random_flips_count_every_pattern_once_and_the_observed_one(monkeypatch):
    # No pattern of 40 signs but the two that agree reaches the sum; every one ties with 0.
    for block in (2**20, 40 * 7):
        monkeypatch.setattr("jaxseg.metrics.paired.BLOCK", block)
        assert sign_flip_p(np.ones(40)) == sign_flip_floor(40) == 1 / 20_001
        assert sign_flip_p(np.zeros(40)) == 1
    assert sign_flip_p(np.arange(40.0), seed=3) == sign_flip_p(np.arange(40.0), seed=3)
