"""The sections that the page of any grid has, whatever its study asks."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxseg.command_line import start_of
from jaxseg.report.section import Figure, Label, Measure, Section, Table
from jaxseg.report.text import duration, number, p_text, plural
from jaxseg.studies.grid_figures import Look, forest, grid_look, learning_curves, panels_note
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, families
from jaxseg.studies.wording import label, metric_name, prominent

MAX_ROWS = 24
TERMINAL_ROWS = 12
CITATION = (
    "Lin M., Weng N., Mikolaj K., Bashir Z., Svendsen M. B. S., Tolsgaard M., Christensen A. N., "
    "Feragen A.: Shortcut Learning in Medical Image Segmentation. MICCAI 2024, arXiv 2403.06748."
)
RULE = (
    "Each value is compared with the first value of its axis, all else equal. Differences are "
    "paired by seed, and verdicts hold across seeds. “Higher” and “lower”: the interval excludes 0 "
    "and p is at most 0.05. “Not significant”: only the interval excludes 0."
)
COLUMNS = ("Comparison", "Difference", "p", "p (Holm)", "Seeds", "Could have shown")
COLUMNS += ("Seeds needed", "Verdict")
# Terms that every grid needs; see `terms_section`.
TERMS = {
    "arm": "All training runs with equal settings except the seed.",
    "cell": "One training run: one arm, one seed.",
    "interval": "95 % interval over images and seeds: images are resampled (crops of one image "
    "together), seeds enter through Student's t. With one seed it covers images only.",
    "paired": "The same seed sees the same training images in the same order in every arm, so arms "
    "are compared seed by seed.",
    "p": "Exact sign-flip test over the seeds. With n seeds it cannot be below 2 / 2ⁿ.",
    "shown, not significant": "Shown: the interval excludes 0 and p is at most 0.05. Not "
    "significant: the interval excludes 0 and p is above; with fewer than 6 seeds it always is.",
    "across seeds": "A verdict says what to expect of networks trained anew with other seeds on "
    "the same training images.",
    "p (Holm)": "p corrected for all comparisons of one metric on one test set.",
    "could have shown": "The smallest true difference that would be shown with 80 % power by this "
    "many seeds and images, from the spread seen here; none with fewer than 6 seeds.",
    "seeds needed": "Seeds that would show a difference as large as the one seen with 80 % power, "
    "on as many images. More than 1000 also means: more test images are needed first.",
}


def estimate_field(row: EstimateRow | None, *, signed: bool = False, below: str = "") -> Any:
    """A number with its interval as a field of a table; None without a row."""
    if row is None:
        return None
    return Measure(row.value, row.ci_low, row.ci_high, signed=signed, below=below)


def comparison_section(
    results: Results,
    contrasts: Sequence[ContrastRow],
    *,
    lead_metric: str,
) -> Section:
    """Forest plot and one table a family of `contrasts`, pairs and interactions.

    A terminal shows those of `lead_metric` alone.
    """
    drawn = forest(results, contrasts)
    if drawn is None:
        text = "No two arms with a common seed differ in one axis only."
        return Section("comparisons", "Comparisons", text=[text])
    figure = Figure(
        "comparisons",
        "Differences with 95 % intervals, paired by seed.",
        "Forest plot of the differences between arms with 95 % intervals",
        drawn,
    )
    tables = [_family_table(results, family) for family in families(contrasts)]
    lead = [row for row in contrasts if row.metric == lead_metric]
    tables += [_terminal_table(results, lead)] if lead else []
    return Section(
        "comparisons",
        "Comparisons",
        text=[RULE],
        figures=[figure],
        tables=tables,
        files=["comparisons.csv"],
    )


def learning_curves_section(results: Results, look: Look | None = None) -> Section:
    """Losses and scores by epoch; `look` is that of any grid where none is given."""
    own = grid_look(results)
    drawn = learning_curves(results, look or own)
    if drawn is None:
        return Section("learning_curves", "Learning curves")
    note = "" if look else panels_note(results, own)
    figure = Figure(
        "learning_curves",
        f"Thin: one cell. Bold: mean of the arm's finished cells.{note}",
        "Line plots of training loss and validation scores by epoch",
        drawn,
    )
    return Section("learning_curves", "Learning curves", figures=[figure])


def run_section(results: Results) -> Section:
    """What was run: data, amount, machine, files and every setting."""
    done = sum(cell.status == "done" for cell in results.cells)
    facts: dict[str, Any] = {}
    if results.data:
        facts["Data"] = results.data.get("description") or results.data.get("name", "")
        facts["Masks"] = str(results.data.get("masks", "")).removeprefix("masks: ")
        vary = "data.train_split" in results.axes
        facts["Training images"] = "differ by arm" if vary else results.data.get("n_train", "")
        facts["Test images"] = results.data.get("n_test", "")
    if results.cells:
        arms = plural(len(results.arms), "arm")
        facts["Cells"] = f"{done} of {len(results.cells)} finished, {arms}"
    facts |= {f"{axis} (axis)": ", ".join(values) for axis, values in results.axes.items()}
    facts |= dict(_costs(results.progress))
    facts |= {
        name: v for name, v in results.environment.items() if name not in ("conditions", "command")
    }
    files = ["summary.csv", "comparisons.csv"]
    files += ["cells.csv", "metrics.jsonl", "config.json"] if results.cells else []
    settings = dict(_flat(results.config))
    return Section("run", "What was run", facts=facts, files=files, settings=settings)


def terms_section(terms: Mapping[str, str]) -> Section:
    """The terms of the page: term to explanation."""
    return Section("terms", "Terms", terms=terms)


def reproduce_section(results: Results) -> Section:
    """The command that makes the same files, and what to cite."""
    config = shlex.quote(f"configs/{results.config.get('name') or 'CONFIG'}.py")
    default = f"{start_of('grid')} --config {config}" if results.config else ""
    command = str(results.environment.get("command", default))
    version = f"jaxseg {results.environment.get('jaxseg', '')}".strip()
    closing = f"{version}. The method follows: {CITATION}"
    code = [command] if command else []
    return Section("cite", "Reproduce and cite", code=code, closing=[closing])


def _family_table(results: Results, family: list[ContrastRow]) -> Table:
    """All of one metric, or those of the first arm where there are many."""
    shown = prominent(results, family, MAX_ROWS)
    title = metric_name(family[0])
    title = title[0].upper() + title[1:]
    if len(shown) < len(family):
        title += f": the {len(shown)} of {len(family)} that touch the first arm"
    rows = [
        (
            ("interaction: " if row.kind == "interaction" else "") + label(results, row),
            _difference(row),
            _number(p_text(row.p)),
            _number(p_text(row.p_holm)),
            row.n_seeds,
            _number(_bounded(row.smallest_detectable, "none")),
            _number(_bounded(row.seeds_needed, "> 1000", digits=0)),
            row.verdict.replace(" ", "\u00a0"),
        )
        for row in shown
    ]
    return Table("", title, COLUMNS, rows, page_rows=MAX_ROWS, terminal_rows=0)


def _terminal_table(results: Results, family: list[ContrastRow]) -> Table:
    shown = prominent(results, family, TERMINAL_ROWS)
    rows = [
        (label(results, row), _difference(row), _number(p_text(row.p)), row.verdict)
        for row in shown
    ]
    columns = (metric_name(family[0]), "difference", "p", "verdict")
    hidden = len(family) - len(shown)
    note = f"… and {hidden} more in comparisons.csv" if hidden else ""
    return Table("", "", columns, rows, page_rows=0, note=note)


def _difference(row: ContrastRow) -> Measure:
    return Measure(row.difference, row.ci_low, row.ci_high, signed=True)


def _number(text: str) -> Label:
    return Label(text, number=True)


def _bounded(value: float, beyond: str, digits: int = 3) -> str:
    return beyond if value == math.inf else number(value, digits)


def _costs(progress: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name in ("wall_s", "train_s", "prepare_s", "compile_s", "evaluate_s"):
        if name in progress:
            yield f"Time, {name[:-2]}", duration(progress[name])
    if "data_wait_share" in progress:
        share = 100 * progress["data_wait_share"]
        yield "Devices waiting for data", f"at most {share:.1f} % of the training steps"
    if "peak_memory_mb" in progress:
        yield "Peak memory", f"{progress['peak_memory_mb']:.0f} MB"


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
