"""Escapes text from outside before it is written to a terminal, a CSV file or a page.

HTML's own characters are escaped where a page is put together, by `html.escape`.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection"); of numbers it
# may, of text it must not. Text that begins with quotes and then so gets one more, to be undone.
# OWASP's tab and line breaks do not occur: `printable` replaces them.
_FORMULA = re.compile(r"'*[=+\-@]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+|inf)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def printable(text: str) -> str:
    r"""The text on one line: control characters and what cannot be shown become `\n`, `\x1b`, ….

    Among them are halves of surrogate pairs, by which Python represents bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(error: BaseException) -> str:
    """The message of an error, on one line of at most 120 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:120]


def utf8(text: str) -> bytes:
    r"""The text as UTF-8; halves of surrogate pairs, which have none, become `\udcff`."""
    return text.encode("utf-8", "backslashreplace")


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV, a line each, text made `printable`; numbers, and text that is one, stay.

    Text that a spreadsheet would run as a formula gets a leading `'`, see `plain`.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([[_field(value) for value in row] for row in (columns, *rows)])
    return buffer.getvalue()


def plain(field: str) -> str:
    """A field of `csv_text`, once read, without the `'` that it got there."""
    return field[1:] if field.startswith("'") and _FORMULA.match(field) else field


def _field(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
