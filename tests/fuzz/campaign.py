"""Tries hostile input on every reader and prints the outcomes; fails on any other exception.

    python tests/fuzz/campaign.py --inputs 100000
    python tests/fuzz/campaign.py --inputs 5000 --reader "audit: npy" --seed 7

Each reader runs in a separate process, so that a crash does not stop the others, with a limit of
memory (see `guard`). Inputs are made by Hypothesis from --seed: the same command tries the same.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback
import warnings

import conftest  # noqa: F401

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

HEADS = ("reader", "inputs", "accepted", "refused by own error", "other exceptions")
HEADS += ("peak memory growth, MB", "seconds")


def try_reader(name: str, inputs: int, seed: int) -> dict:
    """One reader's row, and an example of each kind of exception that is not the product's own."""
    import hypothesis
    from guard import bounded_memory, peak_mb
    from readers import READERS, tried

    from jaxseg.grid.devices import start_devices

    warnings.simplefilter("ignore")
    reader = next(reader for reader in READERS if reader.name == name)
    found: collections.Counter = collections.Counter()
    others: dict[str, str] = {}
    fast = "/dev/shm" if os.path.isdir("/dev/shm") else None  # inputs are files
    with tempfile.TemporaryDirectory(dir=fast) as home:
        start_devices(pathlib.Path(home) / "case" / "compiled")

        def once(case):
            try:
                found[tried(reader, case, pathlib.Path(home) / "case")] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                found["other"] += 1
                place = traceback.extract_tb(error.__traceback__)[-1]
                kind = (
                    f"{type(error).__name__} at {pathlib.Path(place.filename).name}:{place.lineno}"
                )
                others.setdefault(kind, f"{error!r:.300} for {case!r:.300}\n{_trace(error)}")

        def run(count, seed):
            every = hypothesis.seed(seed)(hypothesis.given(reader.cases())(once))
            quiet = list(hypothesis.HealthCheck)
            hypothesis.settings(
                max_examples=count, database=None, deadline=None, suppress_health_check=quiet,
                phases=[hypothesis.Phase.generate],
            )(every)()  # fmt: skip

        run(20, seed + 1)  # what is imported or compiled once is no input's doing
        found.clear()
        others.clear()
        before, started = peak_mb(), time.monotonic()
        with bounded_memory():
            while (done := sum(found.values())) < inputs:  # few cases may be all there are: again
                run(inputs - done, seed)
                seed += 1000
    row = [name, sum(found.values()), found["accepted"], found["refused"], found["other"]]
    row += [round(peak_mb() - before), round(time.monotonic() - started)]
    return {"row": row, "others": others}


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)[-4:])


def in_a_child(name: str, inputs: int, seed: int) -> dict:
    """`try_reader` in a separate process; a crash of it counts as an exception."""
    words = ["--reader", name, "--inputs", str(inputs), "--seed", str(seed), "--child"]
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, *words], capture_output=True, text=True
    )
    lines = child.stdout.strip().splitlines()
    if child.returncode or not lines:
        return {
            "row": [name, inputs, 0, 0, 1, 0, 0],
            "others": {f"died, exit code {child.returncode}": child.stderr[-3000:]},
        }
    return json.loads(lines[-1])


def table(rows: list[list]) -> str:
    """Rows below their heads, and the totals."""
    total = ["total", *(sum(row[k] for row in rows) for k in range(1, 5))]
    total += [max(row[5] for row in rows), sum(row[6] for row in rows)]
    lines = [[str(value) for value in row] for row in (HEADS, *rows, total)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(" | ".join(v.ljust(w) for v, w in zip(line, widths)) for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="Number of inputs of all readers together"
    )
    parser.add_argument("--reader", action="append", help="Only this reader; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs", type=int, default=1, help="Number of readers tried at the same time"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(try_reader(args.reader[0], args.inputs, args.seed)))
        return
    from readers import READERS

    chosen = [reader for reader in READERS if not args.reader or reader.name in args.reader]
    shares = sum(reader.share for reader in chosen)
    rows, bad = [], False

    def whole(reader):
        return in_a_child(reader.name, -(-args.inputs * reader.share // shares), args.seed)

    pool = concurrent.futures.ThreadPoolExecutor(args.jobs)
    for reader, found in zip(chosen, pool.map(whole, chosen)):
        rows.append(found["row"])
        print(" | ".join(map(str, found["row"])), file=sys.stderr, flush=True)
        for kind, example in found["others"].items():
            bad = True
            print(f"{reader.name}: {kind}: {example}", file=sys.stderr, flush=True)
    print(table(rows))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
