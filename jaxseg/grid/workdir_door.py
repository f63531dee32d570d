"""The door for a run's own files, which somebody else may have written: sealed, in the right form.

A seal tells damage; whoever writes a file on purpose can seal it too. Each function raises
DamagedError naming the file and the rule.
"""

from typing import Any

from etils.epath import Path

from jaxseg.errors import DamagedError
from jaxseg.seals import AGAIN, read_sealed
from jaxseg.texts import is_number

STATUSES = ("done", "diverged")  # of a cell that has ended
Row = dict[str, Any]


def read_about(path: Path, mend: str) -> Row:
    """config.json: `config` and `data` are objects, `grid` a list of fields with plain values."""
    blank: Row = {"config": {}, "grid": [], "data": {}}
    about = blank | read_sealed(path, mend)
    for name, kind in blank.items():
        if not isinstance(about[name], type(kind)):
            raise DamagedError(path, f"`{name}` must be a {type(kind).__name__}", mend)
    if not all(isinstance(cell, dict) and _is_plain(cell, lists=True) for cell in about["grid"]):
        raise DamagedError(path, "`grid` must be a list of fields and plain values", mend)
    return about


def read_status(path: Path) -> Row:
    """The row of a cell that has ended: plain values, with one of STATUSES."""
    row = read_sealed(path)
    if row.get("status") not in STATUSES or not _is_plain(row):
        rule = f"must hold plain values, with `status` one of {', '.join(STATUSES)}"
        raise DamagedError(path, rule, AGAIN)
    return row


def read_rows(path: Path, mend: str) -> list[Row]:
    """The losses of a cell by epoch: every row has `cell`, a text, and `epoch`, a number."""
    rows = read_sealed(path, mend).get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DamagedError(path, "holds no list `rows` of objects", mend)
    if not all(isinstance(row.get("cell"), str) and is_number(row.get("epoch")) for row in rows):
        raise DamagedError(path, "a row has no `cell` or no `epoch`", mend)
    return rows


def read_progress(path: Path) -> dict[str, float]:
    """Seconds and memory of one share by name; `wall_s` and `peak_memory_mb` are among them."""
    found = read_sealed(path)
    needed = {key: found.get(key) for key in ("wall_s", "peak_memory_mb")}
    for key, value in (found | needed).items():
        if not is_number(value, least=0):
            raise DamagedError(path, f"{key}={value!r:.60}: must be a number from 0", AGAIN)
    return found


def _is_plain(row: Row, *, lists: bool = False) -> bool:
    """Whether a row holds texts, numbers and nothing, and with `lists` also lists of them."""
    values = [
        inner
        for value in row.values()
        for inner in (value if lists and isinstance(value, list) else [value])
    ]
    return all(value is None or isinstance(value, str | int | float) for value in values)
