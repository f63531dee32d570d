"""What the builders of image files with mask files share. Imports TensorFlow Datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import tensorflow_datasets as tfds

from jaxseg.data import masks
from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import Pair, find_source
from jaxseg.errors import JaxsegError, UsageError


class PairedImages(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
):
    """Image bytes as they are on disk, masks as class indices, the file's stem as `id`.

    `manual_dir` may be given here or through `tfds.download.DownloadConfig(manual_dir=...)`.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Point manual_dir at the folder that holds the images."

    def __init__(
        self, *, manual_dir: str | Path | None = None, progress: Progress = silent, **kwargs: Any
    ):
        self._root = manual_dir
        self._progress = progress
        self._n_classes = 0
        self._coding: dict[str, Path] = {}
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
        root = Path(self._root or dl_manager.manual_dir).expanduser()
        find_pairs = find_source(self.name).find_pairs
        assert find_pairs is not None
        if not root.is_dir():
            raise UsageError(f"data.manual_dir={str(root)!r}: no such folder")
        return {
            split: self._generate_examples(split, pairs)
            for split, pairs in find_pairs(root).items()
        }

    def _generate_examples(self, split: str, pairs: list[Pair]) -> Iterator[tuple[str, dict]]:
        for pair in self._progress(pairs, len(pairs), f"reading {self.name} {split}"):
            yield (
                pair.id,
                {
                    "image": image_bytes(pair.image),
                    "mask": self._read_mask(pair.mask)[..., None],
                    "id": pair.id,
                },
            )

    def _read_mask(self, path: Path) -> Any:
        mask, is_binary = masks.class_mask(path)
        self._n_classes = max(self._n_classes, int(mask.max()))
        classes = find_source(self.name).classes
        if classes is not None and self._n_classes > len(classes):
            raise JaxsegError(f"{path}: class {self._n_classes}; {self.name} has masks {{0, 255}}")
        if is_binary or mask.max() > 1:
            self._coding.setdefault("{0, 255}" if is_binary else "class indices", path)
        if len(self._coding) > 1:
            (first, a), (second, b) = self._coding.items()
            raise JaxsegError(f"{b}: holds {second} but {a.name} holds {first}; use one for all")
        assert self.info.metadata is not None
        self.info.metadata["classes"] = list(classes or masks.class_names(self._n_classes))
        return mask


def image_bytes(path: Path) -> Any:
    """Encoded bytes of a PNG or JPEG as they are; other formats decoded to uint8 [H, W, 3]."""
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return path.read_bytes()
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise JaxsegError(f"{path}: cannot be read as an image (truncated or damaged)")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
