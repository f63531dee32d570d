"""What the fields of a config's `annotate` section mean for a cell's data.

A config without that section has no annotated frames; one with it has all of its fields.
"""

from jaxseg.data.streams import Stream, annotated_images
from jaxseg.data.views import (
    ANNOTATED_SETS,
    TEST_SETS,
    Marking,
    test_view,
    training_view,
)
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.sweeps import Settings

SECTION = "annotate."
CONTAMINATION = SECTION + "contamination"
# Fields that only choose among prepared frames: cells that differ in them share a program.
DYNAMIC = (CONTAMINATION, *(SECTION + name for name in ("placement", "removal", "drawn")))
# The fixed crops that resemble a training policy: what its networks are validated on.
_VALIDATION_VIEWS = {"center": "full", "quarter": "quarter"}
_VALIDATION_SEED = 0


def cell_marking(settings: Settings) -> Marking | None:
    """How a cell's training frames are annotated; None in a config that annotates none."""
    if CONTAMINATION not in settings:
        return None
    missing = [name for name in Marking._fields if SECTION + name not in settings]
    if missing:
        raise UsageError(f"config field {SECTION}{missing[0]}: is missing in the config file")
    return Marking(*(settings[SECTION + name] for name in Marking._fields))


def check_marking(settings: Settings) -> None:
    """Raises UsageError for test sets and annotations that a cell cannot have."""
    marking = cell_marking(settings)
    for test_set in settings["eval.test_sets"]:
        check_choice("eval.test_sets", test_set, TEST_SETS)
        if marking is None and test_set in ANNOTATED_SETS:
            raise UsageError(
                f"eval.test_sets={test_set!r}: needs the config's section annotate, as in "
                "configs/caliper_ablation.py"
            )
    if not settings["eval.test_sets"]:
        raise UsageError(f"eval.test_sets=(): name at least one of {', '.join(TEST_SETS)}")
    if marking is None:
        return
    training_view(marking)
    annotated_images(1, 0, settings[CONTAMINATION])
    if settings["data.crop"] != "center":
        raise UsageError(
            f"data.crop={settings['data.crop']!r}: annotated frames are shown whole; use center"
        )


def cell_stream(settings: Settings) -> Stream:
    """The batches that a cell is trained on."""
    crop, seed, marking = settings["data.crop"], settings["seed"], cell_marking(settings)
    if marking is None:
        return Stream(crop, seed)
    return Stream(crop, seed, training_view(marking), settings[CONTAMINATION])


def test_views(settings: Settings) -> dict[str, str]:
    """The prepared view of each test set."""
    marking = cell_marking(settings)
    colour = "" if marking is None else marking.colour
    return {name: test_view(name, colour) for name in settings["eval.test_sets"]}


test_views.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]  # not a test


def validation_stream(settings: Settings) -> Stream:
    """What a cell is validated on: fixed crops that resemble its training, annotated alike.

    Cells that differ in nothing but the seed are validated on the same frames.
    """
    stream = cell_stream(settings)
    view = stream.view or _VALIDATION_VIEWS.get(stream.crop, "random")
    return stream._replace(seed=_VALIDATION_SEED, view=view)
