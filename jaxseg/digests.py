"""Plain data with a digest of itself, by which damage is found when it is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from jaxseg.errors import DamagedError
from jaxseg.texts import read_json

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
