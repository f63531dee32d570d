"""Measures shortcuts in a data set, predictions or a model: `jaxseg audit`, from a checkout.

python launch/audit.py dataset data/masks
"""

import sys

from jaxseg.cli import run

if __name__ == "__main__":
    run("audit", "audit.py", sys.argv[1:])
