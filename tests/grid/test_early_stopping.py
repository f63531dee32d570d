"""Early stopping of a cell: where it stops, that it stays there, and that no other cell notices."""

import json
import os
import signal
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_oracles import assert_equal, read_counts, read_metrics, read_rows

from jaxseg.errors import Interrupted, UsageError
from jaxseg.grid import checkpoints, chunk, interrupt
from jaxseg.grid.cells import expand
from jaxseg.grid.devices import compiler_options
from jaxseg.grid.mapping import make_layout, map_cells, put
from jaxseg.grid.run import run_grid
from jaxseg.grid.sweeps import product
from jaxseg.grid.train import Hyper, Program
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet

SIZE, BATCH = 8, 2
# What validation says of three cells, epoch by epoch; patience 2 stops them after 3, 5 and never.
LOSSES = np.array([[5, 6, 7, 1, 0, 0], [5, 4, 3, 3, 4, 0], [6, 5, 5, 4, 5, 3]], np.float32)
STOPS, BEST = [3, 5, -1], [0, 2, 5]


@pytest.fixture(scope="module")
def program():
    """Without norm: before BatchNorm a bias has no gradient, and Adam makes steps of rounding."""
    net = Network.of(UNet(width=2, depth=1, upsampling="nearest", norm="none"))
    return Program(net, size=SIZE, loss="dice", select_best=True, padding_as_data=False,
                        patience=2)  # fmt: skip


def _hyper(seed):
    return Hyper(np.int32(seed), np.float32(0.01), np.int32(0))


def _batch(epoch):
    rng = np.random.default_rng(epoch)
    masks = (rng.random((BATCH, SIZE, SIZE)) > 0.5).astype(np.uint8)
    return rng.integers(0, 256, (*masks.shape, 3), np.uint8), masks


def _train_alone(program, seed, val_losses):
    """States after every epoch of one step."""
    # By the options of mapped programs: others round the last bit in other ways.
    compiled = partial(jax.jit, compiler_options=compiler_options("cpu"))
    step, select = compiled(program.step), compiled(program.select)
    state, states = compiled(program.init)(_hyper(seed)), []
    for epoch, val_loss in enumerate(val_losses):
        state, _ = step(state, _hyper(seed), *_batch(epoch))
        states.append(state := select(state, val_loss))
    return states


def test_a_cell_stops_when_its_patience_ends_and_keeps_its_best(program):
    for seed, (losses, stop, best) in enumerate(zip(LOSSES, STOPS, BEST)):
        states = _train_alone(program, seed, losses)
        assert int(states[-1].stopped_at) == stop and int(states[-1].diverged_at) == -1
        assert float(states[-1].best_loss) == losses[best]
        jax.tree.map(np.testing.assert_array_equal, states[-1].best, states[best].variables)
        if stop > 0:
            frozen = ("variables", "opt_state", "best")
            for name in frozen:
                kept, then = (getattr(states[i], name) for i in (-1, stop - 1))
                jax.tree.map(np.testing.assert_array_equal, kept, then)


def test_a_stopped_cell_has_no_loss_and_the_next_validation_cannot_revive_it(program):
    state = _train_alone(program, 0, LOSSES[0, :3])[-1]
    assert not state.running
    after, loss = jax.jit(program.step)(state, _hyper(0), *_batch(9))
    assert np.isnan(loss) and int(after.step) == 4 and int(after.diverged_at) == -1
    jax.tree.map(np.testing.assert_array_equal, after.variables, state.variables)
    revived = program.select(after, jnp.float32(-1))
    assert float(revived.best_loss) == 5 and int(revived.stopped_at) == 3


def test_a_loss_that_is_not_a_number_is_not_better(program):
    state = jax.jit(program.init)(_hyper(0))
    for expected in (-1, 0):  # patience 2, no step taken
        state = program.select(state, jnp.float32(np.nan))
        assert int(state.stopped_at) == expected
    assert np.isinf(state.best_loss)


@pytest.mark.parametrize("per_device", [1, 2])
def test_mapped_cells_stop_where_each_stops_alone(program, per_device):
    """One cell per device is the same program; vmapped, convolutions add up in another order."""
    cells = [0, 1] if per_device == 1 else [0, 1, 2, 2]
    layout = make_layout(len(cells), BATCH, per_device, jax.devices())
    assert layout.slots == len(cells)
    hyper = put(layout, "cell", jax.tree.map(lambda *a: np.stack(a), *map(_hyper, cells)))
    state = map_cells(program.init, layout, ("cell",))(hyper)
    step = map_cells(program.step, layout, ("cell", "cell", "batch", "batch"))
    select = map_cells(program.select, layout, ("cell", "cell"))
    for epoch, val_losses in enumerate(LOSSES[cells].T):
        batch = [put(layout, "batch", np.stack([a] * len(cells))) for a in _batch(epoch)]
        state = select(step(state, hyper, *batch)[0], put(layout, "cell", val_losses))
    assert np.asarray(state.stopped_at).tolist() == [STOPS[c] for c in cells]
    tolerance = 0 if per_device == 1 else 1e-5
    for place, cell in enumerate(cells):
        alone = _train_alone(program, cell, LOSSES[cell])[-1]
        for name in ("variables", "best"):
            mapped = jax.tree.map(lambda a, i=place: np.asarray(a[i]), getattr(state, name))
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance),
                         mapped, getattr(alone, name))  # fmt: skip


RATES = (0.3, 0.03)
GRID = product(learning_rate=RATES)
EPOCHS = 12


@pytest.fixture
def config(tiny_config):
    """Patience 2; batches of 5 are not split, so that a cell alone runs the same program."""
    tiny_config["optim"] |= {"epochs": EPOCHS, "batch_size": 5, "patience": 2}
    tiny_config["eval"]["test_sets"] = ("full",)
    return tiny_config


@pytest.fixture(scope="module")
def _home(tmp_path_factory):
    return tmp_path_factory.mktemp("stopped")


@pytest.fixture
def together(_home, config):
    """Workdir of both cells trained side by side."""
    if not (_home / "run").exists():
        run_grid(config, GRID, _home / "run")
    return _home / "run"


def _epochs(workdir):
    return {cell: int(row["epochs"]) for cell, row in read_rows(workdir).items()}


def test_a_grid_stops_each_cell_where_its_metrics_say(together):
    epochs = _epochs(together)
    assert len(set(epochs.values())) == 2 and min(epochs.values()) < EPOCHS
    for cell, n in epochs.items():
        rows = [row for row in read_metrics(together) if row["cell"] == cell]
        assert [row["epoch"] for row in rows] == list(range(n))
        best = int(np.argmin([row["val_loss"] for row in rows]))
        assert n == min(best + 3, EPOCHS)
        row = read_rows(together)[cell]
        assert row["status"] == "done"
        assert abs(float(row["train_loss"]) - rows[-1]["loss"]) < 1e-5


def test_each_cell_alone_stops_at_the_same_epoch_with_the_same_weights(together, config, tmp_path):
    for rate in RATES:
        config["optim"]["learning_rate"] = rate
        run_grid(config, [{"seed": 0}], tmp_path / str(rate))
        assert _epochs(tmp_path / str(rate))["zeros-s0"] == _epochs(together)[f"{rate}-s0"]
        alone, _ = checkpoints.restore_cell(tmp_path / str(rate), "zeros-s0")
        mapped, meta = checkpoints.restore_cell(together, f"{rate}-s0")
        jax.tree.map(np.testing.assert_array_equal, mapped, alone)
        assert json.dumps(meta["means"]).count("NaN") == 0


def test_an_interrupted_run_stops_where_an_undisturbed_one_does(
    together, config, tmp_path, monkeypatch
):
    """Interrupted before the first cell has stopped, as it stops and after."""
    real, fed = chunk.chunk_batches, []
    first = 3 * min(_epochs(together).values())  # steps

    def feed(*args):
        for batch in real(*args):
            fed.append(1)
            if len(fed) in (first - 4, first, first + 2):
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    monkeypatch.setattr(chunk, "chunk_batches", feed)
    for _ in range(3):
        with pytest.raises(Interrupted), interrupt.handled(""):
            run_grid(config, GRID, tmp_path)
    run_grid(config, GRID, tmp_path)
    assert len(fed) == 3 * max(_epochs(together).values())
    assert_equal(read_counts(tmp_path), read_counts(together))
    assert read_metrics(tmp_path) == read_metrics(together)
    columns = ("status", "epochs", "train_loss")
    rows = [{c: [row[n] for n in columns] for c, row in read_rows(w).items()}
            for w in (tmp_path, together)]  # fmt: skip
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "overlay, message",
    [
        ({"select": "last"}, r"optim\.patience=2: .* requires optim\.select=best"),
        ({"val_split": ""}, r"optim\.select='best': requires data\.val_split"),
        ({"patience": -1}, r"optim\.patience=-1: must be at least 0"),
        ({"weight_decay": -1.0}, r"optim\.weight_decay=-1\.0: must be at least 0"),
        ({"schedule": "cosin"}, r"optim\.schedule='cosin'.*did you mean 'cosine'"),
        ({"net.name": "dtunet"}, r"optim\.loss='dice': must be 'dtu' under net\.name='dtunet'"),
        ({"loss": "dtu"}, r"optim\.loss='dtu': requires net\.name='dtunet'"),
        ({"net.name": "dtu"}, r"net\.name='dtu'.*did you mean 'dtunet'"),
        ({"net.name": "dtunet", "loss": "dtu", "size": 36}, r"data\.size=36: must be a multiple"),
    ],
)
def test_settings_that_cannot_run_are_named(config, overlay, message):
    with pytest.raises(UsageError, match=message):
        expand(config, [overlay])
    assert expand(config, [{"net.name": "dtunet", "loss": "dtu"}])
