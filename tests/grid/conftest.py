"""A tiny grid on generated lesions, prepared once for all tests."""

import pytest
from run_oracles import PAIR

from jaxseg.grid.run import run_grid


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Folder of prepared arrays shared by the session's runs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny_config(cache):
    """Nested settings of a run that takes seconds."""
    return {
        "name": "tiny",
        "seed": 0,
        "data": {
            "name": "lesion_phantoms", "manual_dir": "", "data_dir": str(cache),
            "train_split": "train[:16]", "val_split": "validation[:6]", "test_split": "test[:6]",
            "size": 32, "crop": "center", "feed": "auto",
        },
        "net": {"width": 2, "depth": 2, "padding": "zeros", "upsampling": "nearest",
                "norm": "batch"},
        "optim": {"loss": "dice", "learning_rate": 1e-2, "batch_size": 4, "epochs": 3,
                  "select": "best"},
        "eval": {"test_sets": ("full", "quarter"), "ring_width": 10.0, "border_px": 4,
                 "empty": "nan", "resamples": 200},
        "run": {"cells_per_device": 0, "checkpoint_epochs": 1},
    }  # fmt: skip


@pytest.fixture(scope="session")
def _pair_home(tmp_path_factory):
    return tmp_path_factory.mktemp("pair")


@pytest.fixture
def undisturbed(_pair_home, tiny_config):
    """Workdir of `run_oracles.PAIR`, trained once without any disturbance."""
    if not (_pair_home / "run").exists():
        run_grid(tiny_config, PAIR, _pair_home / "run")
    return _pair_home / "run"
