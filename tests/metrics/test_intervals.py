import numpy as np
import pytest

from jaxseg.metrics.bootstrap import mean_estimate


def test_the_mean_leaves_out_what_is_not_defined():
    found = mean_estimate(np.array([1.0, np.nan, 3.0, 2.0]))
    assert (found.value, found.n_images) == (2.0, 3) and found.low <= 2 <= found.high


def test_one_image_has_no_interval_and_none_no_value():
    assert np.isnan(mean_estimate(np.array([0.5])).low)
    assert mean_estimate(np.array([0.5])).value == 0.5
    none = mean_estimate(np.array([np.nan]))
    assert np.isnan(none.value) and none.n_images == 0


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [e.low < 0 < e.high for e in (mean_estimate(rng.normal(size=40)) for _ in range(200))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(1)
    images = rng.normal(size=30)
    alike = mean_estimate(np.stack([images, images, images]))
    apart = mean_estimate(np.stack([images - 2, images, images + 2]))
    assert alike.value == pytest.approx(apart.value)
    assert apart.high - apart.low > 4 * (alike.high - alike.low)
