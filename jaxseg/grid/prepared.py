"""The prepared views of a cell's data set, by the cell's settings."""

from collections.abc import Iterable

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
