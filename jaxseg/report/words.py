"""How numbers, metrics and comparisons are named in figures, page and terminal."""

import math

from jaxseg.metrics.paired import seeds_for_level
from jaxseg.report.comparisons import ALPHA, INDEX, NOT_SIGNIFICANT, Comparison
from jaxseg.report.results import Results
from jaxseg.report.tables import SummaryRow

MOST_DIGITS = 6
METRICS = {
    (INDEX, "inner-outer"): "border shortcut index",
    ("recall", "outer"): "recall at the border",
    ("recall", "inner"): "recall in the interior",
    ("dice", "all"): "Dice",
    ("dice_per_image", "all"): "Dice by image",
    ("reliance", "all"): "reliance",
    ("stability", "all"): "stability",
}


def metric_name(row: Comparison | SummaryRow) -> str:
    """Such as `recall at the border on quarter`, or `reliance (annotated − clean)`."""
    name = METRICS.get((row.metric, row.band), f"{row.metric} {row.band}")
    first, minus, second = row.test_set.rpartition("-")
    return f"{name} ({first} − {second})" if minus else f"{name} on {row.test_set}"


def number(value: float, digits: int = 3, signed: bool = False) -> str:
    """`0.412`, `−0.412`, `+0.412` when signed, `–` when not a number."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    # A rounded zero has no direction.
    text = text.lstrip("+-") if float(text) == 0 else text
    return text.replace("-", "−")


def interval(low: float, high: float, signed: bool = False, digits: int = 3) -> str:
    """`[0.381, 0.442]`, empty when there is no interval.

    A bound beside 0 has the digits it takes to see that 0 lies outside: `[0.00002, 0.005]`.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    told = [number(bound, _digits(bound, digits, low * high > 0), signed) for bound in (low, high)]
    return f"[{told[0]}, {told[1]}]"


def _digits(bound: float, digits: int, is_apart: bool) -> int:
    """The fewest from `digits` with which a bound apart from 0 is not rounded to it."""
    enough = (k for k in range(digits, MOST_DIGITS + 1) if round(bound, k) != 0)
    return next(enough, digits) if is_apart else digits


def p_text(p: float) -> str:
    """`0.031`, `<0.001`, `–` when not a number; `0.0502` where 0.050 would seem to be reached."""
    if not math.isfinite(p):
        return "–"
    if p < 0.001:
        return "<0.001"
    digits = (k for k in range(3, MOST_DIGITS + 1) if (round(p, k) <= ALPHA) == (p <= ALPHA))
    return f"{p:.{next(digits, 3)}f}"


def plural(n: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def short(axis: str) -> str:
    """The field's own name: `net.padding` is `padding`."""
    return axis.rsplit(".", 1)[-1]


def setting_text(results: Results, arm: str, without: tuple[str, ...] = ()) -> str:
    """`padding reflect, crop center`: the arm's values on all axes but those in `without`."""
    pairs = results.settings[arm].items()
    return ", ".join(f"{short(key)} {value}" for key, value in pairs if key not in without)


def label(results: Results, row: Comparison) -> str:
    """One line: `padding: reflect − zeros (crop center)`, or for an interaction
    `crop random − center: under padding reflect minus under zeros`."""
    a = results.settings[row.arm_a]
    if row.kind == "pair":
        b = results.settings[row.arm_b]
        rest = setting_text(results, row.arm_a, without=(row.axis,))
        what = f"{short(row.axis)}: {a[row.axis]} − {b[row.axis]}"
        return f"{what} ({rest})" if rest else what
    x, y = row.axis.split(" x ")
    d = results.settings[row.arm_d]
    rest = setting_text(results, row.arm_a, without=(x, y))
    what = f"{short(y)} {a[y]} − {d[y]}: under {short(x)} {a[x]} minus under {d[x]}"
    return f"{what} ({rest})" if rest else what


def verdict_text(row: Comparison) -> str:
    """The verdict, with why where nothing was shown: p, or what could have been shown."""
    if row.is_shown:
        return row.verdict
    if row.verdict == NOT_SIGNIFICANT:
        return f"{row.verdict} ({p_reason(row)})"
    could = could_text(row)
    return f"{row.verdict} ({could})" if could else row.verdict


def brief_verdict(row: Comparison) -> str:
    """`verdict_text` for all but the headline: what so few seeds cannot show is said there once."""
    return verdict_text(row) if row.p_floor <= ALPHA else row.verdict


def could_text(row: Comparison) -> str:
    """`6 seeds could have shown ≥ 0.087`, `4 seeds cannot show any`, or empty."""
    seeds, least = plural(row.n_seeds, "seed"), row.smallest_detectable
    if least == math.inf:
        return f"{seeds} cannot show any"
    return f"{seeds} could have shown ≥ {number(least)}" if least > 0 else ""


def p_reason(row: Comparison) -> str:
    """`4 seeds cannot give p below 0.125, 6 can reach 0.05`, or `p = 0.062`."""
    if row.p_floor <= ALPHA:
        return f"p = {p_text(row.p)}"
    seeds = plural(row.n_seeds, "seed")
    least = seeds_for_level(ALPHA)
    return f"{seeds} cannot give p below {p_text(row.p_floor)}, {least} can reach {ALPHA}"


def prominent(results: Results, rows: list[Comparison], limit: int) -> list[Comparison]:
    """At most `limit` rows of one metric: all if they fit, else those that touch the first arm."""
    if len(rows) <= limit:
        return rows
    first = [row for row in rows if results.arms[0] in row.arms]
    pairs = [row for row in first if row.kind == "pair"]
    others = [row for row in first if row.kind != "pair"]
    return [*pairs, *others][:limit]
