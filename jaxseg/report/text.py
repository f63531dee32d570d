"""How numbers, intervals and p are written, on pages and on terminals."""

import math

from jaxseg.metrics.bootstrap import Estimate
from jaxseg.metrics.verdict import ALPHA

MOST_DIGITS = 6
MISSING = "–"


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """`0.412`, `−0.412`, `+0.412` when signed, `–` when not a number."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    # A rounded zero has no direction.
    text = text.lstrip("+-") if float(text) == 0 else text
    return text.replace("-", "−")


def interval(low: float, high: float, signed: bool = False, digits: int = 3) -> str:
    """`[0.381, 0.442]`, empty when there is no interval.

    A bound beside 0 has enough digits to show that 0 lies outside: `[0.00002, 0.005]`.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""

    def bound(value: float) -> str:
        enough = (k for k in range(digits, MOST_DIGITS + 1) if round(value, k) != 0)
        return number(value, next(enough, digits) if low * high > 0 else digits, signed)

    return f"[{bound(low)}, {bound(high)}]"


def with_interval(
    value: float, low: float, high: float, signed: bool = False, digits: int = 3
) -> str:
    """`0.412 [0.381, 0.442]`."""
    return f"{number(value, digits, signed)} {interval(low, high, signed, digits)}".strip()


def estimate_text(estimate: Estimate, signed: bool = False) -> str:
    """`0.412 [0.381, 0.442]`."""
    return with_interval(estimate.value, estimate.low, estimate.high, signed)


def p_text(p: float) -> str:
    """`0.031`, `<0.001`, `–` when not a number; `0.0502` where 0.050 would seem to be reached."""
    if not math.isfinite(p):
        return MISSING
    if p < 0.001:
        return "<0.001"
    digits = (k for k in range(3, MOST_DIGITS + 1) if (round(p, k) <= ALPHA) == (p <= ALPHA))
    return f"{p:.{next(digits, 3)}f}"


def plural(n: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def percent(value: float) -> str:
    """`31 %`."""
    return f"{100 * value:.0f} %"


def duration(seconds: float) -> str:
    """`4 min 9 s`, `1 h 12 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
