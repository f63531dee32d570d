"""The ridge probe against independent oracles."""

import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.features.measures import (
    Probe,
    fit,
    merged,
    moments,
    probe_layers,
    r_squared,
)

RNG = np.random.default_rng(0)


def planted(images, pixels=60, noise=0.0, channels=5):
    """Features whose third and first channels tell the target, on scales far apart."""
    scales = np.array([1e-3, 1.0, 50.0, 1.0, 0.0])[:channels]
    for _ in range(images):
        x = (RNG.normal(3, 1, (pixels, channels)) * scales).astype(np.float32)
        yield x, 4 * x[:, 2] / 50 - 1500 * x[:, 0] + 7 + noise * RNG.normal(size=pixels)


def test_moments_of_parts_are_those_of_the_whole():
    parts = list(planted(4))
    joint = merged([moments(*part) for part in parts])
    whole = moments(*(np.concatenate(column) for column in zip(*parts)))
    assert joint.n == whole.n == 240
    np.testing.assert_allclose(joint.mean, whole.mean)
    np.testing.assert_allclose(joint.scatter, whole.scatter, atol=1e-9)
    table = np.column_stack([np.concatenate(column) for column in zip(*parts)])
    np.testing.assert_allclose(
        joint.scatter / 240, np.cov(table.T, bias=True), rtol=1e-6, atol=1e-8
    )


def test_a_target_that_is_linear_in_the_features_is_read_out_exactly():
    probe = fit([moments(*part) for part in planted(6)])
    for x, target in planted(2):
        assert r_squared(probe, x, target) == pytest.approx(1, abs=1e-6)
    assert probe.weights[4] == 0, "a constant channel has no weight"


def test_the_solution_is_ridge_regression_on_standardised_features():
    """Against the normal equations of the augmented least-squares problem."""
    parts = list(planted(6, noise=2.0, channels=4))
    probe = fit([moments(*part) for part in parts])
    x, y = (np.concatenate(column).astype(float) for column in zip(*parts))
    z = (x - x.mean(0)) / x.std(0)
    ridge = np.sqrt(probe.penalty * len(x)) * np.eye(4)
    rows, rhs = np.vstack([z, ridge]), np.append(y - y.mean(), np.zeros(4))
    slopes = np.linalg.lstsq(rows, rhs, rcond=None)[0] / x.std(0)
    np.testing.assert_allclose(probe.weights, slopes, rtol=1e-6)
    assert probe.constant == pytest.approx(y.mean() - x.mean(0) @ slopes)


def test_noise_is_not_read_out():
    def noise(images):
        for _ in range(images):
            yield RNG.normal(size=(20, 30)).astype(np.float32), RNG.normal(size=20)

    probe = fit([moments(*part) for part in noise(6)])
    assert probe.penalty >= 1, "cross-validation over images shrinks it"
    assert np.mean([r_squared(probe, *part) for part in noise(20)]) < 0.05


def test_r_squared_by_hand():
    distance = np.array([1.0, 2.0, 3.0])
    features = np.array([[1.0], [2.0], [3.0]], np.float32)
    assert r_squared(Probe(np.array([1.0]), 0.0, 1.0), features, distance) == 1
    assert r_squared(Probe(np.array([0.0]), 2.0, 1.0), features, distance) == 0
    assert r_squared(Probe(np.array([0.0]), 3.0, 1.0), features, distance) == -1.5
    assert np.isnan(r_squared(Probe(np.array([1.0]), 0.0, 1.0), features[:1], distance[:1]))


@pytest.mark.parametrize("train, held_out", [(3, 3), (4, 0)])
def test_too_few_images_are_refused(train, held_out):
    images = np.zeros((8, 16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match=f"images={train + held_out}: a probe takes at least 4"):
        probe_layers(Network.of(UNet(width=2, depth=1)), {}, images[:train], images[:held_out])
