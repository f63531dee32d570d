"""Where do objects lie in a data set, and how far would position alone carry a network?

Measured, from masks alone, are the centres, areas and borders of objects, a test of uniform
placement with the places where objects gather, the Dice of the best fixed mask (the centre prior),
and near-duplicates within and across data sets.
"""

from collections.abc import Sequence
from pathlib import Path

from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import Reading
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.report.section import Section
from jaxseg.studies.dataset.measures import measure_folder
from jaxseg.studies.dataset.sections import to_section


def section(
    folders: Sequence[tuple[str, str | Path, str | Path | None]],
    *,
    reading: Reading = Reading(),  # noqa: B008
    fill: bool = False,
    progress: Progress = silent,
    seed: int = 0,
) -> Section:
    """The audit of data sets side by side; one that cannot be used is named, the others go on.

    Args:
      folders: (name, folder of masks, folder of their images or None) of each data set.
      reading, fill, progress, seed: as in `measures.measure_folder`, with its errors.
    """
    datasets, refused = [], []
    for name, masks, images in folders:
        try:
            found = measure_folder(
                name, masks, images, reading=reading, fill=fill, progress=progress, seed=seed
            )
            datasets.append(found)
        except UsageError:
            raise
        except JaxsegError as error:
            refused.append(error)
    if not datasets:
        raise refused[0]
    made = to_section(datasets)
    return made._replace(left_out=[*map(str, refused), *made.left_out])
