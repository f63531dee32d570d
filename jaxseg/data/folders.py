"""Any pair of images/ and masks/ directories as a data set. Imports TensorFlow Datasets."""

import tensorflow_datasets as tfds

from jaxseg.data.paired import PairedImages
from jaxseg.data.sources import SOURCES


class Folders(PairedImages):
    """`manual_dir`/images with `manual_dir`/masks as split train, or train/, validation/, test/."""

    VERSION = tfds.core.Version(SOURCES["folders"].version)
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir holds images/ and masks/ whose file stems match (a mask may add _mask, _segmentation
    or _gt), or train/, validation/ and test/ that each hold the two.
    """
