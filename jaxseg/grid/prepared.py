"""The prepared views of a cell's data set, by the cell's settings."""

from collections.abc import Iterable

from jaxseg.data import sources
from jaxseg.data.prepare import prepare_views
from jaxseg.data.progress import Progress, track
from jaxseg.data.store import Prepared
from jaxseg.grid.sweeps import Settings


def prepared_views(
    settings: Settings,
    split: str,
    views: Iterable[str],
    *,
    size: int | None = None,
    progress: Progress = track,
) -> dict[str, Prepared]:
    """`prepare_views` of one split at `size` pixels (`data.size` by default), with its errors."""
    return prepare_views(
        settings["data.name"],
        split,
        size=settings["data.size"] if size is None else size,
        views=list(views),
        manual_dir=settings["data.manual_dir"] or None,
        data_dir=settings["data.data_dir"] or None,
        planes=settings.get("data.planes", ""),
        progress=progress,
    )


def check_splits(all_settings: Iterable[Settings]) -> None:
    """Raises UsageError for a split that cannot be read, before any is prepared.

    What a source raises for its folder is raised too; no picture is opened.
    """
    fields = ("data.name", "data.manual_dir")
    splits = ("data.train_split", "data.val_split", "data.test_split")
    asked = {
        (*(settings[field] for field in fields), settings[split])
        for settings in all_settings
        for split in splits
        if settings[split]
    }
    known: dict[tuple[str, str], sources.Pairs] = {}
    for name, place, split in sorted(asked):
        if (name, place) not in known:
            known[name, place] = sources.find_files(name, place or None)[0]
        sources.check_split(name, split, known[name, place], place or None)
