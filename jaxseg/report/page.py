"""Sections as HTML: one page, style and figures inside, that opens without a network."""

import base64
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from jaxseg.report.section import Section, Table, below, is_number, shown

MAX_LEFT_OUT = 10


def section_html(section: Section, pictures: Mapping[str, bytes]) -> Markup:
    """The section; `pictures` holds its figures as PNG files by name."""
    encoded = {name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()}
    return Markup(_macro("section")(section, encoded))


def page_html(title: str, bodies: Sequence[str], links: Mapping[str, str] | None = None) -> str:
    """A whole page; `bodies` are sections as HTML, `links` anchors of them with their titles."""
    style = _environment().get_template("page.css").render()
    safe = [Markup(body) for body in bodies]
    return str(_macro("document")(title, Markup(style), safe, links or {}))


def right(table: Table, column: int) -> bool:
    """Whether a column holds numbers alone and is set flush right."""
    return bool(table.rows) and all(is_number(row[column]) for row in table.rows)


def prose(sentence: str) -> str:
    """The sentence with no line break in a number with its interval or beside a sign."""
    whole = re.sub(r"\[([^\]\s]+), ", "[\\1,\u00a0", re.sub(r"(\d) \[", "\\1\u00a0[", sentence))
    return whole.replace(" %", "\u00a0%").replace("≥ ", "≥\u00a0")


def _macro(name: str) -> Any:
    return getattr(_environment().get_template("page.html.j2").module, name)


@functools.cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("jaxseg.report", ""), autoescape=True)
    environment.filters |= {"prose": prose, "shown": shown, "below": below, "right": right}
    environment.globals["most_left_out"] = MAX_LEFT_OUT
    return environment
