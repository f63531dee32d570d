"""What a reader should hold against the numbers: few seeds, lost cells, mixed causes."""

import math
from collections.abc import Iterator, Sequence

from jaxseg.escape import printable
from jaxseg.report.comparisons import ALPHA, HIGHER, INDEX, LOWER, Comparison, families
from jaxseg.report.results import Results
from jaxseg.report.tables import SummaryRow
from jaxseg.report.words import metric_name, p_text, plural

MAX_NAMED = 10
# A best Dice below it: networks have hardly learnt to segment, by any cue.
LITTLE_LEARNT = 0.2


def cautions(
    results: Results, rows: Sequence[SummaryRow], comparisons: Sequence[Comparison]
) -> list[str]:
    """Sentences without markup, most general first."""
    return [
        *seed_cautions(comparisons, rows),
        *_hollow_indices(comparisons),
        *data_cautions(results),
        *_design_cautions(results),
        *learning_cautions([row for row in rows if (row.metric, row.band) == ("dice", "all")]),
        *left_out_cautions(results),
        *condition_cautions(results),
    ]


def seed_cautions(comparisons: Sequence[Comparison], rows: Sequence[SummaryRow]) -> Iterator[str]:
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
        yield (
            f"With {fewest} paired seeds{' (the fewest of any comparison)' * (most > fewest)} the "
            f"sign-flip p cannot be below {p_text(floor)}, whatever the networks do, so "
            "nothing here is called significant; 6 seeds are the fewest that can reach 0.05 (the "
            "same command with more seeds trains only those that are missing)."
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


def _undefined(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for family in families(comparisons):
        lost = sum(row.n_seeds == 0 for row in family)
        if lost:
            yield (
                f"{metric_name(family[0]).capitalize()} has no value in {lost} of {len(family)} "
                "comparisons: no true pixel lies there, so nothing is said about it."
            )


def _hollow_indices(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """An index also falls when recall in the interior does."""
    higher = {
        (row.arms, row.test_set)
        for row in comparisons
        if (row.metric, row.band, row.verdict) == ("recall", "outer", HIGHER)
    }
    hollow = [
        f"{row.arm_a} against {row.arm_b}"
        for row in comparisons
        if (row.kind, row.metric, row.verdict) == ("pair", INDEX, LOWER)
        and (row.arms, row.test_set) not in higher
    ]
    if hollow:
        more = f" and {len(hollow) - MAX_NAMED} more" if len(hollow) > MAX_NAMED else ""
        yield (
            "The index is lower, but recall at the border is not shown to be higher, in "
            f"{', '.join(hollow[:MAX_NAMED])}{more}: it can have fallen with recall in the "
            "interior, which is no cure."
        )


def _design_cautions(results: Results) -> Iterator[str]:
    crops = results.axes.get("data.crop", [])
    if "center" in crops and len(crops) > 1 and "center_same_scale" not in crops:
        yield (
            "Crop center shows whole frames; the other crops also enlarge what they show, up to "
            "twofold. Their differences mix position with magnification; the crop "
            "center_same_scale tells the two apart."
        )
    one_upsampling = "net.padding" in results.axes and "net.upsampling" not in results.axes
    if one_upsampling and results.fields.net.upsampling == "align_corners":
        yield (
            "Up-sampling was align_corners in every arm. It carries position as well, and this "
            "grid does not tell how much: vary net.upsampling to see."
        )
    if results.probe == "full":
        yield "Judged on full frames, where few objects reach the border; add the quarter test set."


def data_cautions(results: Results) -> list[str]:
    """What the run itself has said of its images and masks."""
    return [printable(str(line)) for line in results.data.get("cautions") or []]


def learning_cautions(rows: Sequence[SummaryRow]) -> Iterator[str]:
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
