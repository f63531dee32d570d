"""ISIC 2017 task 1, lesion segmentation (Codella et al. 2018, CC-0). Imports TFDS."""

import tensorflow_datasets as tfds

from jaxseg.data.paired import PairedImages
from jaxseg.data.sources import SOURCES


class Isic2017(PairedImages):
    """The official train, validation and test splits, those of them that are below `manual_dir`."""

    VERSION = tfds.core.Version(SOURCES["isic2017"].version)
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Unpack from https://challenge.isic-archive.com/data/#2017 into manual_dir, names unchanged:
    ISIC-2017_Training_Data, ISIC-2017_Training_Part1_GroundTruth, and likewise
    ISIC-2017_Validation_... and ISIC-2017_Test_v2_... . Splits that are absent are not built.
    """
