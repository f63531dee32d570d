"""HC18, fetal head circumference (van den Heuvel et al. 2018, CC-BY 4.0). Imports TFDS."""

from typing import Any

import tensorflow_datasets as tfds

from jaxseg.data.outlines import outline_mask, rim
from jaxseg.data.paired import PairedImages
from jaxseg.data.pairs import Pair
from jaxseg.data.sources import SOURCES


class Hc18(PairedImages):
    """The frames that have outlines, split 80/10/10 by subject; masks are the filled outlines."""

    VERSION = tfds.core.Version(SOURCES["hc18"].version)
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Unpack https://zenodo.org/records/1322001 into manual_dir, names unchanged: training_set holds
    010_HC.png with its outline 010_HC_Annotation.png, and so on. Nothing else is read.
    """

    def _class_mask(self, pair: Pair) -> Any:
        return outline_mask(super()._class_mask(pair), pair.masks[0])


class Hc18Skull(Hc18):
    """The same frames with a thin structure: the skull, the rim of the head's ellipse."""

    VERSION = tfds.core.Version(SOURCES["hc18_skull"].version)

    def _class_mask(self, pair: Pair) -> Any:
        return rim(super()._class_mask(pair))
