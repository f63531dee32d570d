"""The rule that turns an interval and a p into a verdict, on every page and in every table."""

import math
from typing import Literal, NamedTuple

ALPHA = 0.05
HIGHER, LOWER = "higher", "lower"
NOT_SIGNIFICANT = "not significant"
NO_DIFFERENCE = "no difference shown"

Unit = Literal["seeds", "images"]
UNITS: dict[Unit, str] = {"seeds": "across seeds", "images": "across images of one model"}


class Verdict(NamedTuple):
    """`word` is HIGHER, LOWER, NOT_SIGNIFICANT or NO_DIFFERENCE; `unit` is what was sampled."""

    word: str
    unit: Unit

    @property
    def is_shown(self) -> bool:
        """Whether the word is HIGHER or LOWER."""
        return self.word in (HIGHER, LOWER)

    @property
    def scope(self) -> str:
        """`across seeds` or `across images of one model`: what the verdict generalises to."""
        return UNITS[self.unit]


def judge(low: float, high: float, p: float | None, *, unit: Unit) -> Verdict:
    """The verdict on a difference from its 95 % interval and the p of the same units.

    HIGHER or LOWER when the interval excludes 0 and p is at most ALPHA. NOT_SIGNIFICANT when the
    interval alone excludes 0: fewer than 6 seeds can show no more, because their exact p is always
    above ALPHA, while the interval assumes that seeds are spread normally. Else NO_DIFFERENCE, as
    for one seed (p is NaN) whatever its interval: two runs of one arm differ as well.

    Args:
      low, high: the ends of the interval; NaN where there is none.
      p: exact p; None where the interval alone judges (images of one model).
      unit: `seeds` or `images`, the units that were resampled.
    """
    excludes_zero = low > 0 or high < 0
    if not excludes_zero or (p is not None and math.isnan(p)):
        return Verdict(NO_DIFFERENCE, unit)
    if p is not None and p > ALPHA:
        return Verdict(NOT_SIGNIFICANT, unit)
    return Verdict(HIGHER if low > 0 else LOWER, unit)
