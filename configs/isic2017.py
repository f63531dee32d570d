"""Shortcut B on ISIC 2017: the paper's M_ori (center) and M_crop (quarter) × paddings × seeds.

Question: does the paper's finding hold on real skin lesions: do networks trained on whole frames
miss lesions near the border, and does training on quarters or another padding prevent it?

Download and unpack the official folders of https://challenge.isic-archive.com/data/#2017, then

    python launch/grid.py --config configs/isic2017.py --config.data.manual_dir=DIR
    python launch/grid.py --config configs/isic2017.py:small --config.data.manual_dir=DIR

The first is the paper's setting (256 × 256, the full UNet, batch 16, 100 epochs, Adam 1e-3, soft
Dice) with ten seeds and more paddings, for an accelerator. `:small` is for a CPU: 64 × 64, a narrow
UNet, 800 training images, three seeds, scored on the validation split. It took 13 min on 2 CPU
cores:

    padding / crop      Dice, whole   Dice, quarters   recall within 8 px   border shortcut index
    zeros / center      0.791         0.291            0.144                0.332 [0.131, 0.520]
    zeros / quarter     0.530         0.686            0.781                −0.082 [−0.171, 0.003]
    reflect / center    0.775         0.324            0.332                0.222 [0.143, 0.296]
    reflect / quarter   0.487         0.630            0.772                −0.052 [−0.097, −0.012]

Networks trained on whole frames lose 0.414 [0.239, 0.588] more recall at the border, relative to
the interior, than networks trained on quarters under zero padding, and 0.274 [0.218, 0.330] under
reflect padding; three seeds cannot make any of it significant.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

from jaxseg.errors import check_choice
from jaxseg.grid.sweeps import product

make = runpy.run_path(str(Path(__file__).with_name("base.py")))["make"]
VARIANTS = ("paper", "small")


def get_config(variant: str | None = None) -> ConfigDict:
    """What differs from the fields in base.py, by variant."""
    if check_choice("config variant", variant or "paper", VARIANTS) == "paper":
        data = {"name": "isic2017", "size": 256}
        return make("isic2017", data=data, net={"width": 64}, optim={"epochs": 100})
    data = {
        "name": "isic2017",
        "train_split": "train[:800]",
        "val_split": "train[1850:]",
        "test_split": "validation",
        "size": 64,
    }
    return make("isic2017_small", data=data)


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
