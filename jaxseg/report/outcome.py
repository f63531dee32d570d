"""What an audit has to say, whatever it asked: sentences, tables and figures."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure


class Table(NamedTuple):
    """A table as it is printed, written as CSV (`<name>.csv`) and shown on the page."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Picture(NamedTuple):
    """A figure, written as `figures/<name>.png` and `.svg`; `alt` says in words what it shows."""

    name: str
    title: str
    alt: str
    figure: Figure


class Outcome(NamedTuple):
    """One section of an audit's page.

    `verdict` leads, with its rule stated; `notes` are cautions; `left_out` names, a line each, the
    files that could not be used and why; `taken` says, a line each, what was read and as what.
    """

    name: str
    title: str
    verdict: Sequence[str]
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()
    taken: Sequence[str] = ()
