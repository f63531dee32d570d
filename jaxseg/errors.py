"""Errors that a user can mend: one line that names the argument or file, its value and the rule.

`launch/` prints them without a stack trace and exits with `exit_code`.
"""

import contextlib
import difflib
import sys
from collections.abc import Iterable, Iterator


class JaxsegError(Exception):
    """A file, data set or device that cannot be used as asked. Exit code 1."""

    exit_code = 1


class UsageError(JaxsegError, ValueError):
    """An argument or config field that breaks its rule. Exit code 2."""

    exit_code = 2


def check_choice(argument: str, value: str, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`; raises UsageError naming the nearest otherwise."""
    choices = list(choices)
    if value in choices:
        return value
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"{argument}={value!r}: must be one of {', '.join(choices)}{hint}")


@contextlib.contextmanager
def one_line_errors(program: str, hint: str = "") -> Iterator[None]:
    """Turns a user's mistake into one line on stderr and the exit code; bugs keep their trace.

    `hint` is printed after an interruption, whose exit code is 130.
    """
    try:
        yield
    except JaxsegError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{program}: error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted. {hint}", file=sys.stderr)
        sys.exit(130)
