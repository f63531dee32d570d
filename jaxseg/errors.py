"""Errors that a user can mend: one line that names the argument or file, its value and the rule.

`launch/` prints them without a stack trace and exits with `exit_code`.
"""

import difflib
from collections.abc import Iterable


class JaxsegError(Exception):
    """A file, data set or device that cannot be used as asked. Exit code 1."""

    exit_code = 1


class UsageError(JaxsegError, ValueError):
    """An argument or config field that breaks its rule. Exit code 2."""

    exit_code = 2


def check_choice(argument: str, value: str, choices: Iterable[str]) -> str:
    """Returns `value` when it is one of `choices`; raises UsageError naming the nearest otherwise."""
    choices = list(choices)
    if value in choices:
        return value
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"{argument}={value!r}: must be one of {', '.join(choices)}{hint}")
