"""Loss terms and their gradients against cases worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.phantoms.lesions import draw_lesion
from jaxseg.grid.losses import (
    dice_focal,
    erase_patches,
    maps_loss,
    per_example_loss,
    training_loss,
    triplet_loss,
    validation_loss,
    with_background,
)
from jaxseg.grid.mapping import DATA, make_layout, map_cells, put
from jaxseg.grid.train import Hyper, Program
from jaxseg.nets.dtunet import DTUNet, Maps
from jaxseg.nets.registry import Network

LOG2 = np.log(2)


def _row(*values, dtype=jnp.float32):
    """An image of one row and one class: [1, 1, n, 1]."""
    return jnp.asarray(values, dtype).reshape(1, 1, -1, 1)


def _keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def test_dice_focal_of_two_pixels():
    """p = 0.5 and 0.75; the first pixel is foreground, the second is not."""
    logits, truth = _row(0.0, np.log(3)), _row(1, 0, dtype=bool)
    dice_foreground = 1 - (2 * 0.5 + 1) / (1.25 + 1 + 1)
    dice_background = 1 - (2 * 0.25 + 1) / (0.75 + 1 + 1)
    focal = (0.5**2 * LOG2 + 0.75**2 * np.log(4)) / 2
    expected = (dice_foreground + dice_background) / 2 + focal
    np.testing.assert_allclose(dice_focal(logits, truth), [expected], rtol=1e-6)
    np.testing.assert_allclose(per_example_loss("dice_focal", logits, truth), [expected], rtol=1e-6)


def test_dice_focal_takes_classes_as_exclusive():
    """Two classes and one pixel of the second: probabilities 1/4, 1/4, 1/2."""
    logits, truth = jnp.asarray([0.0, LOG2]).reshape(1, 1, 1, 2), jnp.zeros((1, 1, 1, 2), bool)
    truth = truth.at[..., 1].set(True)
    absent, present = 1 - 1 / (0.25 + 1), 1 - (2 * 0.5 + 1) / (0.5 + 1 + 1)
    expected = (2 * absent + present) / 3 + 0.25 * LOG2
    np.testing.assert_allclose(dice_focal(logits, truth), [expected], rtol=1e-6)
    np.testing.assert_array_equal(with_background(truth)[0, 0, 0], [False, False, True])


def test_gradient_of_dice_focal_by_hand():
    """One foreground pixel at p = 1/2, whose derivative by the logit is 1/4.

    Dice of the foreground 1 - (2p + 1) / (p + 2), of the background 1 - 1 / (2 - p); focal
    -(1 - p)² log p.
    """
    p = 0.5
    foreground = -3 / (p + 2) ** 2
    background = -1 / (2 - p) ** 2
    focal = 2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p
    expected = p * (1 - p) * ((foreground + background) / 2 + focal)
    got = jax.jit(jax.grad(lambda x: dice_focal(x, _row(1, dtype=bool)).sum()))(_row(0.0))
    np.testing.assert_allclose(got.reshape(()), expected, rtol=1e-5)


def _undecided(n=1):
    """Maps of one row of n pixels in which everything is even."""
    zeros = jnp.zeros((1, 1, n, 1))
    return Maps(zeros, zeros, zeros, zeros)


def test_loss_of_the_maps_is_the_sum_of_its_terms():
    truth = _row(1, 0, dtype=bool)
    dice, focal = 1 - (2 * 0.5 + 1) / (1 + 1 + 1), 0.25 * LOG2
    expected = LOG2 + 2 * (dice + focal)
    np.testing.assert_allclose(maps_loss(_undecided(2), truth), [expected], rtol=1e-6)


def test_structure_learns_any_foreground_by_cross_entropy():
    """The derivative of the mean cross entropy is (s - truth) / n."""
    truth = jnp.zeros((1, 1, 3, 2), bool).at[0, 0, 0, 0].set(True).at[0, 0, 1, 1].set(True)
    maps = Maps(jnp.zeros((1, 1, 3, 2)), _row(0.0, np.log(3), np.log(3)), jnp.zeros((1, 1, 3, 2)),
                jnp.zeros(()))  # fmt: skip
    grad = jax.jit(jax.grad(lambda m: maps_loss(m, truth).sum()))(maps).structure
    np.testing.assert_allclose(grad.reshape(-1), np.array([-0.5, -0.25, 0.75]) / 3, rtol=1e-6)


def test_triplet_of_one_position_and_its_gradient():
    """|anchor - positive| = 5 and |anchor - negative| = 2: a hinge of 5 - 2 + 0.1."""
    anchor, negative = jnp.asarray([3.0, 4.0]), jnp.asarray([3.0, 6.0])
    shaped = lambda a: a.reshape(1, 1, 1, 2)  # noqa: E731
    loss = lambda a, p, n: triplet_loss(shaped(a), shaped(p), shaped(n), _row(1, dtype=bool))[0]  # noqa: E731
    arguments = (anchor, jnp.zeros(2), negative)
    np.testing.assert_allclose(loss(*arguments), 3.1, rtol=1e-6)
    grads = jax.jit(jax.grad(loss, (0, 1, 2)))(*arguments)
    np.testing.assert_allclose(grads[0], [0.6, 0.8 + 1.0], rtol=1e-5)
    np.testing.assert_allclose(grads[1], [-0.6, -0.8], rtol=1e-5)
    np.testing.assert_allclose(grads[2], [0.0, -1.0], atol=1e-5)


def test_triplet_is_averaged_over_positions_and_silent_beyond_the_margin():
    anchor = jnp.zeros((2, 1, 2, 1))
    positive = jnp.asarray([[1.0, 0.0], [1.0, 0.0]]).reshape(2, 1, 2, 1)
    negative = jnp.asarray([[0.5, 7.0], [0.5, 7.0]]).reshape(2, 1, 2, 1)
    truth = jnp.asarray([True, False]).reshape(2, 1, 1, 1)
    got = triplet_loss(anchor, positive, negative, truth)
    np.testing.assert_allclose(got, [0.6 / 2, 0], atol=1e-5)  # the second holds no foreground
    lost = lambda p: triplet_loss(anchor, p, negative, truth).sum()  # noqa: E731
    grad = jax.jit(jax.grad(lost))(positive)
    np.testing.assert_allclose(grad.reshape(2, 2), [[0.5, 0], [0, 0]], atol=1e-5)
    same = triplet_loss(anchor, anchor, anchor, truth)
    np.testing.assert_allclose(same, [0.1, 0], rtol=1e-6)


def _patches(masks):
    """[B, H, W, C] -> [B, patches, 8 · 8 · C]."""
    b, h, w, c = masks.shape
    cut = masks.reshape(b, h // 8, 8, w // 8, 8, c).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(b, (h // 8) * (w // 8), -1)


def test_the_negative_lacks_the_stated_share_of_foreground_patches():
    rng = np.random.default_rng(0)
    occupied = np.arange(1, 65)  # patches of a 64 × 64 frame that hold foreground
    truth = np.zeros((64, 64, 128), bool)
    for example, n in zip(truth, occupied):
        example[rng.choice(64, n, replace=False), rng.integers(0, 128)] = True
    classes = truth.reshape(64, 8, 8, 8, 8, 2).transpose(0, 1, 3, 2, 4, 5).reshape(64, 64, 64, 2)
    erased = np.asarray(jax.jit(erase_patches)(jnp.asarray(classes), _keys(64)))
    before, after = _patches(classes), _patches(erased)
    changed = (before != after).any(-1)
    np.testing.assert_array_equal(before.any(-1).sum(1), occupied)
    np.testing.assert_array_equal(changed.sum(1), np.maximum(1, np.round(0.2 * occupied)))
    assert not after[changed].any()
    np.testing.assert_array_equal(before[~changed], after[~changed])


def test_patches_are_drawn_by_key_and_alike():
    truth = jnp.broadcast_to(jnp.arange(80)[None, None, :, None] >= 0, (2000, 8, 80, 1))
    erased = jax.jit(erase_patches)(truth, _keys(2000))
    np.testing.assert_array_equal(erased, jax.jit(erase_patches)(truth, _keys(2000)))
    gone = (~np.asarray(erased)[:, 0, ::8, 0]).mean(0)
    assert np.abs(gone - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 2000)


def test_an_empty_truth_stays_empty():
    assert not erase_patches(jnp.zeros((1, 16, 16, 1), bool), _keys(1)).any()


SIZE, BATCH = 32, 4


@pytest.fixture(scope="module")
def lesions():
    """Images uint8 [B, 32, 32, 3] and masks uint8 [B, 32, 32] of generated lesions."""
    return [np.stack(arrays) for arrays in zip(*(draw_lesion(0, i, SIZE) for i in range(BATCH)))]


def _hyper(seed=0):
    return Hyper(np.int32(seed), np.float32(1e-2), np.int32(0))


def _options():
    return {"size": SIZE, "loss": "dtu", "select_best": False, "padding_as_data": False}


def test_dtu_net_learns_generated_lesions(lesions):
    net = Network.of(DTUNet(width=4, depth=2, upsampling="nearest"))
    program = Program(net, **_options())
    step, validate = jax.jit(program.step), jax.jit(program.validate)
    state, hyper, scores = jax.jit(program.init)(_hyper()), _hyper(), []
    for _ in range(2):
        _, tp, fp, fn, _ = np.asarray(validate(state, hyper, *lesions, np.ones(BATCH, np.float32)))
        scores.append(2 * tp / (2 * tp + fp + fn))
        for _ in range(30 * (len(scores) == 1)):
            state, loss = step(state, hyper, *lesions)
    assert np.isfinite(loss) and int(state.diverged_at) == -1
    assert scores[1] > scores[0] + 0.4


NET = Network.of(DTUNet(width=2, depth=1, upsampling="nearest"))
OPTIONS = {"padding_code": None, "key": jax.random.key(3)}


@pytest.fixture(scope="module")
def small():
    """(variables, images, targets) of a network and batch that compile in seconds."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (4, 16, 16, 3)).astype("f")
    targets = jnp.zeros((4, 16, 16, 1), bool).at[:, 2:14, 3:12].set(True).at[0].set(False)
    shapes = jax.eval_shape(NET.init, jax.random.key(0), images)
    draw = lambda a: rng.normal(size=a.shape) if a.ndim > 1 else np.ones(a.shape)  # noqa: E731
    return jax.tree.map(lambda a: draw(a).astype("f"), shapes), images, targets


def test_the_objective_moves_the_moments_by_the_prediction_alone(small):
    variables, images, targets = small
    run = {"train": True, "method": "maps"}
    value, updates, maps, expected = jax.jit(
        lambda *a: (*training_loss(NET, "dtu", *a, **OPTIONS), *NET.apply(*a[:2], **run))
    )(variables, images, targets)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), updates, expected)
    triplet = float(value) - float(maps_loss(maps, targets).mean())
    assert 0 < triplet < 20


def test_the_validation_loss_has_no_triplet_and_its_logits_are_the_networks(small):
    variables, images, targets = small
    losses, logits, maps = jax.jit(
        lambda *a: (
            *validation_loss(NET, "dtu", *a, padding_code=None),
            NET.apply(*a[:2], method="maps")[0],
        )
    )(variables, images, targets)
    np.testing.assert_allclose(losses, maps_loss(maps, targets), rtol=1e-5)
    np.testing.assert_array_equal(logits, maps.fused)


def test_the_triplet_reaches_both_networks(small):
    variables, images, targets = small
    run = {"train": True}

    def triplet(params):
        own = variables | {"params": params}
        anchor = NET.apply(own, images, method="maps", **run)[0].embedding
        embed = lambda t: NET.apply(own, with_background(t) * 1.0, method="embed", **run)[0]  # noqa: E731
        return triplet_loss(anchor, embed(targets), embed(targets[:, :, ::-1]), targets).sum()

    grads = jax.jit(jax.grad(triplet))(variables["params"])
    largest = {n: max(np.abs(a).max() for a in jax.tree.leaves(t)) for n, t in grads.items()}
    assert largest["texture"] > 1e-4 and largest["topology"] > 1e-4


def test_a_batch_split_over_devices_erases_the_same_patches(small):
    """With averaged moments and a key for each example the split loss is the whole one."""
    layout = make_layout(1, 4, 1, jax.devices())
    assert layout.mesh.shape[DATA] == 2
    split = dataclasses.replace(NET, batch_axis=DATA)

    def lost(net, variables, images, targets):
        return training_loss(net, "dtu", variables, images, targets, **OPTIONS)[0]

    mapped = map_cells(
        lambda *a: jax.lax.pmean(lost(split, *a), DATA), layout, ("shared", "batch", "batch")
    )
    batch = [put(layout, "batch", np.asarray(a)[None]) for a in small[1:]]
    got = mapped(small[0], *batch)
    np.testing.assert_allclose(got[0], jax.jit(lost, static_argnums=0)(NET, *small), rtol=1e-5)
