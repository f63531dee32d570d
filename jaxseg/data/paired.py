"""What the builders of image files with mask files share. Imports TensorFlow Datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import masks
from jaxseg.data.pairs import Pair
from jaxseg.data.pictures import check_header, png_bytes, read_picture
from jaxseg.data.progress import Progress, silent
from jaxseg.data.sources import find_source
from jaxseg.errors import JaxsegError, UsageError

PNG = b"\x89PNG\r\n\x1a\n"
DARKEST = 2**14  # a 16-bit image that stays below it holds 10, 12 or 14 bits in disguise


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
                    "mask": png_bytes(self._read_mask(pair.mask)),
                    "id": pair.id,
                },
            )

    def _class_mask(self, path: Path) -> tuple[Any, bool]:
        """Class indices uint8 [H, W] of a mask file and whether it was written as {0, 255}."""
        return masks.class_mask(path)

    def _read_mask(self, path: Path) -> Any:
        mask, is_binary = self._class_mask(path)
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


def image_bytes(path: Path) -> bytes:
    """Encoded bytes of a PNG or JPEG as they are; of other formats as a PNG of 8 bits.

    Grey becomes three equal channels, alpha is dropped and of 16 bits the upper 8 are kept, here or
    where the bytes are decoded. Raises JaxsegError naming a file that cannot be read, holds neither
    8 nor 16 bits, or uses so few of its 16 bits that the upper 8 would be nearly black.
    """
    encoded = path.read_bytes()
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        if encoded.startswith(PNG) and encoded[24:25] == b"\x10":  # bits a sample, from the header
            _read_8_or_16_bits(path)
        else:
            check_header(path)
        return encoded
    pixels = _read_8_or_16_bits(path)
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return png_bytes(pixels if pixels.ndim == 2 else pixels[..., 2::-1])


def _read_8_or_16_bits(path: Path) -> Any:
    pixels: Any = read_picture(path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise JaxsegError(f"{path}: {pixels.dtype} values; an image has 8 or 16 bits, save it so")
    if pixels.dtype == np.uint16 and 0 < pixels.max() < DARKEST:
        raise JaxsegError(
            f"{path}: 16-bit image with values up to {pixels.max()}, nearly black as 8 bits; "
            "scale it to 0..65535 or save it with 8 bits"
        )
    return pixels
