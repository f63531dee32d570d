"""Trains a grid and writes its report: `jaxseg grid`, from a checkout.

python launch/grid.py --config configs/padding_ablation.py
"""

import sys

from jaxseg.cli import run

if __name__ == "__main__":
    run("grid", "grid.py", sys.argv[1:])
