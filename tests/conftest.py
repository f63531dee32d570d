"""Strict JAX for every test: rank promotion raises, several CPU devices, no TensorFlow chatter."""

import os
import pathlib
import signal
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile much and run little. The second flag saves a quarter of the time; XLA ends a process
# over one that it does not know, so only the version it was tried with is given it.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false" * version("jaxlib").startswith("0.10."),
)

import jax
import pytest
from real_data import real_folder

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_platforms", "cpu")

# A shell that starts the suite in the background ignores Ctrl-C for it, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory) -> None:
    """Programs that several tests share, in whatever process, are compiled once."""
    base = tmp_path_factory.getbasetemp()
    several = "PYTEST_XDIST_WORKER" in os.environ
    home = (base.parent if several else base) / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(home))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder with real ISIC 2017 and HC18 images; tests that use it are skipped without."""
    return real_folder()


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also the tests that take a minute each")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes a minute: give --slow"))
