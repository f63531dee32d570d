"""The generated lesions of `lesion_phantoms` as a data set. Imports TensorFlow Datasets."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from jaxseg.data.lesion_phantoms import draw_lesion
from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import SOURCES

FRAME = 128
# Frames and the sequence they are drawn from; splits never share a frame.
SPLITS = {"train": (800, 0), "validation": (100, 1), "test": (200, 2)}


class LesionPhantoms(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """800 training, 100 validation and 200 test frames of 128 × 128, drawn when first asked for."""

    VERSION = tfds.core.Version(SOURCES["lesion_phantoms"].version)
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def __init__(self, *, manual_dir: None = None, progress: Progress = silent, **kwargs: Any):
        del manual_dir  # nothing is downloaded
        self._progress = progress
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(FRAME, FRAME, 3), encoding_format="png"),
                    "mask": tfds.features.Image(shape=(FRAME, FRAME, 1), encoding_format="png"),
                    "id": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(classes=["lesion"]),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        del dl_manager
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        count, seed = SPLITS[split]
        for index in self._progress(range(count), count, f"drawing lesion_phantoms {split}"):
            image, mask = draw_lesion(seed, index, FRAME)
            name = f"{split}_{index:05d}"
            yield name, {"image": image, "mask": mask[..., None], "id": name}
