"""Cautions that any grid may need: few seeds, lost cells, little learnt, mixed conditions."""

import math
from collections.abc import Iterator, Sequence

from jaxseg.errors import printable
from jaxseg.metrics.verdict import ALPHA
from jaxseg.report.text import p_text, plural
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, families
from jaxseg.studies.wording import metric_name

MAX_NAMED = 10
# A best Dice below it: networks have hardly learnt to segment, by any cue.
LITTLE_LEARNT = 0.2


def seed_cautions(comparisons: Sequence[ContrastRow], rows: Sequence[EstimateRow]) -> Iterator[str]:
    """What so few seeds cannot show, of any comparisons."""
    if not comparisons:
        if rows and max(row.n_seeds for row in rows) == 1:
            yield "One seed: intervals cover the images only, not the luck of a training run."
        return
    defined = [row for row in comparisons if row.n_seeds > 0]
    yield from _undefined(comparisons)
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


def _undefined(comparisons: Sequence[ContrastRow]) -> Iterator[str]:
    for family in families(comparisons):
        lost = sum(row.n_seeds == 0 for row in family)
        if lost:
            yield (
                f"{metric_name(family[0]).capitalize()} has no value in {lost} of {len(family)} "
                "comparisons: no true pixel lies there, so nothing is said about it."
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
    """Cells of which no number of the report knows."""
    lost = results.left_out
    if not lost:
        return
    named = [f"{c.name} ({c.status}{': ' + c.message if c.message else ''})" for c in lost]
    more = f" and {len(lost) - MAX_NAMED} more (cells.csv)" if len(lost) > MAX_NAMED else ""
    yield (
        f"Left out: {len(lost)} of {plural(len(results.cells), 'cell')}: "
        f"{', '.join(named[:MAX_NAMED])}{more}. Arms are compared on the seeds both have."
    )
    if any(cell.status == "diverged" for cell in lost):
        yield "Leaving out diverged runs can make their arm look better than it trained."
    gone = list(dict.fromkeys(cell.arm for cell in lost if cell.arm not in results.arms))
    if gone:
        yield f"No cell finished, so no number is given: {', '.join(gone)}."


def condition_cautions(results: Results) -> Iterator[str]:
    """That not all cells were trained under the same versions and flags, as config.json tells."""
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
