"""Power against the textbook, simulated tests, and the rule by which differences are judged."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxseg.metrics.bootstrap import image_error, two_level_interval
from jaxseg.metrics.paired import seeds_for_level, sign_flip_p
from jaxseg.metrics.power import (
    interval_power,
    seed_figures,
    seeds_needed,
    sign_flip_effect,
    smallest_detectable,
    t_test_power,
)

FEWEST = seeds_for_level()


# Cohen's dz and the sample size of a paired t-test, two-sided 5 %, 80 % power, as G*Power gives.
@pytest.mark.parametrize("effect, n", [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_textbook_sample_sizes(effect, n):
    assert seeds_needed(effect, 1.0) == n
    assert seeds_needed(-3 * effect, 3.0) == n
    assert smallest_detectable(2.0, n) <= 2 * effect < smallest_detectable(2.0, n - 1)


@pytest.mark.parametrize("n", [2, 3, 6, 30])
@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0])
def test_power_equals_the_noncentral_t(n, effect):
    critical, shift = stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
    oracle = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    assert t_test_power(effect, n) == pytest.approx(oracle, abs=1e-9)
    assert interval_power(-2 * effect, 2.0, n) == pytest.approx(oracle, abs=1e-9)


def test_power_equals_simulated_t_tests():
    draws = np.random.default_rng(0).normal(1.2, 1, size=(40_000, 6))
    rejected = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert t_test_power(1.2, 6) == pytest.approx(rejected, abs=0.01)


def test_where_images_are_all_the_doubt_power_is_that_of_the_normal():
    shift = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert interval_power(shift, 1e-6, 6, image_se=1.0) == pytest.approx(0.8, abs=1e-3)
    assert smallest_detectable(0.0, 6, image_se=2.0) == pytest.approx(2 * shift, rel=1e-3)
    assert interval_power(shift, 0.0, 6, image_se=1.0, level=0.2) > 0.9


def test_six_seeds_must_all_agree():
    """p is at most 0.05 for 6 seeds only where all have one sign: a closed form."""
    d = sign_flip_effect(6)
    assert stats.norm.cdf(d) ** 6 + stats.norm.cdf(-d) ** 6 == pytest.approx(0.8, abs=0.01)
    d = sign_flip_effect(4, level=0.2, power=0.5)
    assert stats.norm.cdf(d) ** 4 + stats.norm.cdf(-d) ** 4 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("n", [7, 9, 12])
def test_sign_flips_have_the_power_they_say(n):
    draws = np.random.default_rng(1).normal(sign_flip_effect(n), 1, size=(600, n))
    assert np.mean([sign_flip_p(d) <= 0.05 for d in draws]) == pytest.approx(0.8, abs=0.05)


def test_the_sign_flip_asks_for_more_than_the_t_test_of_few_seeds_only():
    asked = [sign_flip_effect(n) for n in range(FEWEST, 14)]
    assert asked == sorted(asked, reverse=True)
    assert t_test_power(sign_flip_effect(6), 6) > 0.9
    assert t_test_power(sign_flip_effect(9), 9) == pytest.approx(0.8, abs=0.03)
    assert t_test_power(sign_flip_effect(10), 10) == pytest.approx(0.8)


@pytest.mark.parametrize("n", [6, 7, 10])
@pytest.mark.parametrize("images", [0.0, 1.0, 3.0])
def test_four_of_five_true_differences_of_that_size_are_shown(n, images):
    """By the rule itself: an interval over images and seeds, and the exact p."""
    rng = np.random.default_rng(n)
    image_se = images / math.sqrt(n)
    true = smallest_detectable(1.0, n, image_se)
    shown = []
    for trial in range(400):
        per_seed = true + image_se * rng.normal() + rng.normal(size=n)
        resampled = per_seed + image_se * rng.normal(size=(200, 1))
        low, high = two_level_interval(per_seed, resampled, 0.95, trial)
        shown.append((low > 0 or high < 0) and sign_flip_p(per_seed) <= 0.05)
    assert 0.68 < np.mean(shown) < 0.88


def test_fewer_seeds_than_the_level_asks_for_can_show_nothing():
    for n in range(2, FEWEST):
        assert smallest_detectable(1.0, n) == smallest_detectable(0.0, n) == math.inf
    assert smallest_detectable(1.0, 4, level=0.2) < math.inf
    assert math.isnan(smallest_detectable(1.0, 1)) and math.isnan(interval_power(1.0, 1.0, 1))
    assert math.isnan(smallest_detectable(math.nan, 6)) and math.isnan(t_test_power(1.0, 1))
    assert smallest_detectable(0.0, 6) == 0


def test_seeds_needed_at_the_limits():
    assert seeds_needed(0.0, 1.0) == math.inf and seeds_needed(0.001, 1.0) == math.inf
    assert seeds_needed(1.0, 0.0) == FEWEST and seeds_needed(1e9, 1.0) == FEWEST
    assert math.isnan(seeds_needed(1.0, math.nan)) and math.isnan(seeds_needed(math.nan, 1.0))


def test_without_any_spread_every_difference_is_seen_and_none_is_not():
    assert interval_power(1e-9, 0.0, 6) == 1
    assert interval_power(0.0, 0.0, 6, level=0.01) == 0.01


def test_more_seeds_do_not_mend_too_few_images():
    assert seeds_needed(1.0, 1.0, image_se=0.3) < 40
    assert seeds_needed(1.0, 1.0, image_se=0.4) == math.inf
    assert seeds_needed(1.0, 1.0, image_se=0.3) > seeds_needed(1.0, 1.0, image_se=0.1)
    assert smallest_detectable(1.0, 8, 0.5) > smallest_detectable(1.0, 8, 0.1)


def test_power_figures_hold_at_any_level_and_power():
    for level, power in ((0.2, 0.8), (0.05, 0.5), (0.01, 0.95)):
        for image_se in (0.0, 0.1):
            least = smallest_detectable(2.0, 12, image_se, level, power)
            held = interval_power(least, 2.0, 12, image_se, level)
            assert held == pytest.approx(power, abs=1e-6)
            n = int(seeds_needed(0.7, 1.0, image_se, level, power))
            assert interval_power(0.7, 1.0, n, image_se, level) >= power
            assert interval_power(0.7, 1.0, n - 1, image_se, level) < power


def test_more_than_a_thousand_seeds_are_reported_as_infinite():
    least = smallest_detectable(1.0, 1000)
    assert seeds_needed(1.0001 * least, 1.0) == 1000
    assert seeds_needed(0.9999 * least, 1.0) == math.inf
    assert seeds_needed(0.9999 * smallest_detectable(1.0, 998), 1.0) == 999


def test_seed_figures_are_those_of_their_functions():
    d = np.array([0.2, 0.5, 0.4, 0.6])
    found, sd = seed_figures(d, 0.1, 0.2), d.std(ddof=1)
    assert (found["p"], found["p_floor"]) == (0.125, 0.125) and found["sd"] == sd
    assert found["smallest_detectable"] == smallest_detectable(sd, 4, 0.1, 0.2)
    assert found["seeds_needed"] == seeds_needed(d.mean(), sd, 0.1, 0.2)
    noisy = np.array([0.5, -0.4, 0.6, -0.2])
    needed = seeds_needed(noisy.mean(), noisy.std(ddof=1), level=0.01)
    assert seed_figures(noisy, level=0.01)["seeds_needed"] == needed > seeds_for_level(0.01)
    assert seed_figures(np.array([0.1, 0.3]))["sd"] == pytest.approx(np.sqrt(0.02))
    assert all(math.isnan(value) for value in seed_figures(d[:1]).values())


def test_image_error_is_the_spread_of_the_mean_over_seeds():
    resampled = np.random.default_rng(0).normal(size=(50, 3))
    resampled[7, 1] = math.nan
    kept = np.delete(resampled, 7, axis=0)
    assert image_error(resampled) == pytest.approx(kept.mean(axis=1).std(ddof=1))
    two = kept[:2].mean(axis=1)
    assert image_error(kept[:2]) == pytest.approx(abs(two[0] - two[1]) / math.sqrt(2))
    assert image_error(resampled[:1]) == image_error(resampled[:, :0]) == 0
