"""A seed means the same whatever the process has set, and what cannot be set is written down."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from run_oracles import PAIR, assert_equal, read_counts, read_rows

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import devices
from jaxseg.grid.cells import expand
from jaxseg.grid.devices import check_devices
from jaxseg.grid.loading import load_cell
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import MOST_SEED
from jaxseg.studies.wording import condition_cautions

# A value of each setting under which a grid used to give other numbers or to stop.
HOSTILE = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_enable_custom_prng": True,
    "jax_legacy_prng_key": "error",
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
    "jax_softmax_custom_jvp": True,
    "jax_disable_jit": True,
    "jax_no_execution": True,
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_check_tracer_leaks": True,
    "jax_transfer_guard": "disallow",
    "jax_random_seed_offset": 7,
}


@pytest.fixture
def hostile():
    """All of HOSTILE at once, for the whole process, as environment variables would set it."""
    former = {name: getattr(jax.config, name) for name in HOSTILE}
    for name, value in HOSTILE.items():
        jax.config.update(name, value)
    yield
    for name, value in former.items():
        jax.config.update(name, value)


def test_every_pinned_setting_has_a_hostile_value():
    names = {f"jax_{name}" for name in devices._PINNED} | {*devices._PINNED_GLOBALLY}
    assert names - {"jax_default_device", "jax_allow_f16_reductions"} == {*HOSTILE}


def test_a_hostile_process_trains_the_same_cells_and_keeps_its_settings(
    hostile, tiny_config, undisturbed, tmp_path
):
    run_grid(tiny_config, PAIR, tmp_path)
    assert {name: getattr(jax.config, name) for name in HOSTILE} == HOSTILE
    assert_equal(read_counts(tmp_path), read_counts(undisturbed))
    losses = [{c: row["train_loss"] for c, row in read_rows(w).items()}
              for w in (tmp_path, undisturbed)]  # fmt: skip
    assert losses[0] == losses[1]


def test_settings_of_the_calling_thread_do_not_matter_either(undisturbed):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    cell = next(iter(read_rows(undisturbed)))
    expected = load_cell(undisturbed, cell)[0](images)
    with jax.enable_x64(True), jax.disable_jit(), jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(load_cell(undisturbed, cell)[0](images), expected)
        assert jax.numpy.zeros(()).dtype == np.float64  # the caller's settings are back


def test_settings_are_back_after_an_error_too(hostile):
    with pytest.raises(ZeroDivisionError), devices.pinned():
        assert jax.config.jax_random_seed_offset == 0 and not jax.config.jax_enable_x64
        raise ZeroDivisionError
    assert {name: getattr(jax.config, name) for name in HOSTILE} == HOSTILE


def test_rank_promotion_stays_as_the_tests_set_it():
    with devices.pinned():
        assert jax.config.jax_numpy_rank_promotion == "raise"


@pytest.mark.slow
def test_what_cannot_be_set_is_kept_and_a_difference_said(
    tiny_config, tmp_path, monkeypatch, capsys
):
    config = tiny_config | {"optim": tiny_config["optim"] | {"epochs": 1}}
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    run_grid(config, [{"seed": 0}], tmp_path)
    assert "other settings" not in capsys.readouterr().err
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    run_grid(config, [{"seed": 0}, {"seed": 1}], tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if "other settings" in line]
    (line,) = said
    assert "NVIDIA_TF32_OVERRIDE ('0' then, 'not set' now)" in line
    environment = json.loads((tmp_path / "config.json").read_text())["environment"]
    then, now = environment["conditions"]
    assert then["NVIDIA_TF32_OVERRIDE"] == "0" and "NVIDIA_TF32_OVERRIDE" not in now
    assert then["jax"] == jax.__version__ and then["platform"] == "cpu"


@pytest.mark.parametrize("found", [None, "x", [1, None], [{"jax": "1"}], [{"jax": "1"}] * 2])
def test_one_set_of_conditions_or_none_gives_no_caution(found):
    class Results:
        environment = {"conditions": found}  # noqa: RUF012

    assert list(condition_cautions(Results)) == []  # pyright: ignore[reportArgumentType]


def test_two_sets_of_conditions_are_a_caution_that_names_them():
    class Results:
        environment = {"conditions": [{"jax": "1", "platform": "cpu"}, {"jax": "2"}]}  # noqa: RUF012

    (text,) = condition_cautions(Results)  # pyright: ignore[reportArgumentType]
    assert "different jax, platform" in text


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_platform_without_devices_is_one_line(platform):
    code = "from jaxseg.grid.devices import check_devices; check_devices()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"JAX_PLATFORMS": platform, "PATH": ""},
        cwd=__file__.partition("/tests/")[0], capture_output=True, text=True,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"jaxseg.errors.JaxsegError: JAX_PLATFORMS={platform}: JAX finds no")


def test_devices_that_are_there_pass(monkeypatch):
    check_devices()

    def fail() -> None:
        raise RuntimeError("Unable to initialize backend 'cuda':\nno driver")

    monkeypatch.setattr(jax, "local_devices", fail)
    with pytest.raises(JaxsegError, match=r"JAX_PLATFORMS=cpu: .*no driver.*unset it"):
        check_devices()


def test_seeds_beyond_int32_are_refused_before_any_work(tiny_config):
    (cell,) = expand(tiny_config, [{"seed": MOST_SEED}])
    assert cell.seed == 2**31 - 1
    with pytest.raises(UsageError, match=r"seed=2147483648: must be at most 2147483647"):
        expand(tiny_config, [{"seed": MOST_SEED + 1}])
    with pytest.raises(UsageError, match="seed=-1: must be at least 0"):
        expand(tiny_config, [{"seed": -1}])
