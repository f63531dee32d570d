"""Shortcut B on generated lesions or on your own images: padding × crop × seeds, on any machine.

Question: does a UNet learn "near the border = background" from images that are centred on the
object, and does another padding, or another crop of the training images, prevent it?

    python launch/grid.py --config configs/padding_ablation.py          # minutes on 2 CPU cores
    python launch/grid.py --config configs/padding_ablation.py:quick    # a smoke run
    python launch/grid.py --config configs/padding_ablation.py:folders --config.data.manual_dir=DIR

`:folders` is for images and masks in DIR/images and DIR/masks: 80 % of them train, the others test.
On the first 120 of ISIC 2017's validation split (256 × 256) it took 2 min 43 s on two CPU cores:
networks trained on whole frames lose 0.302 [0.157, 0.444] more recall at the border, relative to
the interior, than networks trained on random crops (6 seeds, 24 test images, p = 0.031).
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

from jaxseg.errors import check_choice
from jaxseg.grid.sweeps import product

make = runpy.run_path(str(Path(__file__).with_name("base.py")))["make"]
VARIANTS = ("default", "quick", "folders")
_QUICK_SPLITS = {
    "train_split": "train[:64]", "val_split": "validation[:16]", "test_split": "test[:16]",
}  # fmt: skip
_FOLDERS = {
    "name": "folders", "train_split": "train[:80%]", "val_split": "", "test_split": "train[80%:]",
}  # fmt: skip


def get_config(variant: str | None = None) -> ConfigDict:
    """What differs from the fields in base.py, by variant."""
    variant = check_choice("config variant", variant or "default", VARIANTS)
    optim = {"learning_rate": 3e-3}  # few steps: three times the paper's
    if variant == "quick":
        return make(
            "padding_ablation_quick",
            data={**_QUICK_SPLITS, "size": 32},
            net={"width": 4, "depth": 2},
            optim={**optim, "epochs": 10},
            evaluate={"test_sets": ("full", "quarter"), "border_px": 4},
        )
    if variant == "folders":
        return make("padding_ablation_folders", data=_FOLDERS, optim=optim)
    splits = {"train_split": "train[:400]", "test_split": "test[:100]"}
    return make("padding_ablation", data=splits, optim={**optim, "epochs": 5})


def get_grid(variant: str | None = None) -> list[dict]:
    """Cells of the grid; the first value of each axis is what the others are compared with."""
    seeds = range(2) if variant == "quick" else range(6)
    return product(
        **{
            "net.padding": ("zeros", "reflect"),
            "data.crop": ("center", "random"),
            "seed": seeds,
        }
    )
