"""How numbers, metrics and comparisons are named in figures, page and terminal."""

import math

from jaxseg.metrics.paired import seeds_for_level
from jaxseg.metrics.verdict import ALPHA, NOT_SIGNIFICANT
from jaxseg.report.text import interval, number, p_text, plural
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow

METRICS = {
    ("border_shortcut_index", "inner-outer"): "border shortcut index",
    ("recall", "outer"): "recall at the border",
    ("recall", "inner"): "recall in the interior",
    ("dice", "all"): "Dice",
    ("dice_per_image", "all"): "Dice by image",
    ("reliance", "all"): "reliance",
    ("stability", "all"): "stability",
}


def metric_name(row: ContrastRow | EstimateRow) -> str:
    """Such as `recall at the border on quarter`, or `reliance (annotated − clean)`."""
    name = METRICS.get((row.metric, row.band), f"{row.metric} {row.band}")
    first, minus, second = row.test_set.rpartition("-")
    return f"{name} ({first} − {second})" if minus else f"{name} on {row.test_set}"


def short(axis: str) -> str:
    """The field's own name: `net.padding` is `padding`."""
    return axis.rsplit(".", 1)[-1]


def setting_text(results: Results, arm: str, without: tuple[str, ...] = ()) -> str:
    """`padding reflect, crop center`: the arm's values on all axes but those in `without`."""
    pairs = results.settings[arm].items()
    return ", ".join(f"{short(key)} {value}" for key, value in pairs if key not in without)


def label(results: Results, row: ContrastRow) -> str:
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


def verdict_text(row: ContrastRow) -> str:
    """The verdict, with why where nothing was shown: p, or what could have been shown."""
    if row.is_shown:
        return row.verdict
    if row.verdict == NOT_SIGNIFICANT:
        return f"{row.verdict} ({p_reason(row)})"
    could = could_text(row)
    return f"{row.verdict} ({could})" if could else row.verdict


def brief_verdict(row: ContrastRow) -> str:
    """`verdict_text` for all but the headline: what so few seeds cannot show is said there once."""
    return verdict_text(row) if row.p_floor <= ALPHA else row.verdict


def could_text(row: ContrastRow) -> str:
    """`6 seeds could have shown ≥ 0.087`, `4 seeds cannot show any`, or empty."""
    seeds, least = plural(row.n_seeds, "seed"), row.smallest_detectable
    if least == math.inf:
        return f"{seeds} cannot show any"
    return f"{seeds} could have shown ≥ {number(least)}" if least > 0 else ""


def p_reason(row: ContrastRow) -> str:
    """`4 seeds cannot give p below 0.125, 6 can reach 0.05`, or `p = 0.062`."""
    if row.p_floor <= ALPHA:
        return f"p = {p_text(row.p)}"
    seeds = plural(row.n_seeds, "seed")
    least = seeds_for_level(ALPHA)
    return f"{seeds} cannot give p below {p_text(row.p_floor)}, {least} can reach {ALPHA}"


def prominent(results: Results, rows: list[ContrastRow], limit: int) -> list[ContrastRow]:
    """At most `limit` rows of one metric: all if they fit, else those that touch the first arm."""
    if len(rows) <= limit:
        return rows
    first = [row for row in rows if results.arms[0] in row.arms]
    pairs = [row for row in first if row.kind == "pair"]
    others = [row for row in first if row.kind != "pair"]
    return [*pairs, *others][:limit]


def amount(row: ContrastRow) -> str:
    """The difference with its sign and interval."""
    return f"{number(row.difference, signed=True)} {interval(row.ci_low, row.ci_high, signed=True)}"


def abs_interval(row: ContrastRow) -> str:
    """The interval of a difference by its size: `[0.381, 0.442]` for either sign."""
    low, high = sorted((abs(row.ci_low), abs(row.ci_high)))
    return interval(low, high)
