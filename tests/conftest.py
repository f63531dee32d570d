"""Strict JAX for every test: rank promotion raises, several CPU devices, no TensorFlow chatter."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile much and run little; programs of a grid are compiled at this level too.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_platforms", "cpu")

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder with real ISIC 2017 and HC18 images; tests that need it are skipped without."""
    root = pathlib.Path(os.environ.get("JAXSEG_TEST_DATA", SHARED_DATA))
    if not (root / "isic2017").is_dir():
        pytest.skip("real images not present (set JAXSEG_TEST_DATA)")
    return root
