"""The results of a study as plain data: sentences, tables, figures; independent of any study."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from matplotlib.figure import Figure as Drawing

from jaxseg.report.text import MISSING, interval, number


class Measure(NamedTuple):
    """A number with its interval, one field of a table; `below` is a small line under it."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    signed: bool = False
    below: str = ""
    digits: int = 3


class Label(NamedTuple):
    """A text with a small line under it, one field of a table; a `number` is set flush right."""

    text: str
    below: str = ""
    number: bool = False


class Table(NamedTuple):
    """A table for the page, the terminal and a file.

    `name` makes it a file, `<name>.csv`; without one it is written nowhere. The page shows
    `page_rows` rows and the terminal `terminal_rows`; 0: not there. With a text in `folded` the
    page hides the table under it until it is opened; `note` is a line below it. Fields are text,
    numbers, None, `Measure` or `Label`; a file holds the value of a `Measure` and the text of a
    `Label`.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    page_rows: int = 40
    terminal_rows: int = 24
    folded: str = ""
    note: str = ""


class Figure(NamedTuple):
    """A figure, written as `figures/<name>.png` and `.svg`.

    `title` is the caption; `alt` describes the figure in words.
    """

    name: str
    title: str
    alt: str
    figure: Drawing


class Section(NamedTuple):
    """One section of a page; whatever is empty is left out.

    Attributes:
      name: of its anchor and files; letters, digits, `_` and `-`.
      title: the heading.
      lead: the headline number; `lead_label` names what it measures.
      verdict: sentences that lead the section, with the rule behind them.
      findings: what else was found, a sentence each.
      text: paragraphs before figures and tables.
      figures, tables: shown in this order, first all figures.
      notes: cautions.
      facts: name to value, a table of two columns; `settings` the same, folded.
      terms: term to explanation.
      files: files beside the page to link to.
      taken: the files that were read and how, a line each.
      left_out: the files that could not be used and why, a line each; also `<name>_left_out.csv`.
      code: commands, as they are typed.
      closing: paragraphs at the end.
    """

    name: str
    title: str
    lead: Measure | None = None
    lead_label: str = ""
    verdict: Sequence[str] = ()
    findings: Sequence[str] = ()
    text: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    terms: Mapping[str, str] = {}
    files: Sequence[str] = ()
    taken: Sequence[str] = ()
    left_out: Sequence[str] = ()
    code: Sequence[str] = ()
    closing: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing but its title."""
        return not any(self[2:])


def shown(field: Any) -> str:
    """A field of a table as people read it: floats to three digits, intervals left out."""
    if isinstance(field, Measure):
        return number(field.value, field.digits, field.signed)
    if isinstance(field, Label):
        return field.text
    if field is None:
        return MISSING
    return number(field) if isinstance(field, float) else str(field)


def below(field: Any) -> list[str]:
    """The small lines under a field of a table: its interval and what else it has."""
    if isinstance(field, Measure):
        ends = interval(field.low, field.high, field.signed, field.digits)
        return [line for line in (ends, field.below) if line]
    return [field.below] if isinstance(field, Label) and field.below else []


def is_number(field: Any) -> bool:
    """Whether a field of a table is set flush right."""
    if isinstance(field, Label):
        return field.number
    return isinstance(field, Real | Measure) or field is None or field == MISSING
