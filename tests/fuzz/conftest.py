"""Where the doors find the launchers and the honest workdirs of other tests."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path += [str(ROOT / "launch"), str(ROOT / "tests/studies")]
