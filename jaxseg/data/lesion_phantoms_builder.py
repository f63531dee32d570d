"""TFDS builder of `lesion_phantoms`. Importing this module imports TensorFlow Datasets."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from jaxseg.data.images import png_bytes
from jaxseg.data.lesion_phantoms import draw_lesion
from jaxseg.data.sources import SOURCES

SIZE = 128
# Split name: (seed of draw_lesion, frames). Frame i does not depend on the split's length.
SPLITS = {"train": (0, 800), "validation": (1, 100), "test": (2, 200)}


class LesionPhantoms(tfds.core.GeneratorBasedBuilder):
    """Generated dermoscopy-like frames; made on the spot, nothing is downloaded."""

    name = "lesion_phantoms"
    VERSION = tfds.core.Version(SOURCES["lesion_phantoms"].version)
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Generated dermoscopy-like frames with one labelled lesion each.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png"),
                    "mask": tfds.features.Image(shape=(SIZE, SIZE, 1), encoding_format="png"),
                    "id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "mask"),
            # Slices such as train[:400] then name the same frames everywhere.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        return {split: self._generate_examples(*spec) for split, spec in SPLITS.items()}

    def _generate_examples(self, seed: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            image, mask = draw_lesion(seed, index, SIZE)
            name = f"phantom_{seed}_{index:04d}"
            yield index, {"image": png_bytes(image), "mask": png_bytes(mask), "id": name}
