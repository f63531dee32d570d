"""Lists, compares and exports the checkpoints of a grid: `jaxseg inspect`, from a checkout.

python launch/inspect_checkpoint.py runs/padding_ablation
"""

import sys

from jaxseg.cli import run

if __name__ == "__main__":
    run("inspect", "inspect_checkpoint.py", sys.argv[1:])
