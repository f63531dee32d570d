"""Compiled programs kept on disk, so that the second run of a grid does not compile again."""

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import jax

_FAILED = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(\w+)': (.*)"
)


def keep_compiled(folder: Path, at_least_s: float = 1.0) -> None:
    """Keeps programs that took `at_least_s` to compile in `folder`, keyed by JAX, device and code.

    An entry that cannot be read, as a kill while it was written leaves it, is removed and compiled
    again, in one line on stderr. JAX itself would warn in every run and never replace it. Programs
    that cannot be written, as the disk is full, are said once.
    """
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", at_least_s)
    show_others, unwritten = warnings.showwarning, []

    def show(message: Any, *args: Any, **kwargs: Any) -> None:
        failed = _FAILED.match(str(message))
        if failed is None:
            show_others(message, *args, **kwargs)
            return
        if failed[1] == "reading":
            # The message does not say which: all of that name, a cache can lose them.
            for entry in folder.glob(f"{failed[2]}-*-cache"):
                entry.unlink(missing_ok=True)
        reason = failed[3].splitlines()[0]
        if failed[1] == "reading":
            print(f"{folder}: reading failed ({reason}); compiling again", file=sys.stderr)
        elif not unwritten:
            unwritten.append(reason)
            line = f"{folder}: programs cannot be kept ({reason}); the next run compiles again"
            print(line, file=sys.stderr)

    warnings.showwarning = show
    # Each is to be seen: a filter that shows a place once would leave the second unmended.
    warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation")
