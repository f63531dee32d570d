"""Where an audit of a cell reads images and where it writes: a workdir may be anybody's."""

import cv2
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.grid.config import Config, DataConfig
from jaxseg.progress import silent
from jaxseg.studies.cell_frames import cell_frames, data_here


def config(**changed):
    return Config(data=DataConfig(name="folders", test_split="train", **changed))


def test_images_are_prepared_in_the_own_cache_wherever_the_workdir_says(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    for part in ("images", "masks"):
        (tmp_path / "own" / part).mkdir(parents=True)
        frame = np.zeros((24, 24, 3), np.uint8)
        frame[6:18, 6:18] = 255
        cv2.imwrite(str(tmp_path / "own" / part / "a.png"), frame)
    foreign = config(data_dir=str(tmp_path / "elsewhere"))
    frames = cell_frames(data_here(foreign, str(tmp_path / "own")), 16, 2, silent)
    assert frames.images.shape == (1, 16, 16, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "own"]


def test_images_may_lie_elsewhere_than_in_training(tmp_path):
    gone = config(manual_dir=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"data.manual_dir='.*gone': .* with --manual_dir=DIR$"):
        data_here(gone)
    assert data_here(gone, str(tmp_path)).data.manual_dir == str(tmp_path)
    still = config(manual_dir=str(tmp_path))
    assert data_here(still).data.manual_dir == str(tmp_path)
    assert data_here(config()).data.manual_dir == ""
