"""Pixels that a mask says are not judged: no loss, no gradient, no score."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.data.masks import IGNORED
from jaxseg.errors import UsageError
from jaxseg.grid.cells import expand
from jaxseg.grid.evaluate import make_scorer, ring_maps
from jaxseg.grid.losses import _only, training_loss
from jaxseg.grid.mapping import make_layout
from jaxseg.grid.run import run_grid
from jaxseg.grid.train import Program, one_hot
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet

RNG = np.random.default_rng(0)
MASKS = np.asarray(RNG.integers(0, 2, (2, 16, 16)), np.uint8)
MASKS[:, :5] = IGNORED
NET = Network.of(UNet(width=2, depth=1))


@pytest.mark.parametrize("loss", ["dice", "bce", "dice_bce", "dice_focal"])
def test_a_pixel_that_is_not_judged_has_no_gradient(loss):
    from jaxseg.grid.losses import per_example_loss

    targets, judged = one_hot(jnp.asarray(MASKS), 1), jnp.asarray(MASKS != IGNORED)[..., None]
    logits = jnp.asarray(RNG.normal(size=(2, 16, 16, 1)), jnp.float32)

    def value(x):
        return per_example_loss(loss, _only(judged, x), targets).sum()

    gradient = np.asarray(jax.grad(value)(logits))[..., 0]
    assert not gradient[MASKS == IGNORED].any() and gradient[MASKS != IGNORED].all()
    assert value(logits) == value(jnp.where(judged, logits, 9.0))


def test_judging_all_pixels_is_judging_as_ever():
    images = jnp.asarray(RNG.normal(size=(2, 16, 16, 3)), jnp.float32)
    variables = NET.init(jax.random.key(0), images)
    targets = one_hot(jnp.asarray(MASKS % 2), 1)
    options = {"padding_code": None, "key": jax.random.key(1)}
    plain, judged = (
        training_loss(NET, "dice", variables, images, targets, judged=mask, **options)[0]
        for mask in (None, jnp.ones((2, 16, 16, 1), bool))
    )
    assert plain == judged


def test_scores_leave_out_what_is_not_judged():
    layout = make_layout(1, 2, 1, jax.local_devices()[:1])
    rings = ring_maps(16, 40.0, 3)
    predicted = np.asarray(RNG.integers(0, 2, (1, 2, 16, 16)), np.uint8)
    counts = make_scorer(layout, rings, 1)(predicted, MASKS)
    judged = MASKS != IGNORED
    tp = ((predicted[0] == 1) & (MASKS == 1)).sum((1, 2))
    fp = ((predicted[0] == 1) & (MASKS == 0)).sum((1, 2))
    fn = ((predicted[0] == 0) & (MASKS == 1) & judged).sum((1, 2))
    for found in counts.values():
        np.testing.assert_array_equal(np.asarray(found)[0].sum((1, 2)), np.stack([tp, fp, fn], -1))


def test_validation_leaves_them_out_too():
    program = Program(NET, size=16, loss="dice", select_best=False, padding_as_data=False,
                           ignores=True)  # fmt: skip
    from jaxseg.grid.train import Hyper

    hyper = Hyper(jnp.int32(0), jnp.float32(1e-3), jnp.int32(0))
    state = program.init(hyper)
    images = jnp.asarray(RNG.integers(0, 256, (2, 16, 16, 3)), jnp.uint8)
    sums = np.asarray(program.validate(state, hyper, images, jnp.asarray(MASKS), jnp.ones(2)))
    predicted = np.asarray(program.predict(state.variables, hyper, images))
    judged = MASKS != IGNORED
    assert sums[1] == ((predicted == 1) & (MASKS == 1)).sum()
    assert sums[2] == ((predicted == 1) & (MASKS == 0)).sum()
    assert sums[3] == ((predicted == 0) & (MASKS == 1) & judged).sum()


def small_config(root):
    from ml_collections import ConfigDict

    config = ConfigDict({
        "name": "ignored", "seed": 0,
        "data": {"name": "folders", "manual_dir": str(root), "data_dir": str(root.parent / "cache"),
                 "train_split": "train", "val_split": "", "test_split": "train", "size": 16,
                 "crop": "center", "feed": "device", "ignore_label": 255},
        "net": {"name": "unet", "width": 2, "depth": 1, "padding": "zeros", "norm": "batch",
                "upsampling": "nearest", "dtype": "float32"},
        "optim": {"loss": "dice", "learning_rate": 1e-3, "batch_size": 2, "epochs": 1,
                  "weight_decay": 0.0, "schedule": "constant", "select": "last", "patience": 0},
        "eval": {"test_sets": ("full",), "ring_width": 32.0, "border_px": 2, "empty": "nan",
                 "resamples": 100},
        "run": {"cells_per_device": 0, "checkpoint_epochs": 1},
    })  # fmt: skip
    return config.to_dict()


def test_a_grid_of_masks_with_an_ignored_label(tmp_path):
    """Counted are the pixels that are judged; without the setting the masks are refused."""
    root = tmp_path / "data"
    judged = {}
    for k in range(4):
        mask = np.zeros((16, 16), np.uint8)
        mask[3:9, 3:9], mask[10 + k :] = 1, 255
        for part, values in (("images", mask * 100), ("masks", mask)):
            (root / part).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / part / f"a{k}.png"), values)
        judged[k] = mask
    config = small_config(root)
    assert run_grid(config, [{"seed": 0}], tmp_path / "run") == []
    with np.load(tmp_path / "run/counts/zeros-s0.npz") as counts:
        found = counts["full.border"].sum((1, 2))  # [items, (tp, fp, fn)]
    assert (found[:, 0] + found[:, 2] == 36).all()
    free = sorted(int(((m == 0) | (m == 1)).sum()) for m in judged.values())
    assert (np.sort(found.sum(-1)) <= free).all()
    config["data"]["ignore_label"] = -1
    with pytest.raises(Exception, match="255 occurs beside class indices"):
        run_grid(config, [{"seed": 0}], tmp_path / "other")


def test_a_dtunet_judges_every_pixel(tmp_path):
    config = small_config(tmp_path)
    config["net"] |= {"name": "dtunet"}
    config["optim"]["loss"] = "dtu"
    with pytest.raises(
        UsageError, match=r"data\.ignore_label=255: a dtunet cannot leave out pixels"
    ):
        expand(config, [{"seed": 0}])
    config["data"]["ignore_label"] = -1
    config["data"]["size"] = 32
    expand(config, [{"seed": 0}])
