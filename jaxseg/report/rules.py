"""What config.json and progress.json must hold for a report to be made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.grid.config import make_config
from jaxseg.metrics.dice import EMPTY
from jaxseg.report.files import MEND, check_name, text
from jaxseg.texts import is_number

_DOSE = "annotate.contamination"
_PARTS = {"config": dict, "grid": list, "axes": dict, "environment": dict, "data": dict}
# Least and most: what a report computes with takes memory by them.
_NUMBERS = {
    "data.size": (1, 2**14),
    "eval.ring_width": (0, 2**14),
    "eval.border_px": (1, 2**14),
    "eval.resamples": (1, 10**5),
    _DOSE: (0, 1),
}
_WHOLE = ("data.size", "eval.border_px", "eval.resamples")


def check_about(path: Path, about: dict[str, Any]) -> None:
    """Raises JaxsegError, one line, for a config.json that no report can be made of."""
    for name, kind in _PARTS.items():
        if not isinstance(about.get(name, kind()), kind):
            what = "an object" if kind is dict else "a list"
            raise JaxsegError(f"{path}: {name}: must be {what}; {MEND}")
    config, data = about.get("config", {}), about.get("data", {})
    for field, (least, most) in _NUMBERS.items():
        value = _field(config, field, least)
        whole = field in _WHOLE and value != value // 1 if is_number(value) else False
        if whole or not is_number(value, least, most):
            raise JaxsegError(
                f"{path}: {field}={value!r}: must be a {'whole ' * (field in _WHOLE)}number from "
                f"{least} to {most}; {MEND}"
            )
    empty = make_config(config, strict=False).eval.empty
    if empty not in EMPTY:
        raise JaxsegError(f"{path}: eval.empty={empty!r}: must be one of {', '.join(EMPTY)}")
    for name in ("classes", "planes"):
        _check_names(f"{path}: data.{name}", data.get(name) or [])


def axes_of(path: Path, about: dict[str, Any]) -> dict[str, list[str]]:
    """The axes of config.json with their values as text; JaxsegError for other things there."""
    axes = about.get("axes", {})
    for name, values in axes.items():
        _check_names(f"{path}: axes", [name])
        if not isinstance(values, list) or not values:
            raise JaxsegError(f"{path}: axes.{name}: must be a list of values; {MEND}")
    found = {printable(name): [text(value) for value in values] for name, values in axes.items()}
    for name, values in found.items():
        _check_names(f"{path}: axes.{name}", values)
        if name == _DOSE:
            check_shares(f"{path}: axes.{name}", values)
    return found


def check_shares(where: str, values: Sequence[str]) -> None:
    """Raises JaxsegError unless every text is a number from 0 to 1."""
    for value in values:
        try:
            holds = 0 <= float(value) <= 1
        except ValueError:
            holds = False
        if not holds:
            raise JaxsegError(f"{where}={value!r}: must be a number from 0 to 1; {MEND}")


def check_progress(path: Path, progress: dict[str, Any]) -> dict[str, Any]:
    """Returns the progress; raises JaxsegError unless every value is a number from 0."""
    for name, value in progress.items():
        if not is_number(value, least=0):
            raise JaxsegError(f"{path}: {name}={value!r}: must be a number from 0; {MEND}")
    return progress


def _check_names(where: str, names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise JaxsegError(f"{where}: must be a list of names; {MEND}")
    for name in names:
        check_name(where, name)


def _field(config: Any, field: str, default: Any) -> Any:
    for part in field.split("."):
        if not isinstance(config, dict) or part not in config:
            return default
        config = config[part]
    return config
