"""Which fields of a config may vary between the cells of a grid, and why the others may not.

What may vary is a setting of training. What the cells are tested on and how they are scored is the
same for all: arms are compared on the same images, paired by seed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxseg.errors import UsageError

# Field, or section with its dot -> why it is no axis; "" where it may be one. The row of a field
# holds, not that of its section.
_ROWS = {
    "seed": "",
    "net.": "",
    "optim.": "",
    "data.crop": "",
    "data.train_split": "",
    "annotate.": "",
    "annotate.colour": "all arms are tested on the same annotated frames",
    "name": "it names the run and its folder",
    "data.": "all arms are tested on the same images and masks",
    "data.data_dir": "it says where prepared images are kept",
    "data.val_split": "all arms are validated on the same images",
    "data.size": "all arms are scored on frames of the same size",
    "data.planes": "all arms are scored by the same planes",
    "data.feed": "it says how batches are cut, not what is trained",
    "eval.": "all arms are scored in the same way",
    "run.": "it says how cells are run, not what is trained",
}
_UNKNOWN = "training does not read it"


def why_no_axis(field: str) -> str:
    """Why cells of one grid may not differ in a field, by its full name; empty where they may."""
    section = field.partition(".")[0] + "."
    return _ROWS.get(field, _ROWS.get(section, _UNKNOWN))


def axis_names(fields: Iterable[str]) -> list[str]:
    """Those of `fields`, full names, that may be axes, sorted."""
    return sorted(field for field in fields if not why_no_axis(field))


def check_axes(values: Mapping[str, Iterable[Any]], fields: Iterable[str]) -> None:
    """Raises UsageError for a field that takes several values and may not.

    `values` are those that each field takes over the cells, `fields` all that the config has.
    """
    for field, taken in values.items():
        if why := why_no_axis(field):
            names = axis_names(fields)
            same = [n for n in names if n.rpartition(".")[2] == field.rpartition(".")[2]]
            hint = f"; did you mean {same[0]}?" if same else ""
            shown = ",".join(str(value) for value in taken)
            raise UsageError(
                f"grid axis {field}={shown}: is no axis, as {why}; set it for all cells with "
                f"--config.{field}=VALUE; axes are {', '.join(names)}{hint}"
            )
