"""Real images for tests: a folder that the environment variable JAXSEG_TEST_DATA names.

It holds isic2017, hc18 and busi as they are downloaded, or parts of them.
"""

import os
import pathlib

import pytest


def real_folder() -> pathlib.Path:
    """The folder of real images; skips the test where there is none."""
    named = os.environ.get("JAXSEG_TEST_DATA")
    if not named or not (pathlib.Path(named) / "isic2017").is_dir():
        pytest.skip("JAXSEG_TEST_DATA names no folder of real images")
    return pathlib.Path(named)
