"""From a data set's files to prepared stores: decode once, crop, resize, keep.

Crops are cut at original resolution and then resized, the order of the paper's code.
"""

import contextlib
import importlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxseg.data import sources
from jaxseg.data.decoding import fill_stores
from jaxseg.data.host import quiet_tfds
from jaxseg.data.planes import plane_of
from jaxseg.data.progress import Progress, track
from jaxseg.data.sources import Reading
from jaxseg.data.store import (
    Prepared,
    check_space,
    disk_full,
    load_store,
    store_folder,
    verify_store,
)
from jaxseg.data.views import edition, find_view
from jaxseg.data.volumes import whole_file
from jaxseg.errors import JaxsegError, UsageError, is_disk_full
from jaxseg.file_locks import exclusive
from jaxseg.homes import default_data_dir, expand


def prepare_views(
    name: str,
    split: str,
    *,
    size: int,
    views: Sequence[str],
    manual_dir: str | Path | None = None,
    reading: Reading = Reading(),  # noqa: B008
    data_dir: str | Path | None = None,
    planes: str = "",
    progress: Progress = track,
) -> dict[str, Prepared]:
    """Prepared views of a split: those on disk are mapped, the others made in one decoding pass.

    `name` is one of `sources.SOURCES`, whose files lie below `manual_dir` and are read as `reading`
    says; `split` may be sliced (`train[:85%]`); `views` are `full`, `quarter` (4), `random` (4
    fixed boxes an image), each at `size`, `frame2x`, the whole frame at 2 · `size`, and those of
    annotation studies (see `views`), which write the plane that the pattern `planes` finds in an id
    on its frame. `data_dir` is by default $JAXSEG_CACHE or ~/.cache/jaxseg. An interrupted call is
    finished by the next one. What is on disk is used only for files of the same content, and needs
    no TensorFlow. Raises UsageError for wrong arguments and JaxsegError for files that cannot be
    used and for a full disk.
    """
    plane_of((), planes)
    made = {view: find_view(view, planes) for view in views}
    if size < 1:
        raise UsageError(f"data.size={size}: must be 1 or more pixels")
    root = expand(data_dir) if data_dir else default_data_dir()
    files = find_split_files(name, split, manual_dir, reading, cache=root, progress=progress)
    source = (name, sources.find_source(name).version, files.mark)
    folders = {
        view: store_folder(root, source, split, size, edition(view, planes)) for view in views
    }
    if not all(map(load_store, folders.values())):
        with _only_one_at_a_time(root):
            # Another process may have made them in the meantime.
            missing = [view for view in folders if load_store(folders[view]) is None]
            if missing:
                builder = _built(name, files, manual_dir, root, progress)
                lacking = {view: (folders[view], made[view]) for view in missing}
                fill_stores(builder, split, size, lacking, files.pairs, progress)
    return {view: _told(_loaded(folder), files, split) for view, folder in folders.items()}


def find_split_files(
    name: str,
    split: str,
    manual_dir: str | Path | None,
    reading: Reading,
    *,
    cache: Path,
    progress: Progress = track,
) -> sources.SourceFiles:
    """`sources.find_files`, after the split has been checked: before any file is opened."""
    pairs = sources.find_pairs(name, manual_dir, reading.patterns)
    sources.check_split(name, split, pairs, manual_dir)
    return sources.find_files(
        name, manual_dir, reading, cache=cache, progress=progress, pairs=pairs
    )


def _told(store: Prepared, files: sources.SourceFiles, split: str) -> Prepared:
    """The store with what is known of its files."""
    if files.masks is None:
        n = len(store.classes)
        taken = f"masks: generated, background and {n} class{'es' if n > 1 else ''}"
        return store._replace(taken=taken)
    known = [files.digests[base] for base in sources.base_splits(split)]
    found = (next((ids[i] for ids in known if i in ids), "") for i in store.ids)
    splits = tuple((base, len(members)) for base, members in files.pairs.items())
    cautions = tuple(files.masks.cautions)
    return store._replace(
        taken=files.masks.line, cautions=cautions, digests=tuple(found), splits=splits
    )


def _loaded(folder: Path) -> Prepared:
    store = load_store(folder)
    if store is None:
        raise JaxsegError(f"{folder}: was removed while it was being prepared; run again")
    verify_store(folder)
    return store


@contextlib.contextmanager
def _only_one_at_a_time(root: Path) -> Iterator[None]:
    with _cache_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        waiting = f"waiting: another process prepares data in {root}"
        with exclusive(root / "prepare.lock", waiting):
            yield


@contextlib.contextmanager
def _cache_errors(root: Path) -> Iterator[None]:
    """Turns what the system says of a folder below `root` that cannot be used into one line."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error) or not str(error.filename).startswith(str(root)):
            raise
        raise JaxsegError(
            f"{error.filename}: {error.strerror}, but data is prepared there; set JAXSEG_CACHE or "
            "data.data_dir to a folder that can be written to"
        ) from error


def _built(
    name: str,
    files: sources.SourceFiles,
    manual_dir: str | Path | None,
    root: Path,
    progress: Progress,
) -> Any:
    """The TFDS builder with its records on disk, made now if need be."""
    source = sources.find_source(name)
    home = root / "tfds" / files.mark
    with quiet_tfds() as tfds:
        make = getattr(importlib.import_module(source.module), source.builder)
        options: dict[str, Any] = {}
        if source.find_pairs:
            options = {"manual_dir": manual_dir, "files": files, "progress": progress}
        builder = make(data_dir=str(home), **options)
        if str(builder.version) != source.version:
            raise JaxsegError(f"{name}: builder {builder.version}, table says {source.version}")
        if builder.is_prepared():
            return builder
        for left_over in home.glob(f"{name}/incomplete*"):
            shutil.rmtree(left_over)
        needed = _bytes_on_disk(files.pairs)
        check_space(home, needed)
        try:
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            builder.download_and_prepare(download_config=config)
        except (OSError, RuntimeError) as error:
            if not is_disk_full(error):
                raise
            raise disk_full(home, needed, shutil.disk_usage(home).free) from error
    return builder


def _bytes_on_disk(pairs: sources.Pairs) -> int:
    every = (pair for members in pairs.values() for pair in members)
    files = {path for pair in every for path in (pair.image, *pair.masks)}
    return sum(whole_file(path).stat().st_size for path in files)
