"""A grid of networks of a user's own: README's, and an object of no framework."""

import csv

import jax
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.grid.cells import expand, group_cells
from jaxseg.grid.loading import export_cell, load_cell, load_export, load_variables
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import product

PER_PIXEL = """
import jax
import jax.numpy as jnp

class PerPixel:
    def __init__(self, classes):
        self.classes = classes

    def init(self, key, images):
        return {"params": {"w": jax.random.normal(key, (3, self.classes))},
                "seen": {"steps": jnp.int32(0)}}

    def apply(self, variables, images, train):
        logits = images @ variables["params"]["w"]
        steps = variables["seen"]["steps"] + 1
        return (logits, {"seen": {"steps": steps}}) if train else logits
"""


OWN = {"padding": "zeros", "width": 2}


def _grid(own_network):
    of_readme = product(**{"net.name": [own_network], "net.padding": ["zeros", "reflect"]})
    return [*of_readme, {"net.name": "per_pixel.py:PerPixel"}]


def test_networks_of_ones_own_are_trained_loaded_and_exported(tiny_config, own_network, tmp_path):
    (tmp_path / "per_pixel.py").write_text(PER_PIXEL)
    tiny_config["optim"]["epochs"] = 2
    tiny_config["net"] = OWN
    run_grid(tiny_config, _grid(own_network), tmp_path / "run")
    with (tmp_path / "run" / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done"] * 3
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    predicted = {}
    for row in rows:
        predict, config = load_cell(tmp_path / "run", row["cell"])
        predicted[row["cell"]] = predict(images)
        about = export_cell(tmp_path / "run", row["cell"], tmp_path / "cell.npz")
        assert about["settings"]["net.name"] == config.net.name
        again, _ = load_export(tmp_path / "cell.npz")
        np.testing.assert_array_equal(again(images), predicted[row["cell"]])
    net, variables, config = load_variables(tmp_path / "run", rows[-1]["cell"])
    steps = 2 * (16 // 4)
    assert 0 < int(variables["seen"]["steps"]) <= steps and net.padding is None
    trained, _ = (load_variables(tmp_path / "run", row["cell"])[1] for row in rows[:2])
    moved = jax.tree.leaves(trained["batch_stats"])
    assert any(leaf.any() for leaf in moved)


def test_paddings_of_ones_own_network_are_programs_of_their_own(tiny_config, own_network):
    axes = {"net.padding": ["zeros", "reflect"]}
    assert len(group_cells(expand(tiny_config, product(**axes)))) == 1
    tiny_config["net"] = OWN | {"name": own_network}
    assert len(group_cells(expand(tiny_config, product(**axes)))) == 2


def test_an_option_of_the_network_is_an_axis(tiny_config, own_network):
    tiny_config["net"] = OWN | {"name": own_network, "options": {"levels": 2}}
    cells = expand(tiny_config, product(levels=[1, 2]))
    assert [cell.config.net.options["levels"] for cell in cells] == [1, 2]
    tiny_config["net"]["options"] = {"level": 2}
    with pytest.raises(UsageError, match=r"net\.options\.level: .*did you mean 'levels'"):
        expand(tiny_config, product(seed=[0]))


@pytest.mark.parametrize(
    "axes, said",
    [
        ({"net.depth": [2, 3]}, r"grid axis net\.depth: my_net.py:ResidualUNet takes no `depth`"),
        ({"net.norm": ["group"]}, r"net\.norm='group': .* takes no `norm`"),
        ({"net.options.levels": [1, 2]}, r"give it a value first, --config\.net\.options\.levels="),
        ({"net.name": ["my_net.py:Resdual"]}, r"'Resdual': must be one of .*'Residual'"),
        ({"optim.loss": ["dtu"]}, r"optim\.loss='dtu': requires net\.name='dtunet'"),
    ],
)
def test_what_it_does_not_take_is_refused_before_training(tiny_config, own_network, axes, said):
    tiny_config["net"] = OWN | {"name": own_network}
    with pytest.raises(UsageError, match=said):
        expand(tiny_config, product(**axes))
