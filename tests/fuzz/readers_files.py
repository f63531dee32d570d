"""Readers of single files: pictures, masks, arrays, volumes."""

import functools
import gzip
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from lying_arrays import archives, arrays
from strategies import mutated, pictures

from jaxseg.data import volumes as volume_files
from jaxseg.data.builders import outline_mask
from jaxseg.data.files import scan
from jaxseg.data.images import MAX_LIMIT_PX, read_image
from jaxseg.data.mask_coding import MaskOptions
from jaxseg.data.masks import Masks, look_at
from jaxseg.errors import JaxsegError
from jaxseg.studies.dataset.measures import measure_folder

LIMIT_PX = 1_000_000
NAME = "case\n\x1b[2J<b>"  # of every file: its name must not break the line that refuses it
Case = tuple[str, bytes]  # suffix and content


def written(folder: Path, case: Case) -> Path:
    """The case as a file below `folder`."""
    path = folder / (NAME + case[0])
    path.write_bytes(case[1])
    return path


def of_formats(*suffixes: str) -> st.SearchStrategy[Case]:
    """Hostile pictures, whose suffix is sometimes that of another format."""
    named = [st.tuples(st.just(suffix), pictures(suffix)) for suffix in suffixes]
    crossed = st.tuples(st.sampled_from(suffixes), pictures(suffixes[0]))
    return st.one_of(*named, crossed)


def decoded_formats() -> st.SearchStrategy[Case]:
    return of_formats(".png", ".jpg", ".tif")


def looked_at(path: Path, options: MaskOptions = MaskOptions()) -> Masks:  # noqa: B008
    """A set of one mask, as every command looks at it."""
    found = look_at("masks", [("case", (path,))], options, limit_px=LIMIT_PX)
    found.read((path,))
    return found


def audited_picture(case: Case, folder: Path) -> None:
    """As an image, as a true mask and as a prediction, soft or not."""
    path = written(folder, case)
    both(
        lambda: read_image(path, LIMIT_PX),
        lambda: looked_at(path),
        lambda: looked_at(path, MaskOptions(threshold=0.5, ignore=255)),
        lambda: look_at("p", [("a", (path,))], truth=looked_at(path).coding, limit_px=LIMIT_PX),
    )


def audited_mask(case: Case, folder: Path) -> None:
    """With outlines filled."""
    written(folder, case)
    measure_folder("case", folder, fill=True)


def trained_mask(case: Case, folder: Path) -> None:
    """As the builders of `folders`, `isic2017` and `hc18` read masks."""
    path = written(folder, case)
    outline_mask(looked_at(path).read((path,)), path)


def trained_image(case: Case, folder: Path) -> None:
    """As the builders read images: with the largest limit."""
    read_image(written(folder, case), MAX_LIMIT_PX)


def both(*reads: Any) -> None:
    """Every reader sees the file; the first refusal is raised when all have."""
    refused = []
    for read in reads:
        try:
            read()
        except Exception as error:
            refused.append(error)
    if refused:
        raise next((e for e in refused if not isinstance(e, JaxsegError)), refused[0])


def npys() -> st.SearchStrategy[Case]:
    return st.tuples(st.just(".npy"), arrays())


def npzs() -> st.SearchStrategy[Case]:
    return st.tuples(st.just(".npz"), archives(("mask", "image", "arr_0")))


def volumes() -> st.SearchStrategy[Case]:
    plain = _volumes()
    packed = mutated([gzip.compress(volume, mtime=0) for volume in plain])
    again = mutated(plain).map(lambda volume: gzip.compress(volume, 1, mtime=0))
    return st.one_of(
        st.tuples(st.just(".nii"), mutated(plain)), st.tuples(st.just(".nii.gz"), packed | again)
    )


@functools.cache
def _volumes() -> list[bytes]:
    import nibabel

    found = []
    for kind, shape in (("u1", (12, 10, 3)), ("i2", (12, 10)), ("f4", (6, 5, 2))):
        values = (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype(kind)
        found.append(nibabel.Nifti1Image(values, np.eye(4)).to_bytes())
    return found


def audited_volume(case: Case, folder: Path) -> None:
    """Every slice that the folder is said to hold; at most three."""
    path = written(folder, case)
    try:
        for frame in scan(folder).files[:3]:
            both(lambda f=frame: looked_at(f), lambda f=frame: read_image(f, LIMIT_PX))
    finally:
        volume_files._volume.cache_clear()
        path.unlink()
