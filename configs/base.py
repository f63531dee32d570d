"""All fields of a run: their meaning and default values.

A study is a config file with `get_config(variant)`, which changes some of these values, and
`get_grid(variant)`, a list of overlays, one a cell (see `jaxseg.grid.sweeps.product`). Every field
can be set as --config.<field>=<value>; what may vary between cells also as --grid <axis>=a,b.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

DATA = {
    "name": "lesion_phantoms",  # a data set; folders and isic2017 read images of yours
    "manual_dir": "",  # folder of images, where the data set requires one
    "data_dir": "",  # prepared arrays; empty: $JAXSEG_CACHE or ~/.cache/jaxseg
    "train_split": "train",
    "val_split": "validation",  # empty: none
    "test_split": "test",
    "size": 48,  # pixels of the network's frame
    "crop": "center",
    "feed": "auto",  # host (tf.data), device (no TensorFlow) or auto
    "pattern": "*",  # names of images to read, as in a shell
    "truth_pattern": "*",  # names of masks, such as *_Annotation.png
    "mask_threshold": 0.0,  # above 0: masks are soft, pixels from this share on are foreground
    "ignore_label": -1,  # label of pixels without loss and score; -1: none
    "several_masks": "join",  # how several masks of one picture are read: join, first or refuse
    "rehash": False,  # read every file again, even if its size and times are unchanged
}
NET = {
    "name": "unet",  # or dtunet, with optim.loss dtu
    "width": 8,
    "depth": 4,
    "padding": "zeros",
    "upsampling": "align_corners",
    "norm": "batch",
    "dtype": "float32",  # of activations and products: or bfloat16 (mixed precision)
}
OPTIM = {
    "loss": "dice",  # dice, dice_bce, bce, dice_focal, or dtu for a dtunet
    "learning_rate": 1e-3,
    "batch_size": 16,
    "epochs": 20,
    "weight_decay": 0.0,  # above 0: AdamW instead of Adam
    "schedule": "constant",  # or cosine: the learning rate falls to 0
    "select": "last",  # or best, on the validation split
    "patience": 0,  # epochs without a better validation loss that stop a cell; 0: never
}
EVAL = {
    "test_sets": ("full", "quarter", "random"),
    "ring_width": 10.0,  # of the paper's rings, pixels at 256 × 256
    "border_px": 8,  # the outer band, pixels of the network's frame
    "empty": "nan",  # Dice of an empty-empty case: nan (left out), one or smooth1
    "resamples": 2000,  # of the bootstrap
}
RUN = {
    "cells_per_device": 0,  # 0: one on CPU, measured elsewhere
    "checkpoint_epochs": 5,
}
# For studies of annotations only. These fields change training frames, not the test sets.
ANNOTATE = {
    "contamination": 1.0,  # share of frames with annotations
    "placement": "tied",  # to the structure's axes, jittered or independent of it
    "removal": "none",  # or telea, navier_stokes, black_box, noise, bilinear
    "drawn": True,  # False: placebo, the marks' places are removed from clean frames
    "colour": "yellow",  # or white, green
}


def make(
    name: str,
    *,
    data: Mapping[str, Any] = {},
    annotate: Mapping[str, Any] | None = None,
    net: Mapping[str, Any] = {},
    optim: Mapping[str, Any] = {},
    evaluate: Mapping[str, Any] = {},
) -> ConfigDict:
    """The fields of a run called `name`, with what is different in its sections.

    Two fields have no entry here unless they are set: `data.planes`, a regular expression whose
    group is the standard plane in a frame's id, and `eval.saliency_layer`, the layer at which
    saliency is measured (empty: the encoder's last).
    """
    return ConfigDict(
        {
            "name": name,
            "seed": 0,  # weights, order and boxes; the same seed is paired across arms
            "data": {**DATA, **data},
            **({} if annotate is None else {"annotate": {**ANNOTATE, **annotate}}),
            "net": {**NET, **net},
            "optim": {**OPTIM, **optim},
            "eval": {**EVAL, **evaluate},
            "run": RUN,
        }
    )
