"""Rounding must not hide on which side of a threshold a number lies."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxseg.metrics.verdict import ALPHA
from jaxseg.report.text import interval, p_text


@pytest.mark.parametrize(
    "low, high, signed, told",
    [
        (0.381, 0.442, False, "[0.381, 0.442]"),
        (0.00002, 0.0046, True, "[+0.00002, +0.005]"),
        (-0.0046, -0.00002, False, "[−0.005, −0.00002]"),
        (-0.0002, 0.0046, True, "[0.000, +0.005]"),  # holds 0
        (0.0, 0.0046, False, "[0.000, 0.005]"),
        (1e-12, 0.0046, False, "[0.000, 0.005]"),
        (math.nan, 0.1, False, ""),
    ],
)
def test_an_interval_beside_zero_is_seen_to_leave_it_out(low, high, signed, told):
    assert interval(low, high, signed) == told


@pytest.mark.parametrize(
    "p, told",
    [
        (0.03125, "0.031"), (0.05, "0.050"), (0.0502, "0.0502"), (0.0496, "0.050"),
        (0.0004, "<0.001"), (1.0, "1.000"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_p_is_printed_on_its_side_of_the_level(p, told):
    assert p_text(p) == told


@given(st.floats(0.001, 1.0))
def test_no_rounded_p_changes_its_side(p):
    if abs(p - ALPHA) > 1e-6:
        assert (float(p_text(p)) <= ALPHA) == (p <= ALPHA)
