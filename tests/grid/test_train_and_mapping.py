import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.grid.losses import per_example_loss
from jaxseg.grid.mapping import DATA, chunks, fill, make_layout, map_cells, put
from jaxseg.grid.train import Hyper, Program, class_indices, one_hot
from jaxseg.nets.padding import padding_code
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet

SIZE, BATCH = 16, 4


def _program(**options):
    net = Network.of(UNet(width=2, depth=2, upsampling="nearest", **options))
    return Program(net, size=SIZE, loss="dice", select_best=True, padding_as_data=True)


def _hyper(seed, mode="zeros", rate=1e-2):
    return Hyper(np.int32(seed), np.float32(rate), np.int32(padding_code(mode)))


def _batch(seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((BATCH, SIZE, SIZE), np.uint8)
    masks[:, 4:11, 5:12] = 1
    images = (rng.integers(0, 60, (*masks.shape, 3)) + 120 * masks[..., None]).astype(np.uint8)
    return images, masks


def _train(step, state, hyper, steps=6):
    losses = []
    for i in range(steps):
        state, loss = step(state, hyper, *_batch(i))
        losses.append(float(loss))
    return state, losses


def test_training_one_cell_lowers_the_loss_and_is_deterministic():
    program = _program()
    step = jax.jit(program.step)
    first, losses = _train(step, jax.jit(program.init)(_hyper(0)), _hyper(0), 12)
    second, _ = _train(step, jax.jit(program.init)(_hyper(0)), _hyper(0), 12)
    assert losses[-1] < losses[0] - 0.05
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert int(first.step) == 12 and int(first.diverged_at) == -1


@pytest.mark.parametrize("per_device", [1, 2])
def test_mapped_cells_equal_single_cells(per_device):
    """To 2e-5: a vmapped convolution is another program and adds up in another order.

    Without norm: before BatchNorm a bias has no gradient, and Adam makes steps of its rounding.
    """
    program = _program(norm="none")
    hypers = [_hyper(0), _hyper(1, "reflect"), _hyper(2, "circular", 1e-3), _hyper(3)]
    hypers = hypers[: 2 * per_device]
    layout = make_layout(len(hypers), BATCH, per_device, jax.devices())
    assert layout.slots == len(hypers)
    stacked = put(layout, "cell", jax.tree.map(lambda *leaves: np.stack(leaves), *hypers))
    state = map_cells(program.init, layout, ("cell",))(stacked)
    step = map_cells(program.step, layout, ("cell", "cell", "batch", "batch"))
    for i in range(3):
        batch = [put(layout, "batch", np.stack([a] * len(hypers))) for a in _batch(i)]
        state, loss = step(state, stacked, *batch)
    single = jax.jit(program.step)
    for n, hyper in enumerate(hypers):
        alone, losses = _train(single, jax.jit(program.init)(hyper), hyper, 3)
        assert abs(float(loss[n]) - losses[-1]) < 2e-5
        mapped = jax.tree.map(lambda leaf, n=n: np.asarray(leaf[n]), state.variables)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-4), mapped,
                     alone.variables)  # fmt: skip


def test_a_batch_split_over_devices_equals_the_whole_batch():
    layout = make_layout(1, BATCH, 1, jax.devices())
    assert dict(layout.mesh.shape) == {"cell": 1, "data": 2}
    split, whole = _program(batch_axis=DATA), _program()
    hyper = put(layout, "cell", jax.tree.map(lambda leaf: leaf[None], _hyper(0)))
    state = map_cells(split.init, layout, ("cell",))(hyper)
    step = map_cells(split.step, layout, ("cell", "cell", "batch", "batch"))
    batch = [put(layout, "batch", a[None]) for a in _batch(0)]
    state, loss = step(state, hyper, *batch)
    alone, expected = jax.jit(whole.step)(whole.init(_hyper(0)), _hyper(0), *_batch(0))
    assert abs(float(loss[0]) - float(expected)) < 1e-5
    means = [jax.tree.leaves(s.variables["batch_stats"]) for s in (state, alone)]
    for a, b in zip(*means):
        np.testing.assert_allclose(a[0], b, atol=1e-5)


def test_a_cell_that_diverges_says_when_and_leaves_its_neighbour_alone():
    program = _program()
    layout = make_layout(2, BATCH, 2, jax.devices()[:1])
    hypers = [_hyper(0), _hyper(0, rate=np.nan)]
    stacked = put(layout, "cell", jax.tree.map(lambda *leaves: np.stack(leaves), *hypers))
    state = map_cells(program.init, layout, ("cell",))(stacked)
    step = map_cells(program.step, layout, ("cell", "cell", "batch", "batch"))
    for i in range(3):
        state, loss = step(state, stacked, *(np.stack([a, a]) for a in _batch(i)))
    assert np.asarray(state.diverged_at).tolist() == [-1, 0]
    assert np.isfinite(float(loss[0]))


def test_selection_keeps_the_best_variables():
    program = _program()
    state = jax.jit(program.init)(_hyper(0))
    state = program.select(state, jnp.float32(0.5))
    kept = state.best
    worse = state._replace(variables=jax.tree.map(lambda a: a + 1, state.variables))
    after = program.select(worse, jnp.float32(0.7))
    jax.tree.map(np.testing.assert_array_equal, after.best, kept)
    better = program.select(worse, jnp.float32(0.1))
    jax.tree.map(np.testing.assert_array_equal, better.best, worse.variables)


def test_dice_loss_is_the_papers_formula():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 8, 8, 1)).astype(np.float32)
    target = rng.random((3, 8, 8, 1)) > 0.6
    p = 1 / (1 + np.exp(-logits))
    both, sums = (p * target).sum((1, 2, 3)), p.sum((1, 2, 3)) + target.sum((1, 2, 3))
    expected = 1 - (2 * both + 1) / (sums + 1)
    got = per_example_loss("dice", jnp.asarray(logits), jnp.asarray(target))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    bce = optax.losses.sigmoid_binary_cross_entropy(logits, target.astype(np.float32))
    mixed = per_example_loss("dice_bce", jnp.asarray(logits), jnp.asarray(target))
    np.testing.assert_allclose(mixed, (expected + bce.mean((1, 2, 3))) / 2, atol=1e-6)


def test_classes_as_indices_and_one_hot():
    logits = jnp.asarray([[-1.0, -2.0], [3.0, 1.0], [-1.0, 0.5]])
    np.testing.assert_array_equal(class_indices(logits), [0, 1, 2])
    hot = one_hot(jnp.asarray([0, 1, 2], jnp.uint8), 2)
    np.testing.assert_array_equal(hot, [[False, False], [True, False], [False, True]])


def test_chunks_and_fill():
    assert chunks([1, 2, 3], 2) == [[1, 2], [3]]
    assert fill([3], 2) == [3, 3]
