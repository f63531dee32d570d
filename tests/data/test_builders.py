"""The TFDS builders used directly, as TFDS users would."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxseg.data import builders
from jaxseg.data.phantoms.lesions import draw_lesion
from jaxseg.data.phantoms.ultrasound import draw_frame
from jaxseg.data.sources import SOURCES


@pytest.mark.parametrize("given", ["constructor", "download_config"])
def test_manual_dir_can_be_given_both_ways(make_folder, tmp_path, given):
    pytest.importorskip("tensorflow")
    root = make_folder(n=3)
    direct = {"manual_dir": root} if given == "constructor" else {}
    builder = builders.Folders(data_dir=str(tmp_path / "tfds"), **direct)
    config = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
    builder.download_and_prepare(download_config=None if direct else config)
    examples = {e["id"].decode(): e for e in tfds.as_numpy(builder.as_dataset(split="train"))}
    assert sorted(examples) == ["im0", "im1", "im2"]
    assert examples["im1"]["image"].shape == (63, 83, 3)
    assert set(np.unique(examples["im1"]["mask"])) == {0, 1}
    assert builder.info.metadata["classes"] == ["foreground"]


@pytest.mark.parametrize("name", SOURCES)
def test_the_table_knows_its_builders(name):
    builder = getattr(builders, SOURCES[name].builder)
    assert builder.name == name and str(builder.VERSION) == SOURCES[name].version


@pytest.mark.parametrize(
    "name, draw", [("lesion_phantoms", draw_lesion), ("ultrasound_phantoms", draw_frame)]
)
def test_generated_frames_are_kept_pixel_by_pixel(name, draw, tmp_path):
    builder = getattr(builders, SOURCES[name].builder)
    for index, (key, read) in enumerate(builder.frames(None)["train"][:2]):
        image, mask = draw(0, index)
        assert key == index
        np.testing.assert_array_equal(read().image, image)
        np.testing.assert_array_equal(read().mask, mask)
