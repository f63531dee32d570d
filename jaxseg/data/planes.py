"""The imaging plane of each frame, read from its id."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from jaxseg.errors import JaxsegError, UsageError

FIELD = "data.planes"


def plane_of(ids: Iterable[str], pattern: str) -> list[str]:
    """The plane of every id: the one group of the regular expression, found anywhere in the id.

    `""` is for data of one plane and gives `""` for every id. Raises UsageError for a pattern
    that is not a regular expression or has not one group, JaxsegError for an id in which it is not
    found or its group is empty.
    """
    if not pattern:
        return ["" for _ in ids]
    expression, planes = _compiled(pattern), []
    for name in ids:
        match = expression.search(name)
        if not match or not match[1]:
            raise JaxsegError(
                f"{FIELD}={pattern!r}: finds no plane in the id {name!r}; correct the pattern or "
                "rename the frame"
            )
        planes.append(match[1])
    return planes


def label_of(image_id: str, pattern: str) -> str:
    """The plane to write on a frame; empty where the id does not name one."""
    match = _compiled(pattern).search(image_id) if pattern else None
    return (match and match[1]) or ""


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{FIELD}={pattern!r}: not a regular expression ({error})") from error
    if expression.groups != 1:
        raise UsageError(
            f"{FIELD}={pattern!r}: must hold one (group), the plane's name, "
            f"holds {expression.groups}"
        )
    return expression


def check_planes(train_planes: Sequence[str], test_planes: Sequence[str]) -> None:
    """Raises JaxsegError for a plane that has training frames but no test frame."""
    for plane, frames in sorted(Counter(train_planes).items()):
        if plane not in test_planes:
            there = ", ".join(sorted(set(test_planes))) or "none"
            raise JaxsegError(
                f"{FIELD}: plane {plane!r} has {frames} training frames but no test frame "
                f"(planes tested: {there}); add some or take another data.test_split"
            )
