"""Slices of NIfTI volumes as single frames, named `volume.nii.gz#12`. Requires nibabel.

By its affine every volume is brought into one orientation (the nearest to right, anterior,
superior), so that masks, predictions and images of one scan meet voxel for voxel however each was
stored. Slices are cut across the axis of the largest voxels, as they were acquired; where voxels
are alike, across the third one (superior). A volume of one slice is one frame with its plain name.
"""

import functools
import importlib.util
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, one_line

SUFFIXES = (".nii", ".nii.gz")
_DAMAGE = (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error)
_NAME = re.compile(r"^(.+\.nii(?:\.gz)?)#(\d+)$", re.IGNORECASE)
_ALIKE = 1.1  # voxel sizes within this ratio are alike
_APART = 0.5  # voxels: corners of two volumes of one scan are nearer than that


class _Volume(NamedTuple):
    """`data` is nibabel's array proxy as stored, of `shape` without trailing ones.

    `steps` orders and flips the stored axes into the common orientation (nibabel's orientation
    array), `across` is the common axis across which slices are cut, `affine` that of the
    reoriented volume.
    """

    data: Any
    shape: tuple[int, ...]
    steps: NDArray
    across: int
    affine: NDArray

    @property
    def turned_shape(self) -> tuple[int, ...]:
        """Shape along the common axes."""
        turned = [0, 0, 0]
        for axis, length in enumerate(self.shape):
            turned[int(self.steps[axis, 0])] = length
        return tuple(turned)


def split_name(name: str) -> tuple[str, int | None]:
    """File name and slice number of `volume.nii.gz#12`; any other name and None."""
    found = _NAME.match(name)
    return (found[1], int(found[2])) if found else (name, None)


def whole_file(path: Path) -> Path:
    """The file that holds a slice, or the path itself."""
    return path.with_name(split_name(path.name)[0])


def slices(path: Path) -> list[Path]:
    """One path a slice, the volume itself where it has one; JaxsegError for another file."""
    volume = _volume(path)
    count = volume.turned_shape[volume.across]
    return [path.with_name(f"{path.name}#{k}") for k in range(count)] if count > 1 else [path]


def frame_shape(path: Path) -> tuple[int, int]:
    """(height, width) that the header declares for the frame `path` names."""
    volume = _volume(whole_file(path))
    width, height = (n for axis, n in enumerate(volume.turned_shape) if axis != volume.across)
    return height, width


def read_slice(path: Path) -> NDArray:
    """Values [height, width] of the frame; JaxsegError naming the file when it is damaged."""
    name, index = split_name(path.name)
    volume = _volume(path.with_name(name))
    stored = int(np.flatnonzero(volume.steps[:, 0] == volume.across)[0])
    number = index or 0
    if number >= volume.shape[stored]:
        raise JaxsegError(f"{path}: the volume has {volume.shape[stored]} slices")
    if volume.steps[stored, 1] < 0:
        number = volume.shape[stored] - 1 - number
    cut = [slice(None)] * len(volume.data.shape)
    if stored < len(cut):  # a frame has no third axis
        cut[stored] = slice(number, number + 1)
    try:
        values = np.asarray(volume.data[tuple(cut)])
        values = values.reshape([1 if axis == stored else n for axis, n in enumerate(volume.shape)])
    except (*_DAMAGE, IndexError) as error:
        raise JaxsegError(f"{path}: damaged, cannot be read ({one_line(error)})") from error
    from nibabel.orientations import apply_orientation

    return np.take(apply_orientation(values, volume.steps), 0, axis=volume.across).T


def is_turned(path: Path) -> bool:
    """Whether a volume's stored axes are ordered or flipped to reach the common orientation."""
    return bool((_volume(whole_file(path)).steps != [[0, 1], [1, 1], [2, 1]]).any())


def check_same_place(path_a: Path, path_b: Path) -> None:
    """Raises JaxsegError unless two volumes, in the common orientation, fill the same space.

    An array written with another affine (an identity in place of the scan's, or that of another
    resolution) would otherwise be compared with the wrong voxels.
    """
    a, b = (_volume(whole_file(path)) for path in (path_a, path_b))
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in a.turned_shape])).reshape(3, -1)
    places = [v.affine[:3, :3] @ corners + v.affine[:3, 3:] for v in (a, b)]
    voxel = np.linalg.norm(a.affine[:3, :3], axis=0).min()
    apart = float(np.abs(places[0] - places[1]).max())
    if a.turned_shape != b.turned_shape or not apart <= _APART * voxel:
        raise JaxsegError(
            f"{path_b}: its affine puts it elsewhere than {path_a} (corners {apart:.3g} apart, "
            f"voxels of {voxel:.3g}); write both with the affine of the scan"
        )


@functools.lru_cache(maxsize=8)  # the volumes of a mask, its image and its predictions
def _volume(path: Path) -> _Volume:
    if importlib.util.find_spec("nibabel") is None:
        raise JaxsegError(f"{path}: NIfTI files require nibabel; pip install nibabel")
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.orientations import inv_ornt_aff, io_orientation
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        # Opened once: the next slice of a compressed file is then read from where the last one
        # ended.
        image: Any = nibabel.load(path, keep_file_open=True)  # pyright: ignore[reportPrivateImportUsage]
        shape = tuple(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        shape = (*shape, 1) if len(shape) == 2 else shape
        steps = io_orientation(image.affine)
    except PermissionError as error:
        raise JaxsegError(f"{path}: permission denied; make it readable (chmod u+r)") from error
    except (ImageFileError, HeaderDataError, WrapStructError, *_DAMAGE, np.linalg.LinAlgError) as e:
        raise JaxsegError(f"{path}: not a readable NIfTI file ({one_line(e)})") from e
    if len(shape) != 3:
        raise JaxsegError(f"{path}: shape {shape}; must have two or three axes")
    if not np.isfinite(image.affine).all() or np.isnan(steps).any():
        raise JaxsegError(f"{path}: its affine drops an axis; write it with the affine of the scan")
    affine = image.affine @ inv_ornt_aff(steps, shape)
    volume = _Volume(image.dataobj, shape, steps, 2, affine)
    turned, sizes = volume.turned_shape, np.linalg.norm(affine[:3, :3], axis=0)
    thickest = int(sizes.argmax())
    if 1 in turned:
        across = max(axis for axis, n in enumerate(turned) if n == 1)
    elif sizes[thickest] > _ALIKE * np.delete(sizes, thickest).max():
        across = thickest
    else:
        across = 2
    return volume._replace(across=across)
