"""The one door for frames of any usual kind: whatever comes in leaves as uint8 RGB."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxseg.errors import UsageError


def as_rgb(frame: ArrayLike) -> NDArray[np.uint8]:
    """A frame as uint8 [H, W, 3] RGB; an RGB frame of 8 bits is returned as it is.

    Takes uint8 or uint16 arrays [H, W], [H, W, 1] (grey), [H, W, 3] (RGB) or [H, W, 4] (RGBA).
    16 bits are divided by 257 and rounded, so that equal values stay equal over all frames of a
    data set (a frame's own range would change contrast from frame to frame). RGBA is laid over
    black. Raises UsageError for other types and shapes, and for a 16-bit frame that holds 8-bit
    values: it would turn black.
    """
    frame = np.asarray(frame)
    _check(frame)
    if frame.dtype == np.uint16:
        frame = ((frame.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.shape[-1] == 4:
        frame = _over_black(frame)
    return np.repeat(frame, 3, -1) if frame.shape[-1] == 1 else frame


def _check(frame: NDArray) -> None:
    if frame.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"frame of type {frame.dtype}: must be uint8 or uint16; convert it first")
    channels = frame.shape[2] if frame.ndim == 3 else 1
    if frame.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in frame.shape:
        raise UsageError(
            f"frame of shape {frame.shape}: must be [H, W] or [H, W, C] with C of 1 (grey), "
            "3 (RGB) or 4 (RGBA), and not empty"
        )
    if frame.dtype == np.uint16 and 0 < frame.max() < 257:
        raise UsageError(
            f"frame of type uint16 with values up to {frame.max()}: it holds 8-bit values and "
            "would turn black; convert it to uint8"
        )


def _over_black(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weighted = frame[..., :3].astype(np.uint16) * frame[..., 3:]
    return ((weighted + 127) // 255).astype(np.uint8)
