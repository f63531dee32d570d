"""Text going out and coming in: CSV and JSON files, escaped, digested, or refused in one line.

Plain data is kept with a digest of itself, by which damage is found when it is read. HTML's own
characters are escaped where a page is put together.
"""

import csv
import hashlib
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from jaxseg.errors import DamagedError, one_line, printable

MAX_NESTED = 64
# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection"); of numbers it
# may, of text it must not. Text that begins with quotes and then so gets one more, to be undone.
# OWASP's tab and line breaks do not occur: `printable` replaces them.
_FORMULA = re.compile(r"'*[=+\-@]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+|inf)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def read_text(path: Any, mend: str) -> str:
    """The text of a file; DamagedError for one that is not UTF-8 text."""
    try:
        return path.read_bytes().decode("utf-8")
    except ValueError as error:
        raise DamagedError(path, f"is not UTF-8 text ({one_line(error)})", mend) from error


def parse_json(text: str, where: PurePath, mend: str) -> dict[str, Any]:
    """The object that JSON text holds; DamagedError naming `where` for any other text."""
    try:
        found = json.loads(text)
        # Recursive code that reads the tree later must not run out of stack.
        if text.count("[") + text.count("{") > MAX_NESTED and _depth(found) > MAX_NESTED:
            raise ValueError(f"nested more than {MAX_NESTED} deep")
    except (ValueError, RecursionError) as error:
        raise DamagedError(where, f"is not JSON ({one_line(error)})", mend) from error
    if not isinstance(found, dict):
        raise DamagedError(where, f"holds {type(found).__name__}, must be a JSON object", mend)
    return found


def read_json(path: Any, mend: str) -> dict[str, Any]:
    """The object in a JSON file; DamagedError for a damaged file and anything else in it."""
    return parse_json(read_text(path, mend), path, mend)


def is_number(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether a value of a JSON file is a finite number from `least` to `most`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return least <= value <= most and abs(value) <= sys.float_info.max


def _depth(tree: Any) -> int:
    level, depth = [tree], 0
    while level:
        inner = [node.values() if isinstance(node, dict) else node for node in level
                 if isinstance(node, dict | list)]  # fmt: skip
        level, depth = [child for node in inner for child in node], depth + 1
    return depth


_KEY = "digest"
AGAIN = "delete it and run the same command again"


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content, which JSON can hold, with the digest of all the rest under `digest`."""
    return {**content, _KEY: _digest(content)}


def check_digest(stored: Any, path: PurePath, mend: str = AGAIN) -> dict[str, Any]:
    """The content of `with_digest`; DamagedError naming `path` and `mend` where it has changed."""
    if not isinstance(stored, dict) or _KEY not in stored:
        raise DamagedError(path, "has no digest", mend)
    content = {key: value for key, value in stored.items() if key != _KEY}
    if stored[_KEY] != _digest(content):
        raise DamagedError(path, "does not agree with its digest", mend)
    return content


def read_with_digest(path: Any, mend: str = AGAIN) -> dict[str, Any]:
    """The content of `with_digest` in a JSON file; DamagedError where it cannot be read."""
    return check_digest(read_json(path, mend), path, mend)


def _digest(content: Mapping[str, Any]) -> str:
    # Through JSON once, as what is read back: tuples become lists, keys text.
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


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
