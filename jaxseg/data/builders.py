"""The data sets, as TensorFlow Datasets knows them: what each split holds, in which order.

`split_frames` gives the frames of a split, or of a part of it such as `train[:80%]`, straight from
the builder: in the order in which TFDS would write and read them, without a copy on disk and
without TensorFlow. With TFDS the builders are used as any other (`download_and_prepare`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray
from tensorflow_datasets.core import hashing

from jaxseg.data.images import MAX_LIMIT_PX, check_same_size, png_bytes, read_image
from jaxseg.data.phantoms.lesions import draw_lesion
from jaxseg.data.phantoms.ultrasound import draw_frame, plane_of_frame
from jaxseg.data.sources import SOURCES, Frame, Pair, SourceFiles, find_files, find_source
from jaxseg.errors import JaxsegError, UsageError

Reader = Callable[[], Frame]
Mask = np.ndarray
RIM = 0.03  # of a frame's height, about a skull's thickness in the second trimester
SHIFT = 6  # OpenCV's fixed-point bits: an ellipse is drawn to 1/64 pixel


def split_frames(name: str, split: str, files: SourceFiles) -> list[Reader]:
    """Functions that read the frames of a split of the data set called `name`, one each.

    Raises UsageError for a split that cannot be read or selects no images.
    """
    builder = globals()[find_source(name).builder]
    try:
        asked = tfds.core.ReadInstruction.from_spec(split)
        found = {}
        for base, frames in builder.frames(files).items():
            if not builder.IN_ORDER_OF_KEYS:
                hasher = hashing.Hasher(base)
                frames = sorted(frames, key=lambda frame, h=hasher: h.hash_key(frame[0]))
            found[base] = frames
        infos = {
            base: tfds.core.SplitInfo(name=base, shard_lengths=[len(frames)], num_bytes=0)
            for base, frames in found.items()
        }
        parts = [found[p.splitname][p.from_ : p.to] for p in asked.to_absolute(infos)]
    except ValueError as error:
        raise UsageError(f"data split {split!r}: {str(error).splitlines()[0]}") from error
    chosen = [read for part in parts for _, read in part]
    if not chosen:
        raise UsageError(f"data split {split!r}: selects no images")
    return chosen


class _Builder(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
):
    """Images, masks as class indices and the `id` of each frame.

    `manual_dir` may be given here or through `tfds.download.DownloadConfig(manual_dir=...)`.
    """

    IN_ORDER_OF_KEYS = False  # otherwise TFDS orders frames by a hash of their keys
    SIDE = 0  # pixels; 0: frames of any size
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def __init__(self, *, manual_dir: str | Path | None = None, **kwargs: Any):
        self._manual_dir = manual_dir
        super().__init__(**kwargs)

    @classmethod
    def frames(cls, files: SourceFiles) -> dict[str, list[tuple[Any, Reader]]]:
        """{split: (key, what reads the frame) of each frame, by ascending keys}."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        side = self.SIDE or None
        image, mask = (
            tfds.features.Image(shape=(side, side, channels), encoding_format="png")
            for channels in (3, 1)
        )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {"image": image, "mask": mask, "id": tfds.features.Text()}
            ),
            supervised_keys=("image", "mask"),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=self.IN_ORDER_OF_KEYS,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[Any, dict]]]:
        manual = find_source(self.name).find_pairs is not None
        root = (self._manual_dir or dl_manager.manual_dir) if manual else None
        files = find_files(self.name, root)
        assert self.info.metadata is not None
        self.info.metadata["classes"] = list(files.classes)
        return {s: self._generate_examples(found) for s, found in self.frames(files).items()}

    def _generate_examples(
        self, frames: list[tuple[Any, Reader]]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        for key, read in frames:
            frame = read()
            image, mask = png_bytes(frame.image), png_bytes(frame.mask)
            yield key, {"image": image, "mask": mask, "id": frame.id}


class _PairedImages(
    _Builder,
    skip_registration=True,  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
):
    """Image files with mask files; the file's stem is the key and the `id`."""

    @classmethod
    def frames(cls, files: SourceFiles) -> dict[str, list[tuple[Any, Reader]]]:
        return {
            split: [(pair.id, partial(cls._read, files, pair)) for pair in pairs]
            for split, pairs in files.pairs.items()
        }

    @classmethod
    def _read(cls, files: SourceFiles, pair: Pair) -> Frame:
        mask = cls._mask(files, pair)
        image = read_image(pair.image, MAX_LIMIT_PX)
        check_same_size(pair.image, image, pair.masks[0], mask)
        return Frame(pair.id, image, mask)

    @classmethod
    def _mask(cls, files: SourceFiles, pair: Pair) -> NDArray[np.uint8]:
        assert files.masks is not None
        return files.masks.read(pair.masks)


class Folders(_PairedImages):
    """`manual_dir`/images with `manual_dir`/masks as split train, or train/, validation/, test/."""

    VERSION = tfds.core.Version(SOURCES["folders"].version)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    manual_dir holds images/ and masks/ whose file stems match (a mask may add _mask, _segmentation
    or _gt), or train/, validation/ and test/ that each hold the two.
    """


class Isic2017(_PairedImages):
    """ISIC 2017 task 1, lesion segmentation (Codella et al. 2018, CC-0), in its official splits.

    Only splits whose folders lie below `manual_dir` exist.
    """

    VERSION = tfds.core.Version(SOURCES["isic2017"].version)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Unpack from https://challenge.isic-archive.com/data/#2017 into manual_dir, names unchanged:
    ISIC-2017_Training_Data, ISIC-2017_Training_Part1_GroundTruth, and likewise
    ISIC-2017_Validation_... and ISIC-2017_Test_v2_... . Splits that are absent are not built.
    """


class Hc18(_PairedImages):
    """HC18, fetal head circumference (van den Heuvel et al. 2018, CC-BY 4.0).

    The frames that have outlines, split 80/10/10 by subject; masks are the filled outlines.
    """

    VERSION = tfds.core.Version(SOURCES["hc18"].version)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Unpack https://zenodo.org/records/1322001 into manual_dir, names unchanged: training_set holds
    010_HC.png with its outline 010_HC_Annotation.png, and so on. Nothing else is read.
    """

    @classmethod
    def _mask(cls, files: SourceFiles, pair: Pair) -> NDArray[np.uint8]:
        return outline_mask(super()._mask(files, pair), pair.masks[0])


class Hc18Skull(Hc18):
    """The same frames with a thin structure: the skull, the rim of the head's ellipse."""

    VERSION = tfds.core.Version(SOURCES["hc18_skull"].version)

    @classmethod
    def _mask(cls, files: SourceFiles, pair: Pair) -> NDArray[np.uint8]:
        return rim(super()._mask(files, pair))


class _Phantoms(
    _Builder,
    skip_registration=True,  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
):
    """Generated frames in the order of their numbers, so that `train[:400]` names the same ones
    everywhere. Frame i does not depend on the split's length."""

    IN_ORDER_OF_KEYS = True
    SPLITS: dict[str, tuple[int, int]]  # split -> (seed, number of frames)

    @classmethod
    def frames(cls, files: SourceFiles) -> dict[str, list[tuple[Any, Reader]]]:
        del files
        return {
            split: [(index, partial(cls._draw, seed, index)) for index in range(count)]
            for split, (seed, count) in cls.SPLITS.items()
        }

    @classmethod
    def _draw(cls, seed: int, index: int) -> Frame:
        raise NotImplementedError


class LesionPhantoms(_Phantoms):
    """Generated dermoscopy-like frames with one labelled lesion each."""

    VERSION = tfds.core.Version(SOURCES["lesion_phantoms"].version)
    SIDE = 128
    SPLITS = {"train": (0, 800), "validation": (1, 100), "test": (2, 200)}  # noqa: RUF012

    @classmethod
    def _draw(cls, seed: int, index: int) -> Frame:
        return Frame(f"phantom_{seed}_{index:04d}", *draw_lesion(seed, index, cls.SIDE))


class UltrasoundPhantoms(_Phantoms):
    """Generated fetal ultrasound of four planes with 13 labelled structures.

    Ids such as `head_0_0008` are plane, seed and frame number. The planes come in rotation: a slice
    of 4n frames holds n of each.
    """

    VERSION = tfds.core.Version(SOURCES["ultrasound_phantoms"].version)
    SIDE = 128
    SPLITS = {"train": (0, 800), "validation": (1, 100), "test": (2, 100)}  # noqa: RUF012

    @classmethod
    def _draw(cls, seed: int, index: int) -> Frame:
        name = f"{plane_of_frame(index)}_{seed}_{index:04d}"
        return Frame(name, *draw_frame(seed, index, cls.SIDE))


class UltrasoundPhantomsSmall(UltrasoundPhantoms):
    """The same scenes at 80 pixels, where marks, drawn no smaller than legible, take more room."""

    VERSION = tfds.core.Version(SOURCES["ultrasound_phantoms_small"].version)
    SIDE = 80


def outline_mask(drawn: Mask, path: Path) -> Mask:
    """The filled mask, uint8 [H, W] in {0, 1}, of an ellipse's outline drawn in a mask [H, W].

    Raises JaxsegError naming `path`, the mask's file, for one that is empty or whose line is
    neither closed nor an ellipse that the frame's edge cuts.
    """
    line = (drawn > 0).astype(np.uint8)
    if not line.any():
        raise JaxsegError(f"{path}: holds no outline; redraw it or remove the frame")
    mask = fill_outline(line)
    if mask is None:
        raise JaxsegError(f"{path}: must hold one outline, closed or cut by the frame's edge only")
    return mask


def fill_outline(line: Mask) -> Mask | None:
    """The region that an outline {0, 1} [H, W] encloses, the line itself included.

    A closed line is filled from outside and a region that is filled already stays as it is. Where
    the frame's edge cuts the line, an ellipse is fitted to it (direct least squares, Fitzgibbon
    1999) and filled as far as the frame goes. None where neither gives one convex region.
    """
    padded = cv2.copyMakeBorder(line, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(padded, None, (0, 0), 2)
    mask = (padded[1:-1, 1:-1] != 2).astype(np.uint8)
    # An ellipse fills its convex hull but for rough edges. A straight line fills it too, and
    # encloses nothing.
    points = cv2.findNonZero(mask)
    hull = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(points), 1)
    wide = min(cv2.minAreaRect(points)[1]) > 0.02 * max(mask.shape)
    return mask if wide and mask.sum() > 0.9 * hull.sum() else _fitted(line)


def _fitted(line: Mask) -> Mask | None:
    """The filled ellipse through an open line; None unless line and ellipse agree."""
    points = cv2.findNonZero(line)
    if len(points) < 5:
        return None
    centre, axes, angle = cv2.fitEllipseDirect(points)
    if not np.isfinite([*centre, *axes]).all() or max(axes) > 4 * max(line.shape):
        return None
    middle = [round(value * 2**SHIFT) for value in centre]
    halves = [round(value * 2 ** (SHIFT - 1)) for value in axes]
    rim, body = np.zeros_like(line), np.zeros_like(line)
    for canvas, width in ((rim, 1), (body, -1)):
        cv2.ellipse(canvas, middle, halves, angle, 0, 360, (1,), width, cv2.LINE_8, SHIFT)
    slack = np.ones((2 * max(2, max(line.shape) // 100) + 1,) * 2, np.uint8)
    on_rim = line[cv2.dilate(rim, slack) > 0].sum() > 0.95 * line.sum()
    on_line = rim[cv2.dilate(line, slack) > 0].sum() > 0.9 * rim.sum()
    return body | line if on_rim and on_line else None


def rim(mask: Mask) -> Mask:
    """The outermost part of a region {0, 1} [H, W], RIM of the frame's height thick."""
    reach = max(1, round(RIM * mask.shape[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Where the frame's edge cuts the region there is no rim.
    return mask - cv2.erode(mask, disc, borderType=cv2.BORDER_CONSTANT, borderValue=1)
