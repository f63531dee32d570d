"""The number of cells per device: found by measuring, kept, and never more than pays."""

import json

import jax
import pytest

from jaxseg.grid import tuning
from jaxseg.grid.cells import expand
from jaxseg.grid.group import make_group
from jaxseg.grid.sweeps import product


def _cost(seconds, fits=99):
    def measured(count):
        if count > fits:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return seconds[count]

    return measured


def test_counts_are_doubled_while_it_pays():
    seconds = {1: 8.0, 2: 5.0, 4: 4.0, 8: 3.99, 16: 1.0}
    best, found = tuning.fastest(_cost(seconds), 64)
    assert best == 8 and list(found) == [1, 2, 4, 8]  # 8 ends the search: it hardly paid
    assert tuning.fastest(_cost(seconds), 2)[0] == 2
    assert tuning.fastest(_cost({1: 1.0, 2: 7.0}), 8)[0] == 1


def test_memory_ends_the_search():
    assert tuning.fastest(_cost({1: 8.0, 2: 5.0}, fits=2), 64)[0] == 2
    assert tuning.fastest(_cost({}, fits=0), 64) == (1, {})
    with pytest.raises(ZeroDivisionError):
        tuning.fastest(lambda n: 1 / 0, 4)


@pytest.fixture
def group(tiny_config):
    grid = product(seed=range(4))
    return make_group(expand(tiny_config, grid))


def test_on_cpu_a_device_trains_one_cell(group, tmp_path):
    assert tuning.tune(group, tmp_path / "kept.json") is group
    assert group.layout.per_device == 1 and not (tmp_path / "kept.json").exists()


def test_the_choice_is_measured_once_and_kept(group, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "_seconds_per_cell", lambda g: 1 / g.layout.per_device)

    class Accelerator:
        platform, device_kind = "tpu", "TPU v9"

    class Mesh:
        class devices:
            size, flat = 2, [Accelerator]

    elsewhere = group._replace(layout=group.layout._replace(mesh=Mesh))
    kept = tmp_path / "kept.json"
    assert tuning.tune(elsewhere, kept).layout.per_device == 2  # 4 cells on 2 devices
    assert "2 cells per device, measured" in capsys.readouterr().err
    assert list(json.loads(kept.read_text()).values()) == [2]
    monkeypatch.setattr(tuning, "measured_count", None)
    assert tuning.tune(elsewhere, kept).layout.per_device == 2


def test_a_step_is_timed_for_real(group):
    cost = tuning.measure_step(group)
    assert cost.step_s > 0 and cost.memory > 1000 and cost.compile_s >= 0
