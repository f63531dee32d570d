"""Writes the report of a workdir: two CSV files, the figures, and one page that opens offline."""

from collections.abc import Sequence
from html import escape
from pathlib import Path, PurePath
from typing import NamedTuple

from jaxseg.escape import printable, utf8
from jaxseg.grid.storage import write_bytes
from jaxseg.report import reliance_page, sections
from jaxseg.report.analysis import Analysis, analyse
from jaxseg.report.comparisons import Comparison
from jaxseg.report.examples import examples, shown_arms, shown_seed
from jaxseg.report.figures import CURVES_TEXT, Planned, band_dice, learning_curves, rendered
from jaxseg.report.forest import forest
from jaxseg.report.glossary import study_terms, terms
from jaxseg.report.results import Results
from jaxseg.report.styles import facets, panels_told
from jaxseg.report.tables import SummaryRow, as_csv

STYLE = Path(__file__).with_name("page.css")


class Drawn(NamedTuple):
    """One figure as files and on the page."""

    name: str
    png: bytes
    svg: bytes
    alt: str
    caption: str


def write_report(workdir: str | Path, analysis: Analysis | None = None) -> Path:
    """Writes summary.csv, comparisons.csv, figures/ and report.html; returns the page's path.

    Files are replaced one by one and whole, so that a reader never sees half of one; equal results
    give equal bytes. Raises JaxsegError when no cell is done or a file is missing.
    """
    workdir = Path(workdir)
    analysis = analyse(workdir) if analysis is None else analysis
    drawn = _draw(analysis)
    for picture in drawn:
        write_bytes(workdir / "figures" / f"{picture.name}.png", picture.png)
        write_bytes(workdir / "figures" / f"{picture.name}.svg", picture.svg)
    write_bytes(workdir / "summary.csv", utf8(as_csv(analysis.rows, SummaryRow._fields)))
    compared = as_csv(analysis.comparisons, Comparison._fields)
    write_bytes(workdir / "comparisons.csv", utf8(compared))
    page = workdir / "report.html"
    write_bytes(page, utf8(page_html(analysis, drawn)))
    return page


def page_html(analysis: Analysis, drawn: list[Drawn]) -> str:
    """The whole page as text, pictures and style inside."""
    results = analysis.results
    pictures = {p.name: sections.figure(p.name, p.png, p.alt, p.caption) for p in drawn}

    is_grid = analysis.study is None
    told = (_grid_body if is_grid else reliance_page.body)(analysis, pictures)
    body = [
        sections.headline(analysis.reading),
        sections.words(analysis.reading),
        *told,
        sections.shown(pictures, "learning_curves", "Learning curves"),
        sections.run(results),
        sections.glossary((terms if is_grid else study_terms)(results)),
        sections.reproduce(results),
    ]
    return document(_title(results), body)


def _title(results: Results) -> str:
    """`padding_ablation on lesion_phantoms`; images of one's own go by the name of their folder."""
    data = str(results.data.get("name", "unnamed data"))
    if data == "folders":
        data = printable(PurePath(results.fields.data.manual_dir).name) or data
    return f"{results.config.get('name') or 'grid'} on {data}"


def document(title: str, body: Sequence[str]) -> str:
    """A whole page of sections given as HTML, its style inside."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><header><h1>{escape(title)}</h1></header><main>{chr(10).join(body)}</main>"
        "<footer>Made by jaxseg from the files of this folder.</footer></body></html>\n"
    )


def _grid_body(analysis: Analysis, pictures: dict[str, str]) -> list[str]:
    return [
        sections.shown(pictures, "band_dice", "Where in the frame"),
        sections.arms(analysis),
        sections.comparison_table(analysis, pictures.get("comparisons", "")),
        sections.shown(pictures, "examples", "Examples"),
    ]


def _draw(analysis: Analysis) -> list[Drawn]:
    told = (_grid_figures if analysis.study is None else reliance_page.planned)(analysis)
    return [
        Drawn(name, rendered(figure, "png"), rendered(figure, "svg"), alt, caption)
        for name, figure, alt, caption in told
        if figure is not None
    ]


def _grid_figures(analysis: Analysis) -> list[Planned]:
    results = analysis.results
    arms = shown_arms(results)
    seed = shown_seed(results, arms[0])
    border = results.fields.eval.border_px
    rule = results.examples.rule if results.examples else ""
    only = f" Only the {results.probe} test set." * (len(facets(results)) > 1)
    only += panels_told(results)
    some = f" {len(arms)} of {len(results.arms)} arms." if len(arms) < len(results.arms) else ""
    return [
        (
            "band_dice",
            band_dice(results, analysis.rows),
            "Line plots of Dice and recall by position in the frame, one line per arm",
            "Dice by half-width of the square ring, and recall by distance to the border (rings "
            f"of {border} px). The border is at the right of every panel. Mean over seeds; shaded: "
            f"95 % interval. Rings that never hold an object have no point.{only}",
        ),
        (
            "comparisons",
            forest(results, analysis.comparisons),
            "Forest plot of the differences between arms with 95 % intervals",
            "Differences with 95 % intervals, paired by seed.",
        ),
        (
            "examples",
            examples(results),
            "Example images with the true outline and each arm's errors",
            f"Rule: {rule}. Seed {seed}.{some}",
        ),
        (
            "learning_curves",
            learning_curves(results),
            CURVES_TEXT[0],
            CURVES_TEXT[1] + panels_told(results),
        ),
    ]
