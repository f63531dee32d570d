"""What the builders of image files with mask files share. Imports TensorFlow Datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data.images import (
    check_same_size,
    picture_shape,
    png_bytes,
    read_image,
    suffix_of,
)
from jaxseg.data.pairs import Pair
from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import SourceFiles, find_files

_KEPT_AS_THEY_ARE = (".png", ".jpg", ".jpeg")


class PairedImages(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
):
    """Image bytes as they are on disk, masks as class indices, the file's stem as `id`.

    `manual_dir` may be given here or through `tfds.download.DownloadConfig(manual_dir=...)`;
    `files`, where they have been looked at already, spare doing it again.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Point manual_dir at the folder that holds the images."

    def __init__(
        self,
        *,
        manual_dir: str | Path | None = None,
        files: SourceFiles | None = None,
        progress: Progress = silent,
        **kwargs: Any,
    ):
        self._root = manual_dir
        self._files = files
        self._progress = progress
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "mask": tfds.features.Image(shape=(None, None, 1)),
                    "id": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        if self._files is None:
            root = self._root or dl_manager.manual_dir
            self._files = find_files(self.name, root, progress=self._progress)
        assert self.info.metadata is not None
        self.info.metadata["classes"] = list(self._files.classes)
        return {
            split: self._generate_examples(split, pairs)
            for split, pairs in self._files.pairs.items()
        }

    def _generate_examples(self, split: str, pairs: list[Pair]) -> Iterator[tuple[str, dict]]:
        for pair in self._progress(pairs, len(pairs), f"reading {self.name} {split}"):
            mask = self._class_mask(pair)
            encoded = image_bytes(pair.image)
            image = np.broadcast_to(np.uint8(0), picture_shape(encoded, pair.image))
            check_same_size(pair.image, image, pair.masks[0], mask)
            yield pair.id, {"image": encoded, "mask": png_bytes(mask), "id": pair.id}

    def _class_mask(self, pair: Pair) -> Any:
        """Class indices uint8 [H, W] of an image's masks."""
        assert self._files is not None
        assert self._files.masks is not None
        return self._files.masks.read(pair.masks)


def image_bytes(path: Path) -> bytes:
    """Encoded bytes of a PNG or JPEG as they are; of any other file, as a PNG of `read_image`.

    Bytes that are kept are decoded by the one reader later. Raises JaxsegError naming a file that
    cannot be read.
    """
    if suffix_of(path) in _KEPT_AS_THEY_ARE:
        encoded = path.read_bytes()
        if encoded.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
            return encoded
    return png_bytes(read_image(path))
