import math

import pytest

from jaxseg.metrics import verdict as v


def word(low, high, p):
    return v.judge(low, high, p, unit="seeds").word


def test_a_verdict_takes_the_interval_and_the_exact_test():
    assert word(0.1, 0.2, 0.03) == v.HIGHER and word(-0.2, -0.1, 0.05) == v.LOWER
    assert word(0.1, 0.2, 0.0625) == v.NOT_SIGNIFICANT
    assert word(-0.1, 0.2, 0.03) == v.NO_DIFFERENCE
    assert word(0.1, 0.2, math.nan) == word(math.nan, math.nan, 0.03) == v.NO_DIFFERENCE


@pytest.mark.parametrize("unit, scope", [("seeds", "across seeds"), ("images", "one model")])
def test_a_verdict_names_what_was_sampled(unit, scope):
    assert scope in v.judge(0.1, 0.2, None, unit=unit).scope
