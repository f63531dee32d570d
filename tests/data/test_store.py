"""Stores: resumed from any point, whole or absent, and clear about a full disk."""

import errno
import types

import numpy as np
import pytest

from jaxseg.data import store
from jaxseg.data.store import StoreWriter, check_space, load_store, store_folder, verify_store
from jaxseg.errors import DamagedError, JaxsegError

N, V, S = 7, 2, 4
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, V, S, S, 3), np.uint8)
MASKS = RNG.integers(0, 2, (N, V, S, S), np.uint8)


def append(writer, first, last):
    for i in range(first, last):
        writer.append(i, IMAGES[i], MASKS[i], f"id{i}")


def check_whole(folder):
    stored = load_store(folder)
    np.testing.assert_array_equal(stored.images, IMAGES)
    np.testing.assert_array_equal(stored.masks, MASKS)
    assert stored.ids == tuple(f"id{i}" for i in range(N)) and stored.classes == ("lesion",)
    assert not stored.images.flags.writeable and isinstance(stored.images, np.memmap)
    assert sorted(p.name for p in folder.iterdir()) == ["images.npy", "masks.npy", "store.json"]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("safe", range(N))
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_resuming_equals_writing_at_once(tmp_path, safe, lost):
    folder = tmp_path / "full-4"
    writer = StoreWriter(folder, N, V, S)
    append(writer, 0, safe)
    writer.save()
    append(writer, safe, min(safe + lost, N))
    writer.close()
    assert load_store(folder) is None
    again = StoreWriter(folder, N, V, S)
    assert len(again.ids) == safe
    append(again, 0, N)  # what is there is skipped
    again.finish(["lesion"])
    check_whole(folder)


def test_another_shape_starts_from_zero(tmp_path):
    writer = StoreWriter(tmp_path / "x", N + 1, V, S)
    append(writer, 0, 3)
    writer.save()
    writer.close()
    again = StoreWriter(tmp_path / "x", N, V, S)
    assert again.ids == []
    append(again, 0, N)
    again.finish(["lesion"])
    check_whole(tmp_path / "x")


def test_damaged_stores_are_named(tmp_path):
    writer = StoreWriter(tmp_path / "x", N, V, S)
    append(writer, 0, N)
    writer.finish(["lesion"])
    images = tmp_path / "x" / "images.npy"
    images.write_bytes(images.read_bytes()[:-5])
    with pytest.raises(JaxsegError, match=r"x: damaged: .*delete the folder"):
        load_store(tmp_path / "x")


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
def test_another_byte_in_the_arrays_is_noticed(tmp_path, name):
    folder = tmp_path / "x"
    for first in (0, 3):
        writer = StoreWriter(folder, N, V, S)  # the second goes on where the first one ended
        append(writer, first, first + 4)
        writer.save()
        writer.close()
    StoreWriter(folder, N, V, S).finish(["lesion"])
    verify_store(folder)
    with (folder / name).open("r+b") as file:
        file.seek(-9, 2)
        byte = file.read(1)
        file.seek(-9, 2)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(DamagedError, match=rf"x/{name}: damaged: .*delete its folder"):
        verify_store(folder)


def test_a_damaged_safe_point_is_not_a_safe_point(tmp_path):
    writer = StoreWriter(tmp_path / "x", N, V, S)
    append(writer, 0, 3)
    writer.save()
    writer.close()
    done = tmp_path / "x.partial" / "done.json"
    done.write_text(done.read_text().replace("id1", "id7"))
    again = StoreWriter(tmp_path / "x", N, V, S)
    assert again.ids == []
    again.close()


def test_full_disk_is_seen_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10))
    with pytest.raises(JaxsegError, match="new: disk full, 896 bytes required and 10 free"):
        check_space(tmp_path / "new", store.store_bytes(N, V, S))


def test_disk_that_fills_up_while_writing(tmp_path):
    writer = StoreWriter(tmp_path / "x", N, V, S)

    def full(data):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer._files[0].close()
    writer._files[0] = types.SimpleNamespace(write=full)
    with pytest.raises(JaxsegError, match=r"x\.partial: disk full, 896 bytes required"):
        append(writer, 0, 1)
    writer._files[1].close()


def test_closing_a_store_on_a_full_disk_says_nothing_more(tmp_path):
    writer = StoreWriter(tmp_path / "x", N, V, S)

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    for i, file in enumerate(writer._files):
        file.close()
        writer._files[i] = types.SimpleNamespace(close=full)
    writer.close()


def test_folders_of_slices_differ(tmp_path):
    splits = ["train", "train[:85%]", "train[85%:]", "train[:85]", "train[-85:]", "train[85:]"]
    source = ("isic2017", "1.0.0", "abc")
    folders = {store_folder(tmp_path, source, split, 64, "full") for split in splits}
    assert len(folders) == len(splits)
    assert all(not set("[]:%+ ") & set(str(folder)) for folder in folders)
