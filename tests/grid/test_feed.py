"""Both feeds give the same batches, from any step on, and the device feed needs no TensorFlow."""

import itertools
import json
import os
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from etils import epath

from jaxseg.data import pipeline
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import frames as frames_module
from jaxseg.grid.cells import expand
from jaxseg.grid.feed import DataWait, chunk_batches
from jaxseg.grid.frames import choose_feed
from jaxseg.grid.group import make_group
from jaxseg.grid.mapping import fill, make_layout, put_slots
from jaxseg.grid.run import run_grid
from jaxseg.grid.storage import write_with_digest
from jaxseg.grid.sweeps import product
from jaxseg.grid.workdir import read_config

GRID = product(padding=("zeros", "reflect"), crop=("center", "quarter", "random"), seed=(0, 1))


def _group(config, feed, cells_per_device=0, grid=GRID):
    config = {**config, "data": {**config["data"], "feed": feed}}
    config["run"] = {**config["run"], "cells_per_device": cells_per_device}
    return make_group(expand(config, grid))


def _batches(group, slots, *start):
    return [[np.asarray(a) for a in batch] for batch in chunk_batches(group, slots, *start)]


@pytest.mark.parametrize(
    ("cells_per_device", "grid"),
    [(1, GRID[2:6]), (3, GRID[:6]), (6, GRID), (0, GRID[4:5])],
    ids=["one a device", "three a device", "streams shared", "a batch split over devices"],
)
def test_the_feeds_agree(tiny_config, cells_per_device, grid):
    host, device = (_group(tiny_config, f, cells_per_device, grid) for f in ("host", "device"))
    slots = fill(host.cells[: host.layout.slots], host.layout.slots)
    expected, got = _batches(host, slots, 0), _batches(device, slots, 0)
    assert len(expected) == len(got) == 3 * 4
    for (images, masks), (pixels, labels) in zip(expected, got):
        assert images.shape == pixels.shape == (len(slots), 4, 32, 32, 3)
        assert images.dtype == pixels.dtype == np.uint8
        np.testing.assert_array_equal(masks, labels)
        for i, cell in enumerate(slots):
            apart = np.abs(images[i].astype(int) - pixels[i]).max()
            assert apart <= (1 if cell.config.data.crop == "random" else 0)


@pytest.mark.parametrize("feed", ["host", "device"])
def test_batches_can_be_entered_at_any_step(tiny_config, feed):
    group = _group(tiny_config, feed)
    slots = [group.cells[2], group.cells[5]]
    whole = _batches(group, slots, 0)
    for epoch, step in ((0, 3), (1, 0), (2, 1)):
        rest = _batches(group, slots, epoch, step)
        assert len(rest) == len(whole) - (4 * epoch + step)
        for before, after in zip(whole[4 * epoch + step :], rest):
            np.testing.assert_array_equal(before[0], after[0])
            np.testing.assert_array_equal(before[1], after[1])


def test_images_lie_once_on_each_device_and_are_not_copied_on_cpu(tiny_config):
    group = _group(tiny_config, "device", 6)
    assert group.feed == "device" and group.frames.views == ("full", "quarter", "frame2x")
    for view, parts in zip(group.frames.views, group.frames.arrays):
        store = group.data.train[view]
        for sent, kept in zip(parts, (store.images, store.masks)):
            assert sent.shape == kept.shape
            places = [s.data.unsafe_buffer_pointer() for s in sent.addressable_shards]
            assert places == [kept.ctypes.data] * 2


def test_slots_are_sent_as_they_would_be_stacked():
    arrays = [np.full((4, 3), i, np.uint8) for i in range(4)]
    for per_device in (1, 2, 4):
        layout = make_layout(4, 4, per_device, jax.devices())
        slots = arrays[: layout.slots]
        np.testing.assert_array_equal(put_slots(layout, slots), np.stack(slots))


def test_a_batch_too_large_is_named(tiny_config):
    tiny_config["optim"]["batch_size"] = 17
    with pytest.raises(UsageError, match=r"optim.batch_size=17: must be from 1 to the 16"):
        _group(tiny_config, "device")


class _Accelerator(types.SimpleNamespace):
    platform = "gpu"

    def memory_stats(self):
        return {"bytes_limit": self.limit}


def test_auto_takes_the_device_where_images_fit(monkeypatch):
    images = types.SimpleNamespace(nbytes=300)
    stores = {"full": types.SimpleNamespace(images=images, masks=types.SimpleNamespace(nbytes=100))}
    small, large, cpu = _Accelerator(limit=1599), _Accelerator(limit=1600), jax.devices()[0]
    assert choose_feed("auto", None, stores, cpu) == "device"
    assert choose_feed("auto", None, stores, large) == "device"
    assert choose_feed("auto", None, stores, small) == "host"
    assert choose_feed("auto", "host", stores, large) == "host"  # as the workdir was begun
    assert choose_feed("device", None, stores, small) == "device"
    for module in (frames_module, pipeline):
        monkeypatch.setattr(module, "has_tensorflow", lambda: False)
    assert choose_feed("auto", None, stores, small) == "device"
    for wanted, kept in (("host", None), ("auto", "host")):
        with pytest.raises(JaxsegError, match=r"data.feed='host': TensorFlow is not installed"):
            choose_feed(wanted, kept, stores, cpu)


def test_the_host_feed_without_tensorflow_is_refused_before_any_work(
    monkeypatch, tiny_config, tmp_path
):
    monkeypatch.setattr(pipeline, "has_tensorflow", lambda: False)
    tiny_config["data"] |= {"feed": "host", "data_dir": str(tmp_path / "cache")}
    with pytest.raises(JaxsegError, match=r"not installed; pip install tensorflow-cpu"):
        run_grid(tiny_config, GRID[:1], tmp_path / "run")
    assert not (tmp_path / "cache").exists()


def test_waiting_is_sampled():
    wait, batches = DataWait(), itertools.repeat(jax.numpy.ones(2))
    for _ in range(6):
        wait.next(batches, [])
    assert wait.wait_s == 0
    for _ in range(8):
        wait.next(batches, [])
    assert 0 < wait.wait_s < 14


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("feeds")


def test_a_run_records_its_feed_and_its_waiting_and_keeps_to_it(tiny_config, finished):
    tiny_config["data"]["feed"] = "host"
    workdir = finished / "host"
    run_grid(tiny_config, GRID[:1], workdir)
    about = json.loads((workdir / "config.json").read_text())
    assert about["data"]["feed"] == about["config"]["data"]["feed"] == "host"
    progress = json.loads((workdir / "progress.json").read_text())
    assert 0 < progress["data_wait_s"] < progress["steps_s"] <= progress["train_s"]
    assert abs(progress["data_wait_share"] - progress["data_wait_s"] / progress["steps_s"]) < 1e-3
    tiny_config["data"]["feed"] = "device"
    with pytest.raises(UsageError, match=r"data.feed \('host' there, 'device' here\)"):
        run_grid(tiny_config, GRID[:1], workdir)


def test_auto_stays_with_the_feed_of_the_workdir(tiny_config, finished):
    workdir = finished / "auto"
    run_grid(tiny_config, GRID[:1], workdir)
    path = workdir / "config.json"
    about = read_config(epath.Path(workdir))
    assert about["data"]["feed"] == "device"
    about["data"]["feed"] = "host"
    write_with_digest(path, about)
    (workdir / "cells.csv").unlink()
    run_grid(tiny_config, GRID[:1], workdir)
    assert json.loads(path.read_text())["data"]["feed"] == "host"


def test_a_warm_cache_trains_without_tensorflow(tiny_config, finished, tmp_path):
    make_group(expand(tiny_config, GRID[2:3]))  # prepared now, if not yet
    code = (
        "import sys, json; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "from pathlib import Path\nfrom jaxseg.grid.run import run_grid\n"
        f"run_grid(json.loads(sys.argv[1]), {GRID[2:3]!r}, Path({str(tmp_path / 'bare')!r}))\n"
    )
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(tiny_config)], check=True, env=environment
    )
    about = json.loads((tmp_path / "bare" / "config.json").read_text())
    assert about["data"]["feed"] == "device"
