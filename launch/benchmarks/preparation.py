"""Images kept decoded beside decoding every file in every epoch; requires TensorFlow."""

import tempfile
from pathlib import Path

import cv2

from benchmarks.timing import Row, Setting, measure, rated, row, timed
from benchmarks.whole_grid import draw_folder
from jaxseg.data.crops import Stream
from jaxseg.data.pipeline import train_batches
from jaxseg.data.prepare import prepare_views

_POLICY = "quarter"


def bench_preparation(setting: Setting) -> list[Row]:
    """Milliseconds an image: preparing once, and an epoch of quarter crops either way."""
    with tempfile.TemporaryDirectory() as home:
        folder = (
            Path(setting.data)
            if setting.data
            else draw_folder(Path(home) / "images", setting.file_height)
        )
        views = {}

        def prepare() -> None:
            views.update(
                prepare_views("folders", "train", size=setting.size, views=["full", "quarter"],
                              manual_dir=folder, data_dir=Path(home) / "cache")
            )  # fmt: skip

        once = timed(prepare)
        files = sorted((folder / "train/images").iterdir())
        variants = {
            "an epoch of prepared images": lambda: list(
                train_batches(views, Stream(_POLICY, 0), setting.batch, 0, 1)
            ),
            "an epoch of decoding": lambda: [_decode(path, setting.size) for path in files],
        }
        seconds = {"preparing, once": [once]} | measure(variants, setting.repeats)
    rows = [row("preparation", name, values, len(files)) for name, values in seconds.items()]
    return rated(rows, rows[-1]["ms"])


def _decode(image: Path, size: int) -> None:
    """Reads a pair of files, cuts a quarter at their resolution and resizes it."""
    mask = next((image.parents[1] / "masks").glob(f"{image.stem}*"))
    for path, flag, how in (
        (image, cv2.IMREAD_COLOR, cv2.INTER_CUBIC),
        (mask, cv2.IMREAD_GRAYSCALE, cv2.INTER_NEAREST),
    ):
        pixels = cv2.imread(str(path), flag)
        assert pixels is not None
        height, width = (n // 2 for n in pixels.shape[:2])
        cv2.resize(pixels[:height, :width], (size, size), interpolation=how)
