"""Rows of the fault table about files that are cut short or hold another byte."""

import pathlib
import re
import shutil
from collections.abc import Callable
from functools import partial

from kill_trial import read_counts
from rows import Row, is_one_line, make_row, told
from runs import DAMAGES, SMALL, Ended, Home, ended, launch, same

NEVER_READ = "nothing: it is not read"


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All files below a folder, in the order of their names without Orbax's random ones."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder) for path in found)


def _number(folder: pathlib.Path) -> pathlib.Path:
    return next(path for path in folder.iterdir() if path.name.isdigit())


def _plain(path: pathlib.Path) -> str:
    return re.sub(r"[0-9a-f]{32}", "*", str(path))


def checkpoints(home: Home) -> list[Row]:
    """Each file of a checkpoint, in training and finished, damaged in a chunk of its own."""
    kept, workdir = home.new("kept"), home.folder / "many"
    sample = _files(_number(home.folder / "half" / "checkpoints" / "zeros-s0"))
    chunks = len(sample) * len(DAMAGES)
    words = [*SMALL, "--config.run.checkpoint_epochs=3", "--grid", f"seed=0:{2 * chunks}"]
    # Just before it is replaced by the finished one, a chunk's checkpoint in training is kept.
    copy = {"at": "jaxseg.grid.checkpoints:save", "call": 0, "do": "copy", "folder": str(kept)}
    first = home.run(workdir, copy, arguments=words)
    if first != (0, []):
        return [Row("checkpoints", told(first), "", "NO", False)]
    expected = read_counts(workdir)
    rows = []
    for kind, source in (("in training", kept), ("finished", workdir / "checkpoints")):
        copied = home.folder / f"many {kind}"
        shutil.copytree(workdir, copied, ignore=shutil.ignore_patterns("counts", "status"))
        shutil.rmtree(copied / "checkpoints")
        shutil.copytree(source, copied / "checkpoints")
        places = _damage_each(copied / "checkpoints")
        after = home.run(copied, arguments=words)
        rows += _rows_by_outcome(f"checkpoint {kind}", places, after, copied, expected)
    return rows


def _damage_each(folder: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Damages another file of each chunk; {chunk: (damage, file)}."""
    places: dict[str, tuple[str, str]] = {}
    names = sorted(folder.iterdir(), key=lambda path: int(path.name.rpartition("-s")[2]))
    turns = [(i, damage) for i in range(len(_files(_number(names[0])))) for damage in DAMAGES]
    for chunk, (i, damage) in zip(names, turns):
        files = _files(_number(chunk))
        file = files[min(i, len(files) - 1)]
        DAMAGES[damage](_number(chunk) / file)
        places[chunk.name] = damage, _plain(file)
    return places


def _rows_by_outcome(
    kind: str, places: dict[str, tuple[str, str]], after: Ended, workdir: pathlib.Path,
    expected: dict,
) -> list[Row]:  # fmt: skip
    """A row for each damage and outcome, with the files that had it."""
    got, rows = read_counts(workdir), []
    unexplained = [line for line in after.said if "damaged: " not in line]
    said = {c: [x for x in after.said if f"checkpoints/{c}/" in x] for c in places}
    for damage in DAMAGES:
        for noticed in (True, False):
            chunks = [c for c in places if places[c][0] == damage and bool(said[c]) == noticed]
            if not chunks:
                continue
            seeds = {int(c.rpartition("-s")[2]) + k for c in chunks for k in (0, 1)}
            equal = all(same(_of(got, seed), _of(expected, seed)) for seed in seeds)
            names = ", ".join(dict.fromkeys(places[c][1] for c in chunks))
            told_one = [line for c in chunks for line in said[c]]
            good = len(told_one) == (len(chunks) if noticed else 0) and not unexplained
            line = f"{told_one[-1]} (exit {after.code})" if noticed else NEVER_READ
            end = Ended(after.code, [])
            rows.append(make_row(f"{kind}, {damage}: {names}", line, end, equal, good))
    return rows


def _of(counts: dict, seed: int) -> dict:
    return {name: values for name, values in counts.items() if name.startswith(f"zeros-s{seed}/")}


def inspected(home: Home) -> list[Row]:
    """A finished cell with a damaged checkpoint is inspected, and made again as the line says."""
    rows = []
    for damage in DAMAGES:
        workdir = home.finished(f"inspected {damage}")
        folder = workdir / "checkpoints" / "zeros-s0"
        DAMAGES[damage](max(_number(folder).glob("variables/d/*"), key=lambda p: p.stat().st_size))
        words = [str(workdir), "--cell", "zeros-s1"]
        first = ended(launch(words, home.cache, script="inspect_checkpoint.py"))
        shutil.rmtree(folder)
        shutil.rmtree(workdir / "counts")
        after = home.run(workdir)
        fault = f"inspect_checkpoint.py, arrays {damage}"
        good = is_one_line(first) and after.said == []
        rows.append(make_row(fault, told(first), after, home.equal(workdir), good))
    return rows


def small_file(name: str, home: Home) -> list[Row]:
    """A file that a resumed run reads; damaged in two ways, then removed as the line says."""
    begin = home.half if name.startswith(("config", "data")) else home.finished
    workdir = begin(f"run of {name.replace('/', '_')}")
    path, whole = workdir / name, (workdir / name).read_bytes()
    refused = {}
    for damage in DAMAGES:
        path.write_bytes(whole)
        DAMAGES[damage](path)
        refused[damage] = home.run(workdir)
    path.unlink()
    if name == "config.json":
        path.write_bytes(whole)
    return _mended(name, refused, home.run(workdir), home.equal(workdir))


def _mended(name: str, refused: dict[str, Ended], after: Ended, equal: bool) -> list[Row]:
    """The rows of a file whose damages were refused one after the other, and then mended."""
    return [
        make_row(
            f"{name}, {damage}", told(first), after, equal, is_one_line(first) and not after.said
        )
        for damage, first in refused.items()
    ]


def own_file(name: str, home: Home) -> list[Row]:
    """A file that a process wrote of its own: where it cannot be read it is as if not there."""
    begin = home.half if name.startswith("metrics/") else home.finished
    workdir = begin(f"run of {name.replace('/', '_')}")
    path, whole, rows = workdir / name, (workdir / name).read_bytes(), []
    for damage in DAMAGES:
        path.write_bytes(whole)
        DAMAGES[damage](path)
        first = home.run(workdir)
        after = home.run(workdir)
        good = first == (0, []) and after.said == []
        said = "nothing: it is written again"
        rows.append(make_row(f"{name}, {damage}", said, after, home.equal(workdir), good))
    return rows


def merged_files(home: Home) -> Row:
    """Files that every run writes again, all damaged at once."""
    names = ("cells.csv", "metrics.jsonl", "progress.json", "report.html")
    workdir = home.finished("merged files")
    for name in names:
        DAMAGES["one byte flipped"](workdir / name)
    after = home.run(workdir)
    undisturbed = home.folder / "undisturbed"
    good = all((workdir / n).read_bytes() == (undisturbed / n).read_bytes() for n in names)
    said = "nothing: they are written again"
    fault = f"{', '.join(names)}: one byte flipped"
    return make_row(fault, said, after, home.equal(workdir), good and after.said == [])


def data(pattern: str, without: str, share: float, home: Home) -> list[Row]:
    """A file of the prepared data or its source; damaged, then its folder removed as told."""
    name = pattern.rpartition("/")[2].strip("*")
    workdir, folder = home.half(f"run with {name}"), home.data(f"cache of {name}", without)
    (path,) = folder.glob(pattern)
    whole, refused = path.read_bytes(), {}
    for damage in DAMAGES:
        path.write_bytes(whole)
        DAMAGES[damage](path, share)
        refused[damage] = home.run(workdir, data=folder)
    shutil.rmtree(path.parent)
    after = home.run(workdir, data=folder)
    return _mended(f"cache: {name}", refused, after, home.equal(workdir))


def programs(home: Home) -> list[Row]:
    """A compiled program that is damaged: compiled again."""
    cache, rows = home.folder / "programs", []
    home.run(home.half("filling programs"), cache=cache)
    for damage in DAMAGES:
        workdir = home.half(f"programs {damage}")
        DAMAGES[damage](min((cache / "compiled").glob("*-cache")))
        first = home.run(workdir, cache=cache)
        after = home.run(home.half(f"programs after {damage}"), cache=cache)
        good = is_one_line(first, 0) and after.said == []
        fault = f"cache: compiled program, {damage}"
        rows.append(make_row(fault, told(first), after, home.equal(workdir), good))
    return rows


SMALL_FILES = (
    "config.json", "counts/zeros-s1.npz", "data/lesion_phantoms/train_from_to16/full-32.json",
    "examples.npz",
)  # fmt: skip
OWN_FILES = ("status/zeros-s1.json", "metrics/zeros-s1.json", "progress/0-of-1.json")
DAMAGE_ROWS: dict[str, Callable[[Home], Row | list[Row]]] = {
    "each file of a checkpoint": checkpoints,
    "inspecting a damaged checkpoint": inspected,
    **{f"{name}, damaged": partial(small_file, name) for name in SMALL_FILES},
    **{f"{name}, damaged": partial(own_file, name) for name in OWN_FILES},
    "merged files, damaged": merged_files,
    "cache: images.npy": partial(
        data, "prepared/lesion*/train*/full-32/images.npy", "compiled", 0.5
    ),
    "cache: store.json": partial(
        data, "prepared/lesion*/train*/full-32/store.json", "compiled", 0.5
    ),
    "cache: compiled program": programs,
}
