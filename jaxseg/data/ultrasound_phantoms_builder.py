"""TFDS builders of the ultrasound phantoms, at two sizes. Importing this imports TFDS."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from jaxseg.data.images import png_bytes
from jaxseg.data.sources import SOURCES
from jaxseg.data.ultrasound_phantoms import draw_frame, plane_of_frame

# Split name: (seed of draw_frame, frames). Frame i does not depend on the split's length.
SPLITS = {"train": (0, 800), "validation": (1, 100), "test": (2, 100)}


class UltrasoundPhantoms(tfds.core.GeneratorBasedBuilder):
    """Generated fetal ultrasound; ids such as `head_0_0008` are plane, seed and frame number."""

    name = "ultrasound_phantoms"
    SIDE = 128  # pixels
    VERSION = tfds.core.Version(SOURCES["ultrasound_phantoms"].version)
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Generated ultrasound of four fetal planes with 13 labelled structures.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(self.SIDE, self.SIDE, 3), encoding_format="png"
                    ),
                    "mask": tfds.features.Image(
                        shape=(self.SIDE, self.SIDE, 1), encoding_format="png"
                    ),
                    "id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "mask"),
            # The planes come in rotation: a slice of 4n frames holds n of each.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        return {split: self._generate_examples(*spec) for split, spec in SPLITS.items()}

    def _generate_examples(self, seed: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            image, mask = draw_frame(seed, index, self.SIDE)
            name = f"{plane_of_frame(index)}_{seed}_{index:04d}"
            yield index, {"image": png_bytes(image), "mask": png_bytes(mask), "id": name}


class UltrasoundPhantomsSmall(UltrasoundPhantoms):
    """The same scenes at 80 pixels, where marks, drawn no smaller than legible, take more room."""

    name = "ultrasound_phantoms_small"
    SIDE = 80
    VERSION = tfds.core.Version(SOURCES["ultrasound_phantoms_small"].version)
