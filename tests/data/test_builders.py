"""The TFDS builders used directly, as TFDS users would."""

import importlib

import numpy as np
import pytest

from jaxseg.data.decoding import decode
from jaxseg.data.host import quiet_tfds
from jaxseg.data.lesion_phantoms import draw_lesion
from jaxseg.data.sources import SOURCES
from jaxseg.data.ultrasound_phantoms import draw_frame


@pytest.mark.parametrize("given", ["constructor", "download_config"])
def test_manual_dir_can_be_given_both_ways(make_folder, tmp_path, given):
    root = make_folder(n=3)
    with quiet_tfds() as tfds:
        from jaxseg.data.folders import Folders

        direct = {"manual_dir": root} if given == "constructor" else {}
        builder = Folders(data_dir=str(tmp_path / "tfds"), **direct)
        config = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
        builder.download_and_prepare(download_config=None if direct else config)
        examples = {e["id"].decode(): e for e in tfds.as_numpy(builder.as_dataset(split="train"))}
    assert sorted(examples) == ["im0", "im1", "im2"]
    assert examples["im1"]["image"].shape == (63, 83, 3)
    assert set(np.unique(examples["im1"]["mask"])) == {0, 1}


@pytest.mark.parametrize(
    "name",
    [
        "isic2017",
        "hc18",
        "folders",
        "lesion_phantoms",
        "ultrasound_phantoms",
        "ultrasound_phantoms_small",
    ],
)
def test_the_table_knows_its_builders(name):
    with quiet_tfds():
        builder = getattr(importlib.import_module(SOURCES[name].module), SOURCES[name].builder)
    assert builder.name == name and str(builder.VERSION) == SOURCES[name].version


@pytest.mark.parametrize(
    "name, draw", [("lesion_phantoms", draw_lesion), ("ultrasound_phantoms", draw_frame)]
)
def test_generated_frames_are_kept_pixel_by_pixel(name, draw, tmp_path):
    with quiet_tfds():
        make = getattr(importlib.import_module(SOURCES[name].module), SOURCES[name].builder)
        kept = make(data_dir=str(tmp_path))._generate_examples(0, 2)
        for (_, example), index in zip(kept, range(2), strict=True):
            image, mask = decode(example["image"], example["mask"], example["id"], {})
            drawn, outline = draw(0, index)
            np.testing.assert_array_equal(image, drawn)
            np.testing.assert_array_equal(mask, outline)
