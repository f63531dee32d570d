"""Asks a data set or a model whether a shortcut is at work: `jaxseg audit`, from a checkout.

python launch/audit.py dataset data/masks
"""

import sys

from jaxseg.cli import run

if __name__ == "__main__":
    run("audit", "audit.py", sys.argv[1:])
