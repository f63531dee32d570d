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


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content, which JSON can hold, with the digest of all the rest under `digest`."""
    return {**content, _KEY: _digest(content)}


def unseal(sealed: Any, path: PurePath, mend: str = AGAIN) -> dict[str, Any]:
    """The content of `seal`; DamagedError naming `path` and `mend` where it has changed."""
    if not isinstance(sealed, dict) or _KEY not in sealed:
        raise DamagedError(path, "has no digest", mend)
    content = {key: value for key, value in sealed.items() if key != _KEY}
    if sealed[_KEY] != _digest(content):
        raise DamagedError(path, "does not agree with its digest", mend)
    return content


def read_sealed(path: Any, mend: str = AGAIN) -> dict[str, Any]:
    """The content of `seal` in a JSON file; DamagedError naming it where that cannot be read."""
    return unseal(read_json(path, mend), path, mend)


def _digest(content: Mapping[str, Any]) -> str:
    # Through JSON once, as what is read back: tuples become lists, keys text.
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
