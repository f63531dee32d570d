"""A whole grid from files to scores beside a PyTorch script that is run once for every cell."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from benchmarks.timing import Row, Setting, rated, row, timed
from jaxseg.data.phantoms.lesions import draw_lesion
from jaxseg.errors import JaxsegError

_LAUNCH = Path(__file__).parents[1]
_IMAGES = {"train": 160, "test": 48}
_SEED = {"train": 0, "test": 2}
_DRAWN = 256  # lesions are drawn at this side and enlarged to the files' size
_PADDINGS = ("zeros", "reflect")
_CROPS = ("center", "quarter")
# What jaxseg sets by mallopt, so that the peer has it too.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**28),
}  # fmt: skip


def bench_grid(setting: Setting) -> list[Row]:
    """Seconds of two paddings × two crops × seeds, each side from nothing."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(setting.data or draw_folder(Path(home) / "images", setting.file_height))
        seeds = setting.cells // (len(_PADDINGS) * len(_CROPS))
        cells = seeds * len(_PADDINGS) * len(_CROPS)
        seconds = {
            f"jaxseg, {cells} cells": timed(lambda: _jaxseg(setting, folder, Path(home), seeds)),
        }
        again = f"jaxseg, {cells} cells, programs and images kept from before"
        seconds[again] = timed(lambda: _jaxseg(setting, folder, Path(home), seeds, "again"))
        if setting.peer == "torch":
            seconds[f"torch, {cells} runs of a script"] = timed(
                lambda: _torch(setting, folder, seeds)
            )
    rows = [row("grid", name, [value], 1) for name, value in seconds.items()]
    return rated(rows, rows[-1]["ms"])


def draw_folder(folder: Path, height: int) -> Path:
    """Generated lesions as files of 4:3, in the layout of the data set `folders`."""
    frame = (height * 4 // 3, height)
    for split, count in _IMAGES.items():
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for i in range(count):
            image, mask = draw_lesion(_SEED[split], i, _DRAWN)
            image = cv2.resize(image, frame, interpolation=cv2.INTER_CUBIC)
            mask = cv2.resize(mask, frame, interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(folder / split / "images" / f"{i}.jpg"), image[..., ::-1])
            cv2.imwrite(str(folder / split / "masks" / f"{i}.png"), mask)
    return folder


def _jaxseg(setting: Setting, folder: Path, home: Path, seeds: int, name: str = "run") -> None:
    fields = {
        "data.name": "folders", "data.manual_dir": folder, "data.size": setting.size,
        "data.train_split": "train", "data.val_split": "", "data.test_split": "test",
        "net.width": setting.width, "optim.batch_size": setting.batch,
        "optim.epochs": setting.epochs, "optim.learning_rate": 1e-3,
    }  # fmt: skip
    command = [
        sys.executable, _LAUNCH / "grid.py",
        "--config", _LAUNCH.parent / "configs/isic2017.py:small",
        *(f"--config.{field}={value}" for field, value in fields.items()),
        "--grid", f"padding={','.join(_PADDINGS)}", "--grid", f"crop={','.join(_CROPS)}",
        "--grid", f"seed=0:{seeds}", "--workdir", home / name,
    ]  # fmt: skip
    _call(command, {"JAXSEG_CACHE": str(home / "cache")})


def _torch(setting: Setting, folder: Path, seeds: int) -> None:
    for padding in _PADDINGS:
        for crop in _CROPS:
            for seed in range(seeds):
                names = ("width", "size", "batch", "epochs")
                same = [f"--{name}={getattr(setting, name)}" for name in names]
                script = Path(__file__).with_name("torch_script.py")
                own = [f"--padding={padding}", f"--crop={crop}", f"--seed={seed}"]
                _call([sys.executable, script, folder, *same, *own], _KEEP_MEMORY)


def _call(command: list, environment: dict[str, str]) -> None:
    done = subprocess.run(
        list(map(str, command)), env=os.environ | environment, capture_output=True, text=True
    )
    if done.returncode:
        raise JaxsegError(f"{Path(command[1]).name} failed: {done.stderr.strip().splitlines()[-1]}")
