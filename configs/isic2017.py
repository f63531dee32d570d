"""Shortcut B on ISIC 2017: the paper's M_ori (center) and M_crop (quarter) × paddings × seeds.

Download and unpack the official folders of https://challenge.isic-archive.com/data/#2017, then

    python launch/grid.py --config configs/isic2017.py --config.data.manual_dir=DIR
    python launch/grid.py --config configs/isic2017.py:small --config.data.manual_dir=DIR

The first is the paper's setting (256 × 256, the full UNet, batch 16, 100 epochs, Adam 1e-3, soft
Dice) with ten seeds and more paddings, for an accelerator. `:small` is for a CPU: 64 × 64, a narrow
UNet, 800 training images, three seeds, scored on the validation split.
"""

from ml_collections import ConfigDict

from jaxseg.errors import check_choice
from jaxseg.grid.prepared import READING
from jaxseg.grid.sweeps import product

VARIANTS = ("paper", "small")


def get_config(variant: str | None = None) -> ConfigDict:
    """All fields of a run; configs/padding_ablation.py says what each means."""
    small = check_choice("config variant", variant or "paper", VARIANTS) == "small"
    return ConfigDict(
        {
            "name": "isic2017" + ("_small" if small else ""),
            "seed": 0,
            "data": {
                "name": "isic2017",
                "manual_dir": "",
                "data_dir": "",
                "train_split": "train[:800]" if small else "train",
                "val_split": "train[1850:]" if small else "validation",
                "test_split": "validation" if small else "test",
                "size": 64 if small else 256,
                "crop": "center",
                "feed": "auto",
                **READING,
            },
            "net": {
                "name": "unet",
                "width": 8 if small else 64,
                "depth": 4,
                "padding": "zeros",
                "upsampling": "align_corners",
                "norm": "batch",
                "dtype": "float32",
            },
            "optim": {
                "loss": "dice",
                "learning_rate": 1e-3,
                "batch_size": 16,
                "epochs": 20 if small else 100,
                "weight_decay": 0.0,
                "schedule": "constant",
                "select": "last",
                "patience": 0,
            },
            "eval": {
                "test_sets": ("full", "quarter", "random"),
                "ring_width": 10.0,
                "border_px": 8,
                "empty": "nan",
                "resamples": 2000,
            },
            "run": {"cells_per_device": 0, "checkpoint_epochs": 5},
        }
    )


def get_grid(variant: str | None = None) -> list[dict]:
    """M_ori and M_crop of the paper under several paddings."""
    small = variant == "small"
    paddings = ("zeros", "reflect")
    return product(
        **{
            "net.padding": paddings if small else (*paddings, "replicate", "circular"),
            "data.crop": ("center", "quarter"),
            "seed": range(3 if small else 10),
        }
    )
