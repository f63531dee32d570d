"""Every place where the product reads what comes from outside, with what is tried on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import doors_command as command
import doors_files as one
import doors_weights as weights
import doors_workdir as workdir
from guard import Broken, guarded
from hypothesis import strategies as st

from jaxseg.errors import JaxsegError


class Door(NamedTuple):
    """`share` of a campaign's inputs in parts of 1000; `run(case, folder)` reads one of `cases`."""

    name: str
    cases: Callable[[], st.SearchStrategy[Any]]
    run: Callable[[Any, Path], None]
    share: int


DOORS = [
    Door("audit: png", lambda: one.of_formats(".png", ".jpg"), one.audited_picture, 130),
    Door("audit: jpg", lambda: one.of_formats(".jpg"), one.audited_picture, 60),
    Door("audit: bmp, tif", lambda: one.of_formats(".bmp", ".tif"), one.audited_picture, 120),
    Door("audit: filled masks", lambda: one.of_formats(".png", ".bmp"), one.audited_mask, 60),
    Door("audit: npy", one.npys, one.audited_picture, 150),
    Door("audit: npz", one.npzs, one.audited_picture, 120),
    Door("audit: nifti", one.volumes, one.audited_volume, 80),
    Door("grid: masks", lambda: one.of_formats(".png", ".bmp", ".tif"), one.trained_mask, 80),
    Door("grid: images", one.decoded_formats, one.trained_image, 50),
    Door("grid: arguments", command.arguments, command.commanded, 40),
    Door("grid: resumed workdir", lambda: workdir.changed("trained"), workdir.resumed, 25),
    Door("checkpoints", lambda: workdir.changed("trained", "c"), workdir.inspected, 5),
    Door("report: grid", lambda: workdir.changed("grid"), workdir.analysed, 25),
    Door("report: study", lambda: workdir.changed("study"), workdir.analysed, 6),
    Door("report: page", lambda: workdir.changed("grid"), workdir.reported, 2),
    Door("weights", weights.weights, weights.imported_weights, 47),
]


def tried(door: Door, case: Any, folder: Path) -> str:
    """`accepted`, or `refused` by the product's own error; all else is raised.

    Raises Broken for what `guarded` forbids and for a refusal that is not one line.
    """
    folder.mkdir(exist_ok=True)
    with guarded(folder):
        try:
            door.run(case, folder)
        except JaxsegError as error:
            if not str(error) or not str(error).isprintable():
                raise Broken(f"not one line: {str(error)!r}") from error
            return "refused"
    return "accepted"
