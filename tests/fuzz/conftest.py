"""Where the readers find the honest workdirs of other tests."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/studies"))
sys.path.append(str(ROOT / "tests/studies/annotations"))
