"""Shortcut B on generated lesions or on your own images: padding × crop × seeds, on any machine.

    python launch/grid.py --config configs/padding_ablation.py          # minutes on 2 CPU cores
    python launch/grid.py --config configs/padding_ablation.py:quick    # a smoke run
    python launch/grid.py --config configs/padding_ablation.py:folders --config.data.manual_dir=DIR

`:folders` is for images and masks in DIR/images and DIR/masks: 80 % of them train, the others test.
"""

from ml_collections import ConfigDict

from jaxseg.errors import check_choice
from jaxseg.grid.prepared import READING
from jaxseg.grid.sweeps import product

VARIANTS = ("default", "quick", "folders")


SPLITS = {
    "default": {
        "train_split": "train[:400]",
        "val_split": "validation",
        "test_split": "test[:100]",
    },
    "quick": {
        "train_split": "train[:64]",
        "val_split": "validation[:16]",
        "test_split": "test[:16]",
    },
    "folders": {"train_split": "train[:80%]", "val_split": "", "test_split": "train[80%:]"},
}


def get_config(variant: str | None = None) -> ConfigDict:
    """All fields of a run; every one can be set as --config.<field>=<value>."""
    variant = check_choice("config variant", variant or "default", VARIANTS)
    quick = variant == "quick"
    return ConfigDict(
        {
            "name": "padding_ablation" + ("" if variant == "default" else f"_{variant}"),
            "seed": 0,  # weights, order and boxes; the same seed is paired across arms
            "data": {
                "name": "folders" if variant == "folders" else "lesion_phantoms",
                "manual_dir": "",  # folder of images, where the data set needs one
                "data_dir": "",  # prepared arrays; empty: $JAXSEG_CACHE or ~/.cache/jaxseg
                **SPLITS[variant],
                "size": 32 if quick else 48,
                "crop": "center",
                "feed": "auto",  # host (tf.data), device (no TensorFlow) or auto
                **READING,  # which files by name, soft masks, an ignored label, several masks
            },
            "net": {
                "name": "unet",  # or dtunet, with optim.loss dtu
                "width": 4 if quick else 8,
                "depth": 2 if quick else 4,
                "padding": "zeros",
                "upsampling": "align_corners",
                "norm": "batch",
                "dtype": "float32",  # of activations and products: or bfloat16 (mixed precision)
            },
            "optim": {
                "loss": "dice",  # dice, dice_bce, bce, dice_focal, or dtu for a dtunet
                "learning_rate": 3e-3,  # few steps: three times the paper's
                "batch_size": 16,
                "epochs": {"default": 5, "quick": 10, "folders": 20}[variant],
                "weight_decay": 0.0,  # above 0: AdamW instead of Adam
                "schedule": "constant",  # or cosine: the learning rate falls to 0
                "select": "last",  # or best, on the validation split
                "patience": 0,  # epochs without a better validation loss that stop a cell; 0: never
            },
            "eval": {
                "test_sets": ("full", "quarter") if quick else ("full", "quarter", "random"),
                "ring_width": 10.0,  # of the paper's rings, pixels at 256 × 256
                "border_px": 4 if quick else 8,  # the outer band, pixels of the network's frame
                "empty": "nan",  # Dice of an empty-empty case: nan (left out), one or smooth1
                "resamples": 2000,
            },
            "run": {
                "cells_per_device": 0,  # 0: one on CPU, measured elsewhere
                "checkpoint_epochs": 5,
            },
        }
    )


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
