"""`dataset` on folders: which files are read, what is left out and why."""

from pathlib import Path

from jaxseg.audit.dataset import Dataset, Frame, measure_dataset
from jaxseg.audit.reading import (
    LIMIT_PX,
    check_same_size,
    match_files,
    read_image,
    read_mask,
    readable,
    scan,
)
from jaxseg.data.progress import Progress, silent
from jaxseg.errors import JaxsegError
from jaxseg.escape import printable
from jaxseg.homes import expand


def audit_folder(
    name: str,
    masks: str | Path,
    images: str | Path | None = None,
    *,
    pattern: str = "*",
    limit_px: int = LIMIT_PX,
    fill: bool = False,
    progress: Progress = silent,
    seed: int = 0,
) -> Dataset:
    """Measures the masks below a folder; duplicates by the images of another, where given.

    Files that cannot be read are left out and named. Raises UsageError for a folder that is not
    there, JaxsegError when none of its masks can be used or all are empty.
    """
    if images is None:
        found, left_out = scan(masks, pattern=pattern)
        root = expand(masks)
        items = [(printable(path.relative_to(root).as_posix()), (path,)) for path in found]
    else:
        items, left_out = match_files(masks, images, pattern=pattern)

    def read(paths: tuple[Path, ...]) -> Frame:
        mask = read_mask(paths[0], limit_px, fill=fill)
        if len(paths) == 1:
            return mask, None
        image = read_image(paths[1], limit_px)
        check_same_size(paths[0], mask, paths[1], image)
        return mask, image

    shown = progress(items, len(items), name, unit="mask")
    measured = measure_dataset(name, readable(shown, read, left_out), seed=seed)
    if measured is None:
        raise JaxsegError(f"{masks}: none of its {len(items)} files can be used; {left_out[0]}")
    return measured._replace(left_out=left_out)
