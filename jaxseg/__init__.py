"""jaxseg: measure shortcut learning in medical image segmentation with fast ablation grids."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; `_HOMES` says the same to a running program
    from jaxseg.data.annotations import draw_annotations
    from jaxseg.data.annotations.removal import remove_annotations
    from jaxseg.data.crops import crop_box
    from jaxseg.grid.loading import export_cell, load_cell, load_export
    from jaxseg.grid.run import run_grid
    from jaxseg.metrics.bands import band_counts, border_rings, square_rings
    from jaxseg.metrics.dice import dice
    from jaxseg.metrics.statistics import contrast
    from jaxseg.nets.dtunet import DTUNet
    from jaxseg.nets.padding import PADDING_MODES, pad
    from jaxseg.nets.unet import UNet

__version__ = "0.2.0"
__docformat__ = "google"
__all__ = [
    "PADDING_MODES",
    "DTUNet",
    "UNet",
    "__version__",
    "band_counts",
    "border_rings",
    "contrast",
    "crop_box",
    "dice",
    "draw_annotations",
    "export_cell",
    "load_cell",
    "load_export",
    "pad",
    "remove_annotations",
    "run_grid",
    "square_rings",
]

_HOMES = {
    "UNet": "jaxseg.nets.unet",
    "DTUNet": "jaxseg.nets.dtunet",
    "pad": "jaxseg.nets.padding",
    "PADDING_MODES": "jaxseg.nets.padding",
    "crop_box": "jaxseg.data.crops",
    "draw_annotations": "jaxseg.data.annotations",
    "remove_annotations": "jaxseg.data.annotations.removal",
    "square_rings": "jaxseg.metrics.bands",
    "border_rings": "jaxseg.metrics.bands",
    "band_counts": "jaxseg.metrics.bands",
    "dice": "jaxseg.metrics.dice",
    "contrast": "jaxseg.metrics.statistics",
    "run_grid": "jaxseg.grid.run",
    "load_cell": "jaxseg.grid.loading",
    "export_cell": "jaxseg.grid.loading",
    "load_export": "jaxseg.grid.loading",
}


def __getattr__(name: str) -> Any:
    # Looked up on first use and kept: `import jaxseg` alone starts neither JAX nor Orbax.
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxseg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
