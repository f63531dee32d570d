"""Text files of a workdir, which somebody else may have written: read, or one line of error."""

import json
import math
import sys
from pathlib import PurePath
from typing import Any

from jaxseg.errors import DamagedError
from jaxseg.escape import one_line

MAX_NESTED = 64


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
