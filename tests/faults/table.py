"""Prints what a user meets when something goes wrong in a grid, and that its counts stay the same.

    python tests/faults/table.py
    python tests/faults/table.py --only SIGKILL
    python tests/faults/table.py --only 'checkpoint|clock' --jobs 1

Each row is a fault met by launch/grid.py in a process of its own, at a place in the code and not
after so many seconds (see driver.py): what it said, how the next run of the same command ended, and
whether the counts are those of an undisturbed run, bit by bit. Everything is done in a temporary
folder, in some minutes. Exit code 0 when every row is as it should be; a row that needs root says
so elsewhere and counts as good.
"""

import argparse
import concurrent.futures
import pathlib
import re
import sys
import tempfile
import textwrap
import time

from damage import DAMAGE_ROWS
from rows import ROWS, Row
from runs import Home, make_home

WIDTHS = (34, 72, 40, 6)
ALL = ROWS | DAMAGE_ROWS


def print_line(cells: tuple[str, ...]) -> None:
    """Prints the cells of a line side by side, long ones over several lines."""
    wrapped = [textwrap.wrap(c, w) or [""] for c, w in zip(cells, WIDTHS)]
    for i in range(max(map(len, wrapped))):
        parts = [(c[i] if i < len(c) else "").ljust(w) for c, w in zip(wrapped, WIDTHS)]
        print(" | ".join(parts).rstrip())


def run_row(name: str, home: Home) -> list[Row]:
    """The rows of a fault; one that says what broke where the table itself did."""
    try:
        rows = ALL[name](home)
    except Exception as error:
        rows = Row(name, f"the table failed: {error!r}", "", "NO", False)
    return [rows] if isinstance(rows, Row) else rows


def run_table(names: list[str], folder: pathlib.Path, jobs: int) -> list[Row]:
    """All rows of these names in their order, with progress on stderr."""
    clock = time.monotonic()
    print("undisturbed runs …", file=sys.stderr, flush=True)
    home = make_home(folder)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(run_row, name, home): name for name in names}
        for done, future in enumerate(concurrent.futures.as_completed(running), 1):
            verdict = "ok" if all(row.good for row in future.result()) else "MISS"
            seconds = time.monotonic() - clock
            print(f"{done}/{len(names)} {seconds:4.0f} s  {running[future]}: {verdict}",
                  file=sys.stderr, flush=True)  # fmt: skip
    return [row for future in running for row in future.result()]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows that match this")
    parser.add_argument("--jobs", type=int, default=2, help="rows at the same time")
    args = parser.parse_args()
    names = [name for name in ALL if re.search(args.only, name)]
    if not names:
        parser.error(f"--only {args.only!r}: matches none of: {'; '.join(ALL)}")
    with tempfile.TemporaryDirectory(prefix="faults-") as home:
        rows = run_table(names, pathlib.Path(home), args.jobs)
        print_line(("fault", "what the user sees", "next run", "counts equal"))
        for row in rows:
            print("-" * (sum(WIDTHS) + 9))
            shown = row[:4] if row.good else (f"MISS: {row.fault}", *row[1:4])
            print_line(tuple(text.replace(f"{home}/", "") for text in shown))
    misses = sum(not row.good for row in rows)
    print(f"{len(rows)} rows, {misses} misses")
    sys.exit(misses > 0)


if __name__ == "__main__":
    main()
