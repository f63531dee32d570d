"""Shortcut A: calipers and text burned into ultrasound frames, how much, where, and removed again.

python launch/grid.py --config configs/caliper_ablation.py          # minutes on 2 CPU cores
python launch/grid.py --config configs/caliper_ablation.py:quick    # a smoke run
python launch/grid.py --config configs/caliper_ablation.py:hc18 --config.data.manual_dir=DIR
python launch/grid.py --config configs/caliper_ablation.py:paper    # DTU-Net, for an accelerator

Default and `:quick` draw four-plane phantoms of 80 pixels, where marks are bold, `:paper` larger
ones, or your frames; `:hc18` takes the official download of
https://zenodo.org/records/1322001 (real fetal heads). Any frames of your own: data.name=folders.
Every arm is trained on the same frames in the same order; what differs is which of them carry
annotations, where these lie and what removes them. All arms share one compiled program.
"""

from ml_collections import ConfigDict

from jaxseg.errors import check_choice
from jaxseg.grid.prepared import READING
from jaxseg.grid.sweeps import product

VARIANTS = ("default", "quick", "hc18", "paper")

# What each variant changes; where it says nothing, the default's value holds.
_DATA = {
    "default": {"train_split": "train[:200]"},
    "quick": {"train_split": "train[:32]", "test_split": "test[:8]"},
    "hc18": {
        "name": "hc18",
        "test_split": "validation+test",
        "size": 64,
        "planes": "",
    },
    "paper": {"name": "ultrasound_phantoms", "val_split": "validation", "size": 256},
}
_ANNOTATE = {  # of training frames; test sets are the same for all
    "contamination": 1.0,  # share of frames with annotations
    "placement": "tied",  # to the structure's axes, jittered or independent of it
    "removal": "none",  # or telea, navier_stokes, black_box, noise, bilinear
    "drawn": True,  # False: placebo, the marks' places are removed from clean frames
    "colour": "yellow",  # or white, green
}
_NET = {
    "default": {},
    "quick": {"width": 4, "depth": 2},
    "hc18": {},
    "paper": {"name": "dtunet", "width": 64},
}
_EVAL = {
    "test_sets": ("clean", "annotated", "independent", "restored", "sequence"),
    "ring_width": 10.0,
    "border_px": 8,
    "empty": "nan",
    "resamples": 2000,
    "saliency_layer": "down2",  # empty: the encoder's last
}
_OPTIM = {
    "default": {},
    "quick": {},
    "hc18": {"schedule": "constant", "learning_rate": 3e-3, "batch_size": 16, "epochs": 15},
    "paper": {
        "loss": "dtu",
        "learning_rate": 1e-4,
        "schedule": "cosine",
        "weight_decay": 1e-6,
        "batch_size": 32,
        "epochs": 1000,
        "select": "best",
        "patience": 100,
    },
}


def get_config(variant: str | None = None) -> ConfigDict:
    """All fields of a run; configs/padding_ablation.py explains those that it has too."""
    kind = check_choice("config variant", variant or "default", VARIANTS)
    return ConfigDict(
        {
            "name": "caliper_ablation" + ("" if kind == "default" else f"_{kind}"),
            "seed": 0,
            "data": {
                "name": "ultrasound_phantoms_small",
                "manual_dir": "",
                "data_dir": "",
                "train_split": "train",
                "val_split": "",
                "test_split": "test",
                "size": 32,
                "crop": "center",
                "feed": "auto",
                "planes": "^([a-z]+)_",  # the standard plane in a frame's id; empty: one plane
                **READING,
            }
            | _DATA[kind],
            "annotate": _ANNOTATE,
            "net": {
                "name": "unet",  # or dtunet
                "width": 8,
                "depth": 4,
                "padding": "zeros",
                "upsampling": "align_corners",
                "norm": "batch",
                "dtype": "float32",
            }
            | _NET[kind],
            "optim": {
                "loss": "dice_focal",
                "learning_rate": 1.2e-2,
                "schedule": "cosine",  # or constant
                "weight_decay": 0.0,
                "batch_size": 4,
                "epochs": 20,
                "select": "last",
                "patience": 0,  # epochs without a better validation loss; 0: never stop early
            }
            | _OPTIM[kind],
            "eval": _EVAL
            | {"quick": {"border_px": 4}, "paper": {"saliency_layer": ""}}.get(kind, {}),
            "run": {"cells_per_device": 0, "checkpoint_epochs": 5},
        }
    )


def get_grid(variant: str | None = None) -> list[dict]:
    """Doses, placements, a removal and its placebo; all are compared with the first arm."""
    arms = [
        {"annotate.contamination": 1.0},
        *({"annotate.contamination": dose} for dose in (0.0, 0.2, 0.5, 0.8)),
        *({"annotate.placement": placement} for placement in ("jittered", "independent")),
        {"annotate.removal": "telea"},
        {"annotate.removal": "telea", "annotate.drawn": False},
    ]
    if variant == "quick":
        arms = [arms[0], arms[1], *arms[-2:]]
    axes = ("contamination", "placement", "removal", "drawn")
    whole = {f"annotate.{axis}": _ANNOTATE[axis] for axis in axes}
    seeds = {"quick": 2, "paper": 5}.get(variant or "default", 4)
    return [whole | arm | seed for arm in arms for seed in product(seed=range(seeds))]
