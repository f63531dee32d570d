"""What the tests of runs read back, and the pair of cells they train."""

import csv
import json

import numpy as np

from jaxseg.grid.sweeps import product

PAIR = product(learning_rate=(1e-2, 5e-2))  # one chunk on the two devices of the tests


def read_counts(workdir):
    """Every stored array by file and name."""
    stored = {}
    for path in sorted((workdir / "counts").glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            stored |= {f"{path.stem}/{name}": arrays[name] for name in arrays.files}
    return stored


def read_rows(workdir):
    """Rows of cells.csv by cell."""
    with (workdir / "cells.csv").open() as file:
        return {row["cell"]: row for row in csv.DictReader(file)}


def read_metrics(workdir):
    """Rows of metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_equal(got, expected):
    """The same names with bit-identical arrays, some of which hold true positives."""
    assert got.keys() == expected.keys()
    assert any(values[..., 0].any() for name, values in got.items() if name.endswith(".centre"))
    for name, values in got.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
