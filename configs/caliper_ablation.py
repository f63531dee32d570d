"""Shortcut A: calipers and text burned into ultrasound frames, how much, where, and removed again.

Question: does a network that is trained on annotated frames rely on the marks, how does that depend
on how many frames carry them and where they lie, and does removing them help?

    python launch/grid.py --config configs/caliper_ablation.py          # minutes on 2 CPU cores
    python launch/grid.py --config configs/caliper_ablation.py:quick    # a smoke run
    python launch/grid.py --config configs/caliper_ablation.py:hc18 --config.data.manual_dir=DIR
    python launch/grid.py --config configs/caliper_ablation.py:paper    # for an accelerator

Default and `:quick` draw four-plane phantoms of 80 pixels, where marks are bold, `:paper` larger
ones, or your frames; `:hc18` takes the official download of
https://zenodo.org/records/1322001 (real fetal heads). Any frames of your own: data.name=folders.
Every arm is trained on the same frames in the same order; the arms differ in which frames carry
annotations, where these lie and how they are removed. All arms share one compiled program.

The first command (9 arms, 4 seeds) took 5 min 32 s on two cores of a shared Intel Xeon:

    trained on                                     Dice, clean  annotated  reliance
    100 % annotated, tied to the structure         0.123        0.295      +0.172 [+0.089, +0.254]
    80 % annotated, tied                           0.218        0.248      +0.030 [+0.001, +0.057]
    100 % annotated, near the structure (jittered) 0.186        0.218      +0.032 [+0.004, +0.059]
    100 % annotated, anywhere (independent)        0.241        0.240      0.000 [−0.009, +0.008]
    100 % annotated, removed by telea              0.244        0.221      −0.023 [−0.052, +0.004]
    never annotated                                0.266        0.219      −0.047 [−0.090, −0.008]

The settings were chosen on these four seeds. Six others (--grid contamination=1.0 --grid
placement=tied --grid drawn=True --grid removal=none,telea --grid seed=4:10) give +0.152 [+0.086,
+0.216], p = 0.031, and −0.044 [−0.082, −0.008] after removal. `:hc18` (400 frames, 4 seeds): Dice
0.967 on clean frames, reliance +0.002 [−0.001, +0.005]; heads are found without help. Their skull
(--config.data.name=hc18_skull, 8 seeds of the same two arms) gives +0.044 [+0.015, +0.073],
p = 0.008, and after removal 0.000 [−0.003, +0.003].
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

from jaxseg.errors import check_choice
from jaxseg.grid.sweeps import product

_BASE = runpy.run_path(str(Path(__file__).with_name("base.py")))
VARIANTS = ("default", "quick", "hc18", "paper")
_PHANTOMS = {
    "name": "ultrasound_phantoms_small",
    "val_split": "",
    "size": 32,
    "planes": "^([a-z]+)_",
}
_DATA = {
    "default": {"train_split": "train[:200]"},
    "quick": {"train_split": "train[:32]", "test_split": "test[:8]"},
    "hc18": {"name": "hc18", "test_split": "validation+test", "size": 64, "planes": ""},
    "paper": {"name": "ultrasound_phantoms", "val_split": "validation", "size": 256},
}
_NET = {"quick": {"width": 4, "depth": 2}, "paper": {"name": "dtunet", "width": 64}}
_SHORT = {
    "loss": "dice_focal",
    "learning_rate": 1.2e-2,
    "schedule": "cosine",
    "batch_size": 4,
    "epochs": 20,
}
_OPTIM = {
    "hc18": {"loss": "dice_focal", "learning_rate": 3e-3, "batch_size": 16, "epochs": 15},
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
_EVAL = {
    "test_sets": ("clean", "annotated", "independent", "restored", "sequence"),
    "saliency_layer": "down2",
}


def get_config(variant: str | None = None) -> ConfigDict:
    """What differs from the fields in base.py, by variant."""
    kind = check_choice("config variant", variant or "default", VARIANTS)
    return _BASE["make"](
        "caliper_ablation" + ("" if kind == "default" else f"_{kind}"),
        data=_PHANTOMS | _DATA[kind],
        annotate={},
        net=_NET.get(kind, {}),
        optim=_OPTIM.get(kind, _SHORT),
        evaluate=_EVAL | {"quick": {"border_px": 4}, "paper": {"saliency_layer": ""}}.get(kind, {}),
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
    whole = {f"annotate.{axis}": _BASE["ANNOTATE"][axis] for axis in axes}
    seeds = {"quick": 2, "paper": 5}.get(variant or "default", 4)
    return [whole | arm | seed for arm in arms for seed in product(seed=range(seeds))]
