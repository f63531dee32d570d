"""How numbers, metrics and comparisons are named, and the cautions that any grid may need."""

import math
from collections.abc import Iterator, Sequence

from jaxseg.errors import printable
from jaxseg.metrics.paired import seeds_for_level
from jaxseg.metrics.verdict import ALPHA, NOT_SIGNIFICANT
from jaxseg.report.text import interval, number, p_text, plural
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, families

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


def setting_text(results: Results, arm: str, without: tuple[str, ...]) -> str:
    """`padding reflect, crop center`: the arm's values on all axes but those in `without`."""
    pairs = results.settings[arm].items()
    return ", ".join(f"{short(key)} {value}" for key, value in pairs if key not in without)


def label(results: Results, row: ContrastRow) -> str:
    """One line: `padding: reflect − zeros (crop center)`, or for an interaction
    `crop random − center: under padding reflect minus under zeros`."""
    axes = tuple(row.axis.split(" x "))
    a, last = results.settings[row.arm_a], results.settings[row.arms[-1]]
    if row.kind == "pair":
        what = f"{short(row.axis)}: {a[row.axis]} − {last[row.axis]}"
    else:
        x, y = axes
        what = f"{short(y)} {a[y]} − {last[y]}: under {short(x)} {a[x]} minus under {last[x]}"
    rest = setting_text(results, row.arm_a, without=axes)
    return f"{what} ({rest})" if rest else what


def verdict_text(row: ContrastRow) -> str:
    """The verdict, with why where nothing was shown: `p = 0.062`, `4 seeds cannot give p below
    0.125, 6 can reach 0.05`, or what could have been shown."""
    if row.is_shown:
        return row.verdict
    if row.verdict != NOT_SIGNIFICANT:
        why = could_text(row)
    elif row.p_floor <= ALPHA:
        why = f"p = {p_text(row.p)}"
    else:
        why = (
            f"{plural(row.n_seeds, 'seed')} cannot give p below {p_text(row.p_floor)}, "
            f"{seeds_for_level(ALPHA)} can reach {ALPHA}"
        )
    return f"{row.verdict} ({why})" if why else row.verdict


def brief_verdict(row: ContrastRow) -> str:
    """`verdict_text` for all but the headline: what so few seeds cannot show is said there once."""
    return verdict_text(row) if row.p_floor <= ALPHA else row.verdict


def could_text(row: ContrastRow) -> str:
    """`6 seeds could have shown ≥ 0.087`, `4 seeds cannot show any`, or empty."""
    seeds, least = plural(row.n_seeds, "seed"), row.smallest_detectable
    if least == math.inf:
        return f"{seeds} cannot show any"
    return f"{seeds} could have shown ≥ {number(least)}" if least > 0 else ""


def prominent(results: Results, rows: list[ContrastRow], limit: int) -> list[ContrastRow]:
    """At most `limit` rows of one metric: all if they fit, else those that touch the first arm."""
    if len(rows) <= limit:
        return rows
    first = [row for row in rows if results.arms[0] in row.arms]
    return sorted(first, key=lambda row: row.kind != "pair")[:limit]


def amount(row: ContrastRow) -> str:
    """The difference with its sign and interval."""
    return f"{number(row.difference, signed=True)} {interval(row.ci_low, row.ci_high, signed=True)}"


def abs_interval(row: ContrastRow) -> str:
    """The interval of a difference by its size: `[0.381, 0.442]` for either sign."""
    low, high = sorted((abs(row.ci_low), abs(row.ci_high)))
    return interval(low, high)


MAX_NAMED = 10
# A best Dice below it: networks have hardly learnt to segment, by any cue.
LITTLE_LEARNT = 0.2


def listed(names: Sequence[str], where: str = "") -> str:
    """`a, b`; of more than MAX_NAMED the first ones, how many more there are, and `where`."""
    more = f" and {len(names) - MAX_NAMED} more{where}" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def seed_cautions(comparisons: Sequence[ContrastRow], rows: Sequence[EstimateRow]) -> Iterator[str]:
    """What so few seeds cannot show, of any comparisons."""
    if not comparisons:
        if rows and max(row.n_seeds for row in rows) == 1:
            yield "One seed: intervals cover the images only, not the luck of a training run."
        return
    for family in families(comparisons):
        lost = sum(row.n_seeds == 0 for row in family)
        if lost:
            yield (
                f"{metric_name(family[0]).capitalize()} has no value in {lost} of {len(family)} "
                "comparisons: no true pixel lies there, so nothing is said about it."
            )
    defined = [row for row in comparisons if row.n_seeds > 0]
    if not defined:
        return
    weakest = min(defined, key=lambda row: row.n_seeds)
    fewest, floor = weakest.n_seeds, weakest.p_floor
    most = max(row.n_seeds for row in defined)
    if fewest == 1:
        yield (
            "One paired seed: intervals cover the images only, and one run cannot separate an arm "
            "from the luck of its training, so no difference is called shown."
        )
    elif floor > ALPHA:
        fewest_of = " (the fewest of any comparison)" if most > fewest else ""
        yield (
            f"With {fewest} paired seeds{fewest_of} the sign-flip p is at least {p_text(floor)}, "
            "so nothing here is called significant; p ≤ 0.05 requires 6 seeds (the same command "
            "with more seeds adds only those that are missing)."
        )
    family = max(len(family) for family in families(comparisons))
    floor = min(row.p_floor for row in defined if row.n_seeds == most)
    if most > 1 and family > 1 and floor * family > ALPHA:
        needed = math.ceil(1 + math.log2(family / ALPHA))
        yield (
            f"Corrected (Holm) over the {family} comparisons of one metric, p cannot be below "
            f"{p_text(min(1.0, floor * family))} here; {needed} seeds would allow 0.05. The "
            "verdicts rest on the interval and p of each comparison, which are not corrected."
        )


def data_cautions(results: Results) -> list[str]:
    """What the run itself has said of its images and masks."""
    return [printable(str(line)) for line in results.data.get("cautions") or []]


def learning_cautions(rows: Sequence[EstimateRow]) -> Iterator[str]:
    """Where no network segments; `rows` are the Dice of whole test sets, of all arms."""
    best = max((row.value for row in rows if math.isfinite(row.value)), default=math.nan)
    if best < LITTLE_LEARNT:
        yield (
            f"No arm reaches a Dice of {LITTLE_LEARNT} on any test set (best: {best:.3f}): the "
            "networks have hardly learnt to segment, and little can be said of what they use."
        )


def left_out_cautions(results: Results) -> Iterator[str]:
    """Cells that no number of the report contains."""
    lost = results.left_out
    if not lost:
        return
    named = [f"{c.name} ({c.status}{': ' + c.message if c.message else ''})" for c in lost]
    yield (
        f"Left out: {len(lost)} of {plural(len(results.cells), 'cell')}: "
        f"{listed(named, ' (cells.csv)')}. Arms are compared on the seeds both have."
    )
    if any(cell.status == "diverged" for cell in lost):
        yield "Leaving out diverged runs can make their arm look better than it trained."
    gone = list(dict.fromkeys(cell.arm for cell in lost if cell.arm not in results.arms))
    if gone:
        yield f"No cell finished, so no number is given: {', '.join(gone)}."


def condition_cautions(results: Results) -> Iterator[str]:
    """That not all cells were trained under the same versions and flags, as config.json says."""
    kept = results.environment.get("conditions")
    runs = [run for run in kept if isinstance(run, dict)] if isinstance(kept, list) else []
    names = dict.fromkeys(name for run in runs for name in run)
    differing = [printable(n) for n in names if len({str(run.get(n)) for run in runs}) > 1]
    if differing:
        yield (
            f"Cells were trained under different {', '.join(differing[:MAX_NAMED])} "
            "(`conditions` in config.json): cells of one seed may differ in their last digits for "
            "that alone."
        )
