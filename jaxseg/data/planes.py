"""Standard planes: which view of the body a frame shows, read from its id."""

import re
from collections import Counter
from collections.abc import Sequence

from jaxseg.errors import JaxsegError, UsageError


def plane_of(ids: Sequence[str], pattern: str) -> list[str]:
    """The plane of each frame: what the one group of a regular expression finds in its id.

    An empty pattern gives an empty string for all: one plane. Raises UsageError for a pattern that
    is no regular expression or has not exactly one group, JaxsegError for an id without a match.
    """
    if not pattern:
        return [""] * len(ids)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"data.planes={pattern!r}: is no regular expression ({error})") from error
    if compiled.groups != 1:
        raise UsageError(f"data.planes={pattern!r}: must have one group, has {compiled.groups}")
    found = [compiled.search(name) for name in ids]
    if None in found:
        name = ids[found.index(None)]
        raise JaxsegError(f"frame {name!r}: data.planes={pattern!r} finds no plane in its id")
    return [match[1] for match in found if match]


def check_planes(train: Sequence[str], test: Sequence[str]) -> None:
    """Raises JaxsegError for a plane with training frames and no test frame."""
    for plane, count in Counter(train).items():
        if plane not in test:
            raise JaxsegError(
                f"plane {plane!r}: has {count} training frames and no test frame; "
                "choose another data.test_split"
            )
