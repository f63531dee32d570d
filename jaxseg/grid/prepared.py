"""The prepared data of a cell by its config: which views of which splits, and its batches.

A config without the section `annotate` has no annotated frames.
"""

from collections.abc import Iterable

from jaxseg.data import sources
from jaxseg.data.crops import Stream
from jaxseg.data.pipeline import check_feed
from jaxseg.data.prepare import prepare_views
from jaxseg.data.store import Prepared
from jaxseg.data.views import test_view, training_view
from jaxseg.grid.config import Config, DataConfig
from jaxseg.progress import Progress, track

# The fixed crops that resemble a training policy: what its networks are validated on.
_VALIDATION_VIEWS = {"center": "full", "quarter": "quarter"}
_VALIDATION_SEED = 0


def cell_stream(config: Config) -> Stream:
    """The batches that a cell is trained on."""
    crop, annotate = config.data.crop, config.annotate
    if annotate is None:
        return Stream(crop, config.seed)
    return Stream(crop, config.seed, training_view(annotate.marking), annotate.contamination)


def validation_stream(config: Config) -> Stream:
    """What a cell is validated on: fixed crops that resemble its training, annotated alike.

    Cells that differ in nothing but the seed are validated on the same frames.
    """
    stream = cell_stream(config)
    view = stream.view or _VALIDATION_VIEWS.get(stream.crop, "random")
    return stream._replace(seed=_VALIDATION_SEED, view=view)


def views_of_tests(config: Config) -> dict[str, str]:
    """The prepared view of each test set."""
    colour = "" if config.annotate is None else config.annotate.colour
    return {name: test_view(name, colour) for name in config.eval.test_sets}


def prepared_views(
    data: DataConfig,
    split: str,
    views: Iterable[str],
    *,
    size: int | None = None,
    progress: Progress = track,
) -> dict[str, Prepared]:
    """`prepare_views` of one split at `size` pixels (`data.size` by default), with its errors."""
    return prepare_views(
        data.name,
        split,
        size=data.size if size is None else size,
        views=list(views),
        manual_dir=data.manual_dir or None,
        reading=data.reading,
        data_dir=data.data_dir or None,
        planes=data.planes,
        progress=progress,
    )


def check_splits(configs: Iterable[Config]) -> None:
    """Raises UsageError for a split that cannot be read, before any split is prepared.

    What a source raises for its folder is raised too, and JaxsegError for the host feed without
    TensorFlow; no picture is opened.
    """
    configs = list(configs)
    for config in configs:
        check_feed(config.data.feed)
    asked = {
        (data.name, data.manual_dir, data.reading.patterns, split)
        for data in (config.data for config in configs)
        for split in (data.train_split, data.val_split, data.test_split)
        if split
    }
    known: dict[tuple, sources.Pairs] = {}
    for name, place, patterns, split in sorted(asked):
        if (name, place, patterns) not in known:
            known[name, place, patterns] = sources.find_pairs(name, place or None, patterns)
        sources.check_split(name, split, known[name, place, patterns], place or None)
