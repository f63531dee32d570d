"""The sections of the report page as HTML text. Whatever comes from a file is escaped here."""

import base64
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jaxseg.report.text import (
    interval,
    number,
    p_text,
    plural,
)
from jaxseg.studies.comparisons import INDEX
from jaxseg.studies.position.analysis import Analysis
from jaxseg.studies.position.reading import Reading
from jaxseg.studies.results import Results
from jaxseg.studies.rows import ContrastRow, EstimateRow, families, value_of
from jaxseg.studies.wording import label, metric_name, prominent

MAX_ROWS = 24

CITATION = (
    "Lin M., Weng N., Mikolaj K., Bashir Z., Svendsen M. B. S., Tolsgaard M., Christensen A. N., "
    "Feragen A.: Shortcut Learning in Medical Image Segmentation. MICCAI 2024, arXiv 2403.06748."
)


def headline(reading: Reading) -> str:
    """The number, its interval and one sentence."""
    return (
        '<section class="headline" aria-label="Headline">'
        f'<span class="number">{number(reading.value, signed=True)}</span> '
        f'<span class="interval">{interval(reading.ci_low, reading.ci_high, signed=True)} '
        f"{escape(reading.label)}</span><p>{prose(reading.sentence)}</p></section>"
    )


def words(reading: Reading) -> str:
    """Findings and cautions as lists."""
    found = bullets(reading.findings) or "<p>No two arms could be compared.</p>"
    held = f'<div class="caution"><p><b>To bear in mind</b></p>{bullets(reading.cautions)}</div>'
    return section("reading", "Reading", found + (held if reading.cautions else ""))


def figure(name: str, png: bytes, alt: str, caption: str) -> str:
    """The picture embedded, linked to its SVG file beside the page."""
    data = base64.b64encode(png).decode("ascii")
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">'
    files = f'<a href="figures/{name}.svg">SVG</a>, <a href="figures/{name}.png">PNG</a>'
    return f"<figure>{image}<figcaption>{escape(caption)} ({files})</figcaption></figure>"


def shown(pictures: Mapping[str, str], name: str, title: str, more: str = "") -> str:
    """A section with the figure of this name and `more`; empty where there is neither."""
    inside = pictures.get(name, "") + more
    return section(name, title, inside) if inside else ""


def arms(analysis: Analysis) -> str:
    """One row per arm: Dice on every test set, recall at the border and the index on the probe."""
    results = analysis.results
    probe = results.probe
    columns = [(f"Dice, {t}", t, "all", "dice") for t in results.test_sets]
    columns += [(f"Recall at the border, {probe}", probe, "outer", "recall")]
    columns += [(f"Border shortcut index, {probe}", probe, "inner-outer", INDEX)]
    head = [*results.axes] or ["arm"]
    body = []
    rows: dict[str, list[EstimateRow]] = {arm: [] for arm in results.arms}
    for row in analysis.rows:
        rows[row.arm].append(row)
    for arm in results.arms:
        settings = results.settings[arm].values() if results.axes else [arm]
        cells = [f"<td>{escape(value)}</td>" for value in settings]
        cells += [f'<td class="n">{len(results.seeds[arm])}</td>']
        cells += [_number_cell(rows[arm], arm, *column[1:]) for column in columns]
        body.append("".join(cells))
    caption = (
        "Pooled over images and averaged over seeds, with 95 % intervals; below Dice the mean ± SD "
        "over images."
    )
    heads = [(h, False) for h in head] + [(h, True) for h in ("Seeds", *(c[0] for c in columns))]
    told = table(heads, body[:MAX_ROWS], caption)
    if rest := body[MAX_ROWS:]:
        folded = table(heads, rest, caption)
        told += f"<details><summary>{len(rest)} more arms</summary>{folded}</details>"
    return section("arms", "Arms", told)


def comparison_table(analysis: Analysis, plot: str) -> str:
    """`plot`, and the comparisons of every metric, those of the first arm where there are many."""
    results = analysis.results
    heads = [("Comparison", False), ("Difference", True), ("p", True), ("p (Holm)", True)]
    heads += [("Seeds", True), ("Could have shown", True), ("Seeds needed", True)]
    heads += [("Verdict", False)]
    tables = []
    for family in families(analysis.comparisons):
        shown = prominent(results, family, MAX_ROWS)
        caption = metric_name(family[0])
        if len(shown) < len(family):
            caption += f": the {len(shown)} of {len(family)} that touch the first arm"
        tables.append(table(heads, [_comparison(results, row) for row in shown], caption))
    intro = (
        "<p>Each value is compared with the first value of its axis, all else equal, and the "
        "differences are paired by seed. “Higher” and “lower” mean that the "
        "interval excludes 0 and p is at most 0.05; “not significant”, that the interval alone "
        "does. "
        'All rows: <a href="comparisons.csv">comparisons.csv</a>.</p>'
    )
    if not tables:
        intro = "<p>No two arms with a common seed differ in one axis only.</p>"
    return section("comparisons", "Comparisons", intro + plot + "".join(tables))


def run(results: Results) -> str:
    """What was run: data, amount, machine, files, and every setting."""
    done = sum(cell.status == "done" for cell in results.cells)
    facts: dict[str, Any] = {
        "Data": results.data.get("description") or results.data.get("name", ""),
        "Masks": str(results.data.get("masks", "")).removeprefix("masks: "),
        "Training images": "differ by arm"
        if "data.train_split" in results.axes
        else results.data.get("n_train", ""),
        "Test images": results.data.get("n_test", ""),
        "Cells": f"{done} of {len(results.cells)} finished, {plural(len(results.arms), 'arm')}",
    }
    facts |= {f"{axis} (axis)": ", ".join(values) for axis, values in results.axes.items()}
    facts |= {f"Time, {key[:-2]}": _duration(s) for key, s in _times(results).items()}
    if "data_wait_share" in results.progress:
        share = results.progress["data_wait_share"]
        facts["Devices waiting for data"] = f"at most {100 * share:.1f} % of the training steps"
    if "peak_memory_mb" in results.progress:
        facts["Peak memory"] = f"{results.progress['peak_memory_mb']:.0f} MB"
    facts |= {name: v for name, v in results.environment.items() if name != "conditions"}
    files = ("summary.csv", "comparisons.csv", "cells.csv", "metrics.jsonl", "config.json")
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in files)
    config = _facts(_flat(results.config))
    settings = f"<details><summary>All settings</summary>{config}</details>"
    return section("run", "What was run", f"{_facts(facts)}<p>Files: {links}</p>{settings}")


def glossary(found: Mapping[str, str]) -> str:
    """The terms of the page: term to explanation."""
    pairs = [f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in found.items()]
    return section("terms", "Terms", f"<dl>{''.join(pairs)}</dl>")


def reproduce(results: Results) -> str:
    """The command that makes the same files, and what to cite."""
    name = results.config.get("name") or "CONFIG"
    command = results.environment.get(
        "command", f"python launch/grid.py --config {shlex.quote(f'configs/{name}.py')}"
    )
    version = results.environment.get("jaxseg", "")
    text = (
        f"<pre>{escape(str(command))}</pre><p>jaxseg {escape(str(version))}. The method follows: "
        f"{escape(CITATION)}</p>"
    )
    return section("cite", "Reproduce and cite", text)


def section(name: str, title: str, body: str) -> str:
    """A section with a heading; `body` is HTML."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>'


def table(heads: Sequence[tuple[str, bool]], body: Sequence[str], caption: str) -> str:
    """A table that scrolls on its own; heads are (text, whether a number), rows `<td>`s as HTML."""
    head = "".join(
        f'<th scope="col"{" class=n" if right else ""}>{escape(text)}</th>' for text, right in heads
    )
    rows = "".join(f"<tr>{row}</tr>" for row in body)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def bullets(sentences: Sequence[str]) -> str:
    """Sentences as a list; empty text for none."""
    items = "".join(f"<li>{prose(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def prose(sentence: str) -> str:
    """The sentence escaped, with no line break inside an interval or before a per cent sign."""
    whole = re.sub(r"\[([^\]\s]+), ", "[\\1,\u00a0", sentence)
    return escape(whole.replace(" %", "\u00a0%"))


def _comparison(results: Results, row: ContrastRow) -> str:
    kind = "interaction: " if row.kind == "interaction" else ""
    needed = number(row.seeds_needed, digits=0) if row.seeds_needed != math.inf else "> 1000"
    numbers = [p_text(row.p), p_text(row.p_holm), str(row.n_seeds)]
    could = "none" if row.smallest_detectable == math.inf else number(row.smallest_detectable)
    numbers += [could, escape(needed)]
    cells = "".join(f'<td class="n">{text}</td>' for text in numbers)
    return (
        f"<td>{escape(kind + label(results, row))}</td>"
        f'<td class="n">{number(row.difference, signed=True)}'
        f'<span class="soft">{interval(row.ci_low, row.ci_high, signed=True)}</span></td>'
        f'{cells}<td class="verdict">{escape(row.verdict)}</td>'
    )


def _number_cell(
    rows: Sequence[EstimateRow], arm: str, test_set: str, band: str, metric: str
) -> str:
    row = value_of(rows, arm, test_set, band, metric)
    if row is None:
        return '<td class="n">–</td>'
    small = interval(row.ci_low, row.ci_high)
    each = value_of(rows, arm, test_set, band, f"{metric}_per_image")
    spread = value_of(rows, arm, test_set, band, f"{metric}_per_image_sd")
    if each and spread:
        small += f"<br>{number(each.value)} ± {number(spread.value)}"
    return f'<td class="n">{number(row.value)}<span class="soft">{small}</span></td>'


def _facts(facts: dict[str, Any]) -> str:
    rows = [
        f'<tr><th scope="row">{escape(k)}</th><td>{escape(str(v))}</td></tr>'
        for k, v in facts.items()
    ]
    return f'<div class="wide"><table><tbody>{"".join(rows)}</tbody></table></div>'


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _times(results: Results) -> dict[str, float]:
    names = ("wall_s", "train_s", "prepare_s", "compile_s", "evaluate_s")
    return {name: results.progress[name] for name in names if name in results.progress}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
