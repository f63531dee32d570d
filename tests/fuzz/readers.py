"""Every part of the product that reads input from outside, with the inputs to try on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import readers_command as command
import readers_files as one
import readers_weights as weights
import readers_workdir as workdir
from guard import Broken, guarded
from hypothesis import strategies as st

from jaxseg.errors import JaxsegError


class Reader(NamedTuple):
    """`share` of a campaign's inputs in parts of 1000; `run(case, folder)` reads one of `cases`."""

    name: str
    cases: Callable[[], st.SearchStrategy[Any]]
    run: Callable[[Any, Path], None]
    share: int


READERS = [
    Reader("audit: png", lambda: one.of_formats(".png", ".jpg"), one.audited_picture, 130),
    Reader("audit: jpg", lambda: one.of_formats(".jpg"), one.audited_picture, 60),
    Reader("audit: bmp, tif", lambda: one.of_formats(".bmp", ".tif"), one.audited_picture, 120),
    Reader("audit: filled masks", lambda: one.of_formats(".png", ".bmp"), one.audited_mask, 60),
    Reader("audit: npy", one.npys, one.audited_picture, 150),
    Reader("audit: npz", one.npzs, one.audited_picture, 120),
    Reader("audit: nifti", one.volumes, one.audited_volume, 80),
    Reader("grid: masks", lambda: one.of_formats(".png", ".bmp", ".tif"), one.trained_mask, 80),
    Reader("grid: images", one.decoded_formats, one.trained_image, 50),
    Reader("grid: arguments", command.arguments, command.commanded, 40),
    Reader("grid: resumed workdir", lambda: workdir.changed("trained"), workdir.resumed, 25),
    Reader("checkpoints", lambda: workdir.changed("trained", "c"), workdir.inspected, 5),
    Reader("report: grid", lambda: workdir.changed("grid"), workdir.analysed, 25),
    Reader("report: study", lambda: workdir.changed("study"), workdir.analysed, 6),
    Reader("report: page", lambda: workdir.changed("grid"), workdir.reported, 2),
    Reader("weights", weights.weights, weights.imported_weights, 47),
]


def tried(reader: Reader, case: Any, folder: Path) -> str:
    """`accepted`, or `refused` by the product's own error; all else is raised.

    Raises Broken for what `guarded` forbids and for a refusal that is not one line.
    """
    folder.mkdir(exist_ok=True)
    with guarded(folder):
        try:
            reader.run(case, folder)
        except JaxsegError as error:
            if not str(error) or not str(error).isprintable():
                raise Broken(f"not one line: {str(error)!r}") from error
            return "refused"
    return "accepted"
