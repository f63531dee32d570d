"""Prepared arrays: every image decoded once, cut at its original resolution, resized and kept.

A prepared view is a folder of images.npy, masks.npy and meta.json, keyed by builder, version,
source fingerprint, split, size and view. It is filled in a `.partial` folder with a count of what
is done, and renamed when whole: an interrupted preparation continues where it stopped and a half
one is never taken for whole. Reading a prepared view needs no TensorFlow.
"""

import contextlib
import importlib
import io
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxseg.data import sources
from jaxseg.data.crops import FIXED_VIEWS, WHOLE, fixed_boxes, pixel_box
from jaxseg.data.cut import cut
from jaxseg.data.host import data_options, quiet_tfds, tensorflow
from jaxseg.data.progress import Progress, track
from jaxseg.errors import JaxsegError, check_choice

# The whole frame at twice the size: half-frame crops cut from it keep the network's resolution.
FRAME2X = "frame2x"
VIEWS = (*FIXED_VIEWS, FRAME2X)
_SAVE_EVERY = 64


class Prepared(NamedTuple):
    """One view of a split, memory-mapped: images uint8 [n, views, S, S, 3], masks [n, views, S, S].

    S is the asked size, twice that for `frame2x`. Masks are class indices, 0 the background.
    """

    images: np.ndarray
    masks: np.ndarray
    ids: tuple[str, ...]
    classes: tuple[str, ...]


def cache_dir(data_dir: str | Path | None = None) -> Path:
    """`data_dir`, else $JAXSEG_CACHE, else ~/.cache/jaxseg."""
    chosen = data_dir or os.environ.get("JAXSEG_CACHE") or Path.home() / ".cache" / "jaxseg"
    return Path(chosen).expanduser()


def prepare_views(
    name: str,
    split: str,
    *,
    size: int,
    views: Sequence[str],
    manual_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    progress: Progress = track,
) -> dict[str, Prepared]:
    """Prepares the views that are missing in one pass over the images and opens all of them.

    Args:
        name: isic2017, folders or lesion_phantoms.
        split: a split or a part of one in TFDS's syntax, such as `train[:85%]`.
        size: side in pixels of the network's frame.
        views: of `full`, `quarter` (four quarters), `random` (four fixed boxes), `frame2x`.
        manual_dir: folder of downloaded images, where the data set needs one.
        data_dir: folder of the caches; see `cache_dir`.
        progress: wraps long loops.

    Raises:
        UsageError: an unknown name, split or view, or a folder that is not there.
        JaxsegError: files that cannot be used, no images, only empty masks, or too little disk.
    """
    for view in views:
        check_choice("view", view, VIEWS)
    source = sources.find_source(name)
    pairs, fingerprint = sources.find_files(name, manual_dir)
    sources.check_split(name, split, pairs, manual_dir)
    root = cache_dir(data_dir)
    key = f"{name}-{source.version}-{fingerprint}"
    home = root / "prepared" / key / re.sub(r"[^\w.%-]+", "_", split) / str(size)
    missing = [view for view in dict.fromkeys(views) if not (home / view).is_dir()]
    if missing:
        builder = _build(name, manual_dir, root / "tfds" / key, progress)
        _prepare(builder, name, split, size, missing, home, progress)
    return {view: _open(home / view) for view in views}


def _open(folder: Path) -> Prepared:
    meta = json.loads((folder / "meta.json").read_text())
    arrays = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("images", "masks"))
    return Prepared(*arrays, tuple(meta["ids"]), tuple(meta["classes"]))


def _build(name: str, manual_dir: str | Path | None, data_dir: Path, progress: Progress) -> Any:
    """The TFDS builder of a source, its files written on first use."""
    source = sources.find_source(name)
    with quiet_tfds():
        module = importlib.import_module(source.module)
        builder = getattr(module, source.builder)(
            manual_dir=manual_dir, progress=progress, data_dir=str(data_dir)
        )
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces itself there
            builder.download_and_prepare()
    return builder


def _prepare(
    builder: Any, name: str, split: str, size: int, views: list[str], home: Path, progress: Progress
) -> None:
    with quiet_tfds() as tfds:
        total = builder.info.splits[split].num_examples
        if not total:
            raise JaxsegError(
                f"data split {split!r} of {name}: holds no images; take a larger part"
            )
        _check_space(home, size, views, total)
        # One reader in file order: the same order on every machine.
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=config)
    partial = {view: home / f".{view}.partial" for view in views}
    stores = {view: _open_partial(partial[view], _shape(total, view, size)) for view in views}
    done = min(_done(folder) for folder in partial.values())
    ids = _read_ids(partial[views[0]], done)
    examples = _cut_views(dataset, views, total, size, done)
    for example in progress(examples, total - done, f"preparing {name} {split} at {size}"):
        for view, (images, masks) in stores.items():
            images[done], masks[done] = example[view]
        ids.append(example["id"].decode())
        done += 1
        if done % _SAVE_EVERY == 0 or done == total:
            _save_progress(partial, stores, ids)
    _finish(partial, stores, home, ids, list(builder.info.metadata["classes"]), name, split)


def _shape(total: int, view: str, size: int) -> tuple[int, int, int, int]:
    side = 2 * size if view == FRAME2X else size
    return total, FIXED_VIEWS.get(view, 1), side, side


def _check_space(home: Path, size: int, views: Sequence[str], total: int) -> None:
    need = sum(4 * int(np.prod(_shape(total, view, size))) for view in views)
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if need > free:
        raise JaxsegError(
            f"{home}: needs {need / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free; "
            "free some or name another folder in data.data_dir"
        )


def _open_partial(folder: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = []
    for part, full in (("images", (*shape, 3)), ("masks", shape)):
        path = folder / f"{part}.npy"
        fresh = not path.exists() or not (folder / "ids.json").exists()
        arrays.append(
            np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=full)
            if fresh
            else np.lib.format.open_memmap(path, mode="r+")
        )
    return arrays[0], arrays[1]


def _done(folder: Path) -> int:
    return len(_read_ids(folder, None))


def _read_ids(folder: Path, count: int | None) -> list[str]:
    path = folder / "ids.json"
    return json.loads(path.read_text())[:count] if path.exists() else []


def _save_progress(partial: dict[str, Path], stores: dict[str, Any], ids: list[str]) -> None:
    """Pixels reach the disk before the count that vouches for them."""
    for view, folder in partial.items():
        for array in stores[view]:
            array.flush()
        _replace_json(folder / "ids.json", ids)


def _replace_json(path: Path, content: Any) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _finish(
    partial: dict[str, Path],
    stores: dict[str, Any],
    home: Path,
    ids: list[str],
    classes: list[str],
    name: str,
    split: str,
) -> None:
    for view, folder in partial.items():
        if not stores[view][1].any():
            shutil.rmtree(folder)
            raise JaxsegError(
                f"data split {split!r} of {name}, view {view}: all masks are empty, there is "
                "nothing to segment; check the mask files"
            )
        _replace_json(folder / "meta.json", {"ids": ids, "classes": classes})
        (folder / "ids.json").unlink()
        folder.rename(home / view)


def _cut_views(dataset: Any, views: Sequence[str], total: int, size: int, start: int) -> Any:
    """Numpy examples {view: (images, masks), "id"} from `start` on, in order."""
    tf = tensorflow()
    boxes = {
        v: WHOLE[None, None].repeat(total, 0) if v == FRAME2X else fixed_boxes(v, total)
        for v in views
    }

    def bounds(view: str, index: Any, shape: Any) -> Any:
        return pixel_box(boxes[view][index], int(shape[0]), int(shape[1]))

    def cut_all(index: Any, example: Any) -> dict[str, Any]:
        image, mask = example["image"], example["mask"]
        result = {"id": example["id"]}
        for view in views:
            _, count, side, _ = _shape(total, view, size)
            rows = tf.numpy_function(
                lambda i, s, view=view: bounds(view, i, s), [index, tf.shape(image)], tf.int32
            )
            rows = tf.ensure_shape(rows, (count, 4))
            parts = [cut(image, mask, rows[i], side) for i in range(count)]
            result[view] = tuple(tf.stack(part) for part in zip(*parts))
        return result

    numbered = dataset.enumerate().skip(start).with_options(data_options())
    return numbered.map(cut_all, num_parallel_calls=2).prefetch(4).as_numpy_iterator()
