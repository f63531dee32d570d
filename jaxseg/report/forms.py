"""The form of every array that a report reads, checked before anything is computed from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxseg.data import arrays
from jaxseg.errors import JaxsegError
from jaxseg.seals import AGAIN


class Form(NamedTuple):
    """Kinds of dtype, axes by name or number, and the range of values; NaN is in every range.

    Axes of one name are equally long in all arrays of a file, and none is empty.
    """

    kinds: str
    axes: tuple[str | int, ...]
    least: float = -np.inf
    most: float = np.inf


_ITEMS, _COUNT = ("items", "bands", "classes", 3), 2**31 - 1
COUNTS = {
    ".centre": Form("iu", _ITEMS, 0, _COUNT),
    ".border": Form("iu", _ITEMS, 0, _COUNT),
    ".stability": Form("iu", ("items", "classes", 3), 0, _COUNT),
    ".image": Form("iu", ("items",), 0, _COUNT),
    "prediction": Form("u", ("k", "h", "w")),
}
EXAMPLES = {
    "image": Form("u", ("k", "h", "w", 3), 0, 255),
    "truth": Form("u", ("k", "h", "w")),
    "label": Form("U", ("k",)),
    "rule": Form("U", ()),
    "clean_image": Form("u", ("k", "h", "w", 3), 0, 255),
}
_SCORES = ("cells", "frames", "classes")
SALIENCY = {
    "cells": Form("U", ("cells",)),
    "layer": Form("U", ()),
    "classes": Form("U", ("classes",)),
    "test_set": Form("U", ()),
    "frame": Form("iu", ("frames",), 0, _COUNT),
    "share": Form("f", _SCORES, 0, 1),
    "area": Form("f", ("frames",), 0, 1),
    "hit": Form("iu", _SCORES, -1, 1),
    "random_share": Form("f", _SCORES, 0, 1),
    "random_hit": Form("iu", _SCORES, -1, 1),
    "example_frame": Form("iu", ("e",), 0, _COUNT),
    "example_image": Form("u", ("e", "h", "w", 3), 0, 255),
    "example_annotated": Form("b", ("e", "h", "w")),
    "example_map": Form("f", ("cells", "e", "h", "w"), 0, 1),
}
SALIENCY_TOO = {"example_class": Form("iu", ("e",), 0, _COUNT), "example_rule": Form("U", ())}


def read_forms(
    path: Path, forms: Mapping[str, Form], more: Mapping[str, Form], mend: str = AGAIN
) -> dict:
    """The arrays of `forms`, and those of `more` that are there; JaxsegError for other forms."""
    with arrays.naming(path, mend):
        names = arrays.array_names(path)
    lacking = [name for name in forms if name not in names]
    if lacking:
        raise JaxsegError(f"{path}: holds no {lacking[0]!r}; {AGAIN}")
    wanted = dict(forms) | {name: form for name, form in more.items() if name in names}
    with arrays.naming(path, mend):
        found = {name: arrays.read_member(path, name) for name in wanted}
    lengths: dict[str, int] = {}
    for name, form in wanted.items():
        check_form(path, name, found[name], form, lengths)
    return found


def check_form(
    path: Path, name: str, array: np.ndarray, form: Form, lengths: dict[str, int] | None = None
) -> None:
    """Raises JaxsegError unless the array is of this form; `lengths` are those of axes so far."""
    known = {} if lengths is None else lengths
    fits = array.dtype.kind in form.kinds and array.ndim == len(form.axes)
    for axis, length in zip(form.axes, array.shape):
        wanted = axis if isinstance(axis, int) else known.setdefault(axis, length)
        fits = fits and length == wanted and length > 0
    if not fits:
        shape = ", ".join(f"{a}={known[a]}" if a in known else f"{a}" for a in form.axes)
        raise JaxsegError(
            f"{path}: {name!r} is {array.dtype} of shape {array.shape}, must be of kind "
            f"{form.kinds} and shape [{shape}]; {AGAIN}"
        )
    if array.dtype.kind in "iuf" and ((array < form.least) | (array > form.most)).any():
        raise JaxsegError(
            f"{path}: {name!r} holds {np.nanmin(array)}..{np.nanmax(array)}, must lie within "
            f"{form.least:g}..{form.most:g}; {AGAIN}"
        )
