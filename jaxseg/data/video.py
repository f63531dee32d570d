"""Screen recordings: frames of a video, and the stretch in which a frozen frame is annotated."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jaxseg.errors import JaxsegError, UsageError

Array = NDArray[np.uint8]

TOLERANCE = 24  # grey levels that lossy coding may move a pixel by
LARGEST_STEP = 0.05  # share of the frame's pixels that one new overlay may change
SMALLEST = 4  # pixels that make an overlay, at least
UNDONE = 0.1  # share of the changed pixels that may go back: lossy coding at the edges of strokes


def read_video(
    path: str | Path, *, max_frames: int | None = None, allow_short: bool = False
) -> Iterator[Array]:
    """Frames of a video file in their order, uint8 [H, W, 3] RGB, one at a time.

    The file is opened at once, read as the frames are asked for (cv2.VideoCapture), at most
    `max_frames` of them. Raises JaxsegError for a file that is missing or has no codec that
    OpenCV can read, holds no frame, or ends before the number of frames that its header declares;
    `allow_short` accepts such a file and gives the frames it has. Raises UsageError for max_frames
    below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"max_frames={max_frames}: must be at least 1")
    path = Path(path)
    if not path.is_file():
        raise JaxsegError(f"{path}: no such file")
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise JaxsegError(
            f"{path}: cannot be opened as a video (damaged, or a codec unknown to OpenCV); "
            "convert it, for example with ffmpeg"
        )
    return _frames(video, path, max_frames, allow_short)


def _frames(
    video: cv2.VideoCapture, path: Path, max_frames: int | None, allow_short: bool
) -> Iterator[Array]:
    declared = int(video.get(cv2.CAP_PROP_FRAME_COUNT))  # not positive where the header is silent
    count = 0
    try:
        while count != max_frames:
            read, frame = video.read()
            if not read:
                break
            count += 1
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        video.release()
    if count == 0:
        raise JaxsegError(f"{path}: no frame can be read (empty, damaged or an unknown codec)")
    if count < min(declared, max_frames or declared) and not allow_short:
        raise JaxsegError(
            f"{path}: ends after {count} of {declared} frames; copy it again, or pass "
            "allow_short=True to use these frames"
        )


def frozen_frames(frames: Iterable[Array], *, tolerance: int = TOLERANCE) -> tuple[int, int]:
    """The longest stretch in which the picture does not move while overlays appear.

    Returns (first, last), the frames t0 (still clean) and t_end (all overlays there) of frames
    uint8 [H, W, 3]. Within it, from frame to frame at most 5 % of the pixels change by more than
    `tolerance` grey levels, and what has changed against t0 stays changed, but for a tenth of it.
    Reads the frames once and keeps two. Raises JaxsegError if nothing appears on any still picture,
    UsageError for frames of different sizes.
    """
    every = iter(frames)
    start = last = next(every, None)
    first, best = 0, (0, 0)
    if start is not None and last is not None:
        changed = np.zeros(start.shape[:2], bool)
        for index, frame in enumerate(every, 1):
            now = _differs(start, frame, tolerance)
            undone = (changed & ~now).sum() > UNDONE * max(now.sum(), 1)
            if undone or _differs(last, frame, tolerance).mean() > LARGEST_STEP:
                first, start, now = index, frame, np.zeros_like(now)
            last, changed = frame, now
            if now.sum() >= SMALLEST and index - first > best[1] - best[0]:
                best = (first, index)
    if best == (0, 0):
        raise JaxsegError(
            "video: holds no still picture on which overlays appear; give a part in which a frozen "
            "frame is annotated"
        )
    return best


def _differs(a: Array, b: Array, tolerance: int) -> NDArray[np.bool_]:
    """Pixels with a channel that differs by more than the tolerance: bool [H, W]."""
    if a.shape != b.shape:
        raise UsageError(f"frames of shape {a.shape} and {b.shape}: must all have one size")
    return cv2.absdiff(a, b).max(-1) > tolerance
