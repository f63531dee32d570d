"""Sweeps as plain data: lists of dicts, each laid over a config's fields, one a cell.

`product` makes them. Fields are dotted names ("net.padding"); a last part that is unique
("padding") is enough. What may vary between cells is a setting of training: what they are tested on
and how they are scored is the same for all, because arms are compared on the same images.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxseg.errors import UsageError

SEED = "seed"
MOST_SEED = 2**31 - 1  # programs take seeds as int32
MOST_VALUES = 10_000  # of one axis: more cells than anyone trains
_BOOLEANS = {"true": True, "false": False}
Fields = dict[str, Any]

# Field, or section with its dot -> why it is not an axis; "" where it may be one. The row of a
# field takes precedence over that of its section.
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
    "data.data_dir": "it sets where prepared images are kept",
    "data.val_split": "all arms are validated on the same images",
    "data.size": "all arms are scored on frames of the same size",
    "data.planes": "all arms are scored by the same planes",
    "data.feed": "it sets how batches are cut, not what is trained",
    "eval.": "all arms are scored in the same way",
    "run.": "it sets how cells are run, not what is trained",
}
_UNKNOWN = "training does not read it"


def product(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    """All combinations of the axes' values, the last axis fastest."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Fields:
    """A nested mapping as {dotted name: value}; tuples and lists become tuples."""
    flat: Fields = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = tuple(value) if isinstance(value, list | tuple) else value
    return flat


def resolve_field(name: str, settings: Fields, where: str = "grid axis") -> str:
    """The full dotted name of a field given in full or by a unique last part."""
    if name in settings:
        return name
    matches = [full for full in settings if full.endswith("." + name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{where} {name!r}: ambiguous; give one of {', '.join(matches)}")
    if name.startswith("net.options."):
        raise UsageError(f"{where}={name!r}: give it a value first, --config.{name}=VALUE")
    hint = nearest(name, settings)
    known = ", ".join(axis_names(settings))
    raise UsageError(f"{where}={name!r}: is not a field of the config; axes are {known}{hint}")


def nearest(name: str, fields: Iterable[str]) -> str:
    """The hint that names the field nearest to a misspelt one; empty where none is near."""
    fields = list(fields)
    shorts = [full.rpartition(".")[2] for full in fields]
    close = difflib.get_close_matches(name.lower(), [*shorts, *fields], n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def override_axes(
    grid: Sequence[Mapping[str, Any]], overrides: Sequence[str], settings: Fields
) -> list[dict[str, Any]]:
    """Replaces or adds axes given as "padding=zeros,reflect" or "seed=0:10" (a range).

    Values take the type of the config's field. Raises UsageError for an unknown axis or a value
    that is not of the field's type.
    """
    overlays = [dict(overlay) for overlay in grid] or [{}]
    for text in overrides:
        name, separator, values = text.partition("=")
        if not separator or not values:
            raise UsageError(f"--grid {text!r}: must look like padding=zeros,reflect or seed=0:6")
        field = resolve_field(name.strip(), settings)
        new = _parse_values(field, values, settings[field])
        overlays = _replace_axis(resolve_overlays(overlays, settings), field, new)
    return overlays


def _replace_axis(
    overlays: Sequence[Mapping[str, Any]], field: str, values: Sequence[Any]
) -> list[dict[str, Any]]:
    """The overlays with `field` running over `values`; an axis keeps its place among the others."""
    blanks = [{**overlay, field: None} for overlay in overlays]
    distinct = [blank for i, blank in enumerate(blanks) if blank not in blanks[:i]]
    return [{**blank, field: value} for blank in distinct for value in values]


def _parse_values(field: str, text: str, like: Any) -> list[Any]:
    if type(like) is int and (span := re.fullmatch(r"(\d{1,18}):(\d{1,18})", text.strip())):
        values = range(int(span[1]), int(span[2]))
        if not 1 <= len(values) <= MOST_VALUES:
            raise UsageError(f"--grid {field}={text}: must be 1 to {MOST_VALUES} values")
        return list(values)
    if isinstance(like, tuple):
        raise UsageError(
            f"--grid {field}={text}: is not an axis, because {why_no_axis(field)}; set it with "
            f"--config.{field}=VALUE"
        )
    words = [word.strip() for word in text.split(",")]
    if "" in words:
        raise UsageError(f"--grid {field}={text}: holds an empty value; remove a comma")
    # bool("False") is true.
    read: Callable[[str], Any] = type(like)
    if isinstance(like, bool):
        read = lambda word: _BOOLEANS[word.lower()]  # noqa: E731
    try:
        values = [read(word) for word in words]
    except (ValueError, KeyError):
        raise UsageError(
            f"--grid {field}={text}: values must be of type {type(like).__name__}"
            + (", such as 0,1,2 or the range 0:6" if type(like) is int else "")
        ) from None
    for k, value in enumerate(values):
        if (first := values.index(value)) < k:
            both = " and ".join(dict.fromkeys((words[first], words[k])))
            raise UsageError(f"--grid {field}={text}: holds {both} twice; give each value once")
    return values


def resolve_overlays(grid: Sequence[Mapping[str, Any]], settings: Fields) -> list[dict[str, Any]]:
    """The overlays with their fields' full names, and values of the fields' types.

    Whole numbers become floats and lists become tuples where the config's field is one. Raises
    UsageError for an unknown field and a value of another type.
    """
    return [
        {
            (field := resolve_field(name, settings)): _typed(field, value, settings[field])
            for name, value in overlay.items()
        }
        for overlay in grid
    ]


def _typed(field: str, value: Any, like: Any) -> Any:
    if type(value) is type(like):
        return value
    if type(like) is float and type(value) is int:
        return float(value)
    if type(like) is tuple and type(value) is list:
        return tuple(value)
    raise UsageError(f"grid axis {field}={value!r}: must be of type {type(like).__name__}")


def grid_axes(overlays: Sequence[Mapping[str, Any]], settings: Fields) -> dict[str, list[Any]]:
    """The fields that vary over the grid besides the seed, each with its values in grid order.

    `overlays` have full names; where one lacks a field, its cell has the value of `settings`.
    """
    fields = dict.fromkeys(key for overlay in overlays for key in overlay if key != SEED)
    values = {f: list(dict.fromkeys(o.get(f, settings[f]) for o in overlays)) for f in fields}
    return {field: v for field, v in values.items() if len(v) > 1}


def why_no_axis(field: str) -> str:
    """Why cells of one grid may not differ in a field, by its full name; empty where they may."""
    section = field.partition(".")[0] + "."
    return _ROWS.get(field, _ROWS.get(section, _UNKNOWN))


def axis_names(fields: Iterable[str]) -> list[str]:
    """Those of `fields`, full names, that may be axes, sorted."""
    return sorted(field for field in fields if not why_no_axis(field))


def check_axes(values: Mapping[str, Iterable[Any]], fields: Iterable[str]) -> None:
    """Raises UsageError for a field that takes several values but must have one.

    `values` are those that each field takes over the cells, `fields` all that the config has.
    """
    for field, taken in values.items():
        if why := why_no_axis(field):
            names = axis_names(fields)
            same = [n for n in names if n.rpartition(".")[2] == field.rpartition(".")[2]]
            hint = f"; did you mean {same[0]}?" if same else ""
            shown = ",".join(str(value) for value in taken)
            raise UsageError(
                f"grid axis {field}={shown}: is not an axis, because {why}; set it for all cells "
                f"with --config.{field}=VALUE; axes are {', '.join(names)}{hint}"
            )
