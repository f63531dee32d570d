"""Cutting a box out of a frame and resizing it: one function for preparing and for training."""

from typing import Any


def cut(image: Any, mask: Any, box: Any, size: int) -> tuple[Any, Any]:
    """Cuts a box and resizes it to a square; works eagerly and inside tf.data.

    Args:
        image: uint8 [H, W, 3].
        mask: uint8 [H, W, 1] class indices.
        box: int32 [4], half-open pixel bounds (y0, x0, y1, x1), from `crops.pixel_box`.
        size: side of the result in pixels.

    Returns:
        image uint8 [size, size, 3], bicubic with antialiasing (`tf.image.resize`, which equals
        Pillow's BICUBIC within rounding), rounded and clipped to 0 … 255; mask uint8 [size, size],
        nearest pixel.
    """
    import tensorflow as tf  # by now `host` has hidden the accelerators from it

    y0, x0, y1, x1 = tf.unstack(box)
    part = tf.cast(image[y0:y1, x0:x1], tf.float32)
    resized = tf.image.resize(part, (size, size), method="bicubic", antialias=True)
    pixels = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
    labels = tf.image.resize(mask[y0:y1, x0:x1], (size, size), method="nearest")
    return pixels, labels[..., 0]
