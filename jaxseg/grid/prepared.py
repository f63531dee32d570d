"""The prepared views of a cell's data set, by the cell's settings."""

from collections.abc import Iterable

from jaxseg.data import sources
from jaxseg.data.mask_coding import MaskOptions
from jaxseg.data.pipeline import check_feed
from jaxseg.data.prepare import prepare_views
from jaxseg.data.progress import Progress, track
from jaxseg.data.sources import Patterns, Reading
from jaxseg.data.store import Prepared
from jaxseg.grid.sweeps import Settings

# Fields of `data` that say how files are found and read; a config may leave them out.
READING: Settings = {
    "pattern": "*",  # names of images to read, as in a shell
    "truth_pattern": "*",  # names of masks, such as *_Annotation.png
    "mask_threshold": 0.0,  # above 0: masks are soft, foreground from this share on
    "ignore_label": -1,  # label of pixels that are not judged; -1: none
    "several_masks": "join",  # of one picture: join, first or refuse
    "rehash": False,  # read every file again, whatever its size and times say
}
DEFAULTS: Settings = {f"data.{name}": value for name, value in READING.items()}


def data_reading(settings: Settings) -> Reading:
    """How a cell's files are found and read, by its settings; UsageError for a wrong one."""
    s = DEFAULTS | settings
    options = MaskOptions(
        threshold=s["data.mask_threshold"] or None,
        ignore=None if s["data.ignore_label"] < 0 else s["data.ignore_label"],
        several=s["data.several_masks"],
    )
    return Reading(
        s["data.pattern"], s["data.truth_pattern"], options.check(), rehash=s["data.rehash"]
    )


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
        reading=data_reading(settings),
        data_dir=settings["data.data_dir"] or None,
        planes=settings.get("data.planes", ""),
        progress=progress,
    )


def check_splits(all_settings: Iterable[Settings]) -> None:
    """Raises UsageError for a split that cannot be read, before any is prepared.

    What a source raises for its folder is raised too, and JaxsegError for the host feed without
    TensorFlow; no picture is opened.
    """
    all_settings = list(all_settings)
    for settings in all_settings:
        check_feed(settings.get("data.feed", "auto"))
    splits = ("data.train_split", "data.val_split", "data.test_split")
    asked = {
        (settings["data.name"], settings["data.manual_dir"], data_reading(settings).patterns, split)
        for settings in all_settings
        for split in (settings[field] for field in splits)
        if split
    }
    known: dict[tuple[str, str, Patterns], sources.Pairs] = {}
    for name, place, patterns, split in sorted(asked):
        if (name, place, patterns) not in known:
            known[name, place, patterns] = sources.find_pairs(name, place or None, patterns)
        sources.check_split(name, split, known[name, place, patterns], place or None)
