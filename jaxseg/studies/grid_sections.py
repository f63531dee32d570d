"""The figures and sections that the page of any grid has, whatever its study asks.

Arms differ by colour (one axis) and by line style or panel (the others), in all figures alike.
"""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxseg.command_line import start_of
from jaxseg.metrics.verdict import NO_DIFFERENCE, NOT_SIGNIFICANT
from jaxseg.report.plot import (
    COLOURS,
    DASHES,
    MARKERS,
    Style,
    bare,
    draw_errors,
    legend_below,
    page_style,
    wrapped,
)
from jaxseg.report.section import Figure, Label, Measure, Section, Table
from jaxseg.report.text import duration, number, p_text, plural
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, families
from jaxseg.studies.wording import label, metric_name, prominent

# More lines than this in one panel look alike: the arms are then spread over panels.
ARMS_PER_PANEL = 8
# More panels than this are too small to read: those nearest to the first arm are kept.
MAX_PANELS = 12
MAX_COLUMNS = 4
MAX_ROWS = 24
TERMINAL_ROWS = 12
LEGEND_ROWS = 2
SHOWN, NOT_SHOWN, DETECTABLE = "#0072B2", "#777777", "#e4e4e4"
CURVES = {
    "loss": "Training loss",
    "val_loss": "Validation loss",
    "val_dice": "Validation Dice",
}
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
# Terms that every grid needs.
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


# One look of every arm.


class Look(NamedTuple):
    """How arms look in a figure: (title, arms) of its panels, styles and the legend."""

    panels: list[tuple[str, list[str]]]
    styles: dict[str, Style]
    legend: dict[str, Style]
    title: str | None = None


def grid_look(results: Results) -> Look:
    """The look of any grid: colour by one axis, line style or panel by the others.

    Colour is the first axis, unless only a later one fits the palette. One panel while all arms fit
    in it; where panels already separate the other axes, all lines are solid. More than MAX_PANELS:
    the first, and those that are one setting away from it.
    """
    axes, arms = list(results.axes), results.arms
    fitting = [axis for axis in axes if len(results.axes[axis]) <= len(COLOURS)]
    axis = (fitting or axes or [None])[0]
    hues = {arm: results.settings[arm][axis] if axis else "" for arm in arms}
    rests = {
        arm: "/".join(v for key, v in results.settings[arm].items() if key != axis) for arm in arms
    }
    order, rest_order = list(dict.fromkeys(hues.values())), list(dict.fromkeys(rests.values()))
    if len(arms) <= ARMS_PER_PANEL:
        panels = [("", arms)]
    elif len(rest_order) == 1:
        # One axis only: nothing to spread by, so equal runs of arms share a panel.
        starts = range(0, len(arms), ARMS_PER_PANEL)[:MAX_PANELS]
        panels = [("", arms[i : i + ARMS_PER_PANEL]) for i in starts]
    else:
        panels = [(rest, [arm for arm in arms if rests[arm] == rest]) for rest in rest_order]
        if len(panels) > MAX_PANELS:
            near = set(near_first(results, ignore=axis))
            panels = [(title, inside) for title, inside in panels if near & set(inside)]
        panels = panels[:MAX_PANELS]
    styles = {}
    for arm in arms:
        # A colour used a second time gets another line style.
        line, hue = divmod(order.index(hues[arm]), len(COLOURS))
        line += rest_order.index(rests[arm]) if len(panels) == 1 else 0
        styles[arm] = Style(COLOURS[hue], DASHES[line % len(DASHES)], MARKERS[line % len(MARKERS)])
    if len(panels) == 1:
        named = {arm or "the one arm": style for arm, style in styles.items()}
        return Look(panels, styles, named, " / ".join(axes) or None)
    return Look(panels, styles, {hues[arm]: style for arm, style in styles.items()}, axis)


def near_first(results: Results, ignore: str | None = None) -> list[str]:
    """The first arm and those that differ from it in one axis only, besides `ignore`."""
    first = results.settings[results.arms[0]]
    return [
        arm
        for arm in results.arms
        if sum(results.settings[arm][k] != v for k, v in first.items() if k != ignore) <= 1
    ]


def panels_note(results: Results, look: Look) -> str:
    """A sentence for the caption where panels leave arms out; else empty."""
    shown = sum(len(arms) for _, arms in look.panels)
    if shown == len(results.arms):
        return ""
    return f" {shown} of {len(results.arms)} arms: the first and what is near to it."


# Figures.


def forest(results: Results, rows: Sequence[ContrastRow]) -> Drawing | None:
    """Rows are pairs and interactions, columns the compared metrics. None without comparisons.

    Filled: the interval excludes 0 and p is at most 0.05; open: the interval alone does. The grey
    bar spans the differences that so many seeds and images would miss more often than one time in
    five, whether or not they found this one; without a bar they would miss any. More than MAX_ROWS
    comparisons: those that touch the first arm.
    """
    if not rows:
        return None
    chosen = {metric_name(f[0]): prominent(results, f, MAX_ROWS) for f in families(rows)}
    # Where arms share no seed a family lacks rows; lines are named by the fullest one.
    lines = list(dict.fromkeys(label(results, row) for family in chosen.values() for row in family))
    with page_style():
        height = 0.26 * len(lines) + 1.3 + 0.2 * LEGEND_ROWS
        figure = Drawing(
            figsize=(0.6 + 0.065 * max(map(len, lines)) + 1.85 * len(chosen), height),
            layout="constrained",
        )
        axes = np.asarray(figure.subplots(1, len(chosen), sharey=True, squeeze=False))[0]
        for ax, (name, family) in zip(axes, chosen.items()):
            for row in family:
                _draw_difference(ax, row, lines.index(label(results, row)))
            # Of the intervals alone: few seeds have grey bars that would squeeze all else together.
            ends = [end for row in family for end in (row.ci_low, row.difference, row.ci_high)]
            low, high = float(np.nanmin([*ends, 0])), float(np.nanmax([*ends, 0]))
            margin = 0.08 * (high - low) or 0.01
            ax.set_xlim(low - margin, high + margin)
            ax.axvline(0, color="black", linewidth=0.8)
            ax.set_title(name.replace(" on ", "\non "))
            ax.set_xlabel("Difference")
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(lines)), lines)
        axes[0].set_ylim(len(lines) - 0.4, -0.6)
        dots = [
            ("o", SHOWN, SHOWN, "interval excludes 0, p ≤ 0.05"),
            ("o", SHOWN, "white", f"interval excludes 0, {NOT_SIGNIFICANT}"),
            ("o", NOT_SHOWN, "white", NO_DIFFERENCE),
        ]
        if any(row.kind == "interaction" for row in rows):
            dots.append(("D", "black", "black", "interaction"))
        handles: list[Any] = [
            Line2D([], [], color=colour, marker=marker, mfc=fill, label=text)
            for marker, colour, fill, text in dots
        ]
        if any(np.isfinite(row.smallest_detectable) for row in rows):
            text = "would often be missed (power below 80 %)"
            handles.append(Patch(color=DETECTABLE, label=text))
        columns = math.ceil(len(handles) / LEGEND_ROWS)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _draw_difference(ax: Axes, row: ContrastRow, y: int) -> None:
    colour = NOT_SHOWN if row.verdict == NO_DIFFERENCE else SHOWN
    if np.isfinite(row.smallest_detectable):
        reach = row.smallest_detectable
        ax.barh(y, 2 * reach, left=-reach, height=0.8, color=DETECTABLE, zorder=0)
    ax.plot([row.ci_low, row.ci_high], [y, y], color=colour, linewidth=1.6)
    marker = "o" if row.kind == "pair" else "D"
    ax.plot(row.difference, y, marker, color=colour, mfc=colour if row.is_shown else "white", ms=5)


def learning_curves(results: Results, look: Look) -> Drawing | None:
    """Training loss and validation scores by epoch: a thin line per cell, a bold one per arm."""
    points = [row for curve in results.curves.values() for row in curve]
    found = [f for f in CURVES if any(row.get(f) is not None for row in points)]
    if not found:
        return None
    panels = look.panels
    last = max(row["epoch"] for row in points)
    # The same limits for every panel: what is measured once an epoch and what once at the end.
    shown = -0.05 * max(last, 1), 1.05 * max(last, 1)
    with page_style():
        # One panel each: side by side. Several: a block of panels below the other.
        several = len(panels) > 1
        size = (len(found), len(panels)) if several else (1, len(found))
        figure, axes = grid_of_panels(*size)
        blocks = axes if several else [[ax] for ax in axes[0]]
        for block, field in zip(blocks, found):
            for ax, (title, arms) in zip(block, panels):
                for arm in arms:
                    _curves_of_arm(ax, results, field, arm, look.styles[arm])
                ax.xaxis.set_major_locator(MaxNLocator(integer=True))
                ax.set(xlabel="Epoch", title=title, xlim=shown)
            name_and_align(block, CURVES[field])
        legend_below(figure, look.legend, look.title)
    return figure


def _curves_of_arm(ax: Axes, results: Results, field: str, arm: str, style: Style) -> None:
    by_epoch: dict[float, list[float]] = {}
    for cell in results.cells:
        if cell.arm != arm or cell.status != "done":
            continue
        rows = [row for row in results.curves.get(cell.name, []) if row.get(field) is not None]
        epochs, values = [row["epoch"] for row in rows], [row[field] for row in rows]
        ax.plot(epochs, values, color=style.colour, alpha=0.25, linewidth=0.5)
        for epoch, value in zip(epochs, values):
            by_epoch.setdefault(epoch, []).append(value)
    epochs = sorted(by_epoch)
    means = [np.mean(by_epoch[e]) for e in epochs]
    # A single epoch, as under selection `last`, is a point: no line would show it.
    marker = style.marker if len(epochs) == 1 else None
    ax.plot(epochs, means, color=style.colour, linestyle=style.dash, linewidth=1.8, marker=marker)


def grid_of_panels(blocks: int, columns: int) -> tuple[Drawing, list[list[Axes]]]:
    """Axes of every block, `columns` each, folded so that no row is wider than MAX_COLUMNS."""
    across = min(columns, MAX_COLUMNS)
    folds = math.ceil(columns / across)
    size = (4.2 if across <= 3 else 2.8) * across, 2.8 * blocks * folds
    figure = Drawing(figsize=size, layout="constrained")
    axes = np.asarray(figure.subplots(blocks * folds, across, squeeze=False))
    lists = [list(block.flat) for block in np.split(axes, blocks)]
    for spare in (ax for block in lists for ax in block[columns:]):
        spare.set_visible(False)
    return figure, [block[:columns] for block in lists]


def name_and_align(axes: Sequence[Axes], scale: str) -> None:
    """Names the scale at the left of every row, and makes it the same in all panels of a block."""
    for ax in axes[::MAX_COLUMNS]:
        ax.set_ylabel(scale)
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)


def keep_to_shares(ax: Axes) -> None:
    """Ends the scale of shares at 0 and 1, which an interval may pass by its Student part."""
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.02), min(high, 1.02))


def picture_axes(
    labels: Sequence[str], columns: int, size: tuple[float, float]
) -> tuple[Drawing, np.ndarray]:
    """Axes [labels, columns] for pictures, every row with its label at the left."""
    figure = Drawing(figsize=size, layout="constrained")
    axes = np.asarray(figure.subplots(len(labels), columns, squeeze=False))
    bare(axes)
    for ax, text in zip(axes[:, 0], labels):
        ax.set_ylabel(wrapped(text), rotation=0, ha="right", va="center")
    return figure, axes


def draw_scored(
    ax: Axes, image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, score: float
) -> None:
    """The picture of `draw_errors` with its Dice below."""
    draw_errors(ax, image, truth, prediction)
    text = "nothing to find" if np.isnan(score) else f"Dice {score:.2f}"
    ax.set_xlabel(text, fontsize=8, labelpad=2)


# Fields of tables.


def estimate_field(row: EstimateRow | None, *, signed: bool = False, below: str = "") -> Any:
    """A number with its interval; None without a row."""
    if row is None:
        return None
    return Measure(row.value, row.ci_low, row.ci_high, signed=signed, below=below)


def difference_field(row: ContrastRow) -> Measure:
    """A difference with its interval."""
    return Measure(row.difference, row.ci_low, row.ci_high, signed=True)


def p_field(p: float) -> Label:
    """A p, set as a number."""
    return Label(p_text(p), number=True)


# Sections.


def comparison_section(
    results: Results, contrasts: Sequence[ContrastRow], *, lead_metric: str
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
    if lead:
        shown = prominent(results, lead, TERMINAL_ROWS)
        rows = [
            (label(results, row), difference_field(row), p_field(row.p), row.verdict)
            for row in shown
        ]
        columns = (metric_name(lead[0]), "difference", "p", "verdict")
        hidden = len(lead) - len(shown)
        note = f"… and {hidden} more in comparisons.csv" if hidden else ""
        tables.append(Table("", "", columns, rows, page_rows=0, note=note))
    return Section(
        "comparisons",
        "Comparisons",
        text=[RULE],
        figures=[figure],
        tables=tables,
        files=["comparisons.csv"],
    )


def _family_table(results: Results, family: list[ContrastRow]) -> Table:
    """All of one metric, or those of the first arm where there are many."""
    shown = prominent(results, family, MAX_ROWS)
    title = metric_name(family[0])
    title = title[0].upper() + title[1:]
    if len(shown) < len(family):
        title += f": the {len(shown)} of {len(family)} that touch the first arm"
    rows = []
    for row in shown:
        least, needed = row.smallest_detectable, row.seeds_needed
        rows.append(
            (
                ("interaction: " if row.kind == "interaction" else "") + label(results, row),
                difference_field(row),
                p_field(row.p),
                p_field(row.p_holm),
                row.n_seeds,
                Label("none" if least == math.inf else number(least), number=True),
                Label("> 1000" if needed == math.inf else number(needed, 0), number=True),
                row.verdict.replace(" ", "\u00a0"),
            )
        )
    return Table("", title, COLUMNS, rows, page_rows=MAX_ROWS, terminal_rows=0)


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
    facts: dict[str, Any] = {}
    if results.data:
        facts["Data"] = results.data.get("description") or results.data.get("name", "")
        if masks := results.data.get("masks"):
            facts["Masks"] = str(masks).removeprefix("masks: ")
        vary = "data.train_split" in results.axes
        if vary or "n_train" in results.data:
            facts["Training images"] = "differ by arm" if vary else results.data["n_train"]
        facts["Test images"] = results.data.get("n_test", "")
    if results.cells:
        done = sum(cell.status == "done" for cell in results.cells)
        arms = plural(len(results.arms), "arm")
        facts["Cells"] = f"{done} of {len(results.cells)} finished, {arms}"
    facts |= {f"{axis} (axis)": ", ".join(values) for axis, values in results.axes.items()}
    progress = results.progress
    for name in ("wall_s", "train_s", "prepare_s", "compile_s", "evaluate_s"):
        if name in progress:
            facts[f"Time, {name.removesuffix('_s')}"] = duration(progress[name])
    if "data_wait_share" in progress:
        share = 100 * progress["data_wait_share"]
        facts["Devices waiting for data"] = f"at most {share:.1f} % of the training steps"
    if "peak_memory_mb" in progress:
        facts["Peak memory"] = f"{progress['peak_memory_mb']:.0f} MB"
    hidden = ("conditions", "command")
    facts |= {name: value for name, value in results.environment.items() if name not in hidden}
    files = ["summary.csv", "comparisons.csv"]
    files += ["cells.csv", "metrics.jsonl", "config.json"] if results.cells else []
    settings = dict(_flat(results.config))
    return Section("run", "What was run", facts=facts, files=files, settings=settings)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def reproduce_section(results: Results) -> Section:
    """The command that makes the same files, and what to cite."""
    config = shlex.quote(f"configs/{results.config.get('name') or 'CONFIG'}.py")
    default = f"{start_of('grid')} --config {config}" if results.config else ""
    command = str(results.environment.get("command", default))
    version = f"jaxseg {results.environment.get('jaxseg', '')}".strip()
    closing = f"{version}. The method follows: {CITATION}"
    code = [command] if command else []
    return Section("cite", "Reproduce and cite", code=code, closing=[closing])
