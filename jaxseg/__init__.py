"""jaxseg: measure shortcut learning in medical image segmentation with fast ablation grids."""

import importlib
from typing import Any

__version__ = "0.1.0"
__docformat__ = "google"

_HOMES = {
    "UNet": "jaxseg.nets.unet",
    "pad": "jaxseg.nets.padding",
    "PADDING_MODES": "jaxseg.nets.padding",
    "crop_box": "jaxseg.data.crops",
    "draw_annotations": "jaxseg.data.annotations",
    "remove_annotations": "jaxseg.data.removal",
    "square_rings": "jaxseg.metrics.bands",
    "border_rings": "jaxseg.metrics.bands",
    "band_counts": "jaxseg.metrics.bands",
    "dice": "jaxseg.metrics.dice",
    "load_cell": "jaxseg.grid.loading",
    "export_cell": "jaxseg.grid.loading",
    "load_export": "jaxseg.grid.loading",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # Looked up on first use and kept: `import jaxseg` alone starts neither JAX nor Orbax.
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxseg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
