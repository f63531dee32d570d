import jax
import numpy as np
import pytest
from etils import epath

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import checkpoints
from jaxseg.grid.cells import Cell, expand, group_cells
from jaxseg.grid.config import Config
from jaxseg.grid.mapping import CELL, DATA, make_layout
from jaxseg.grid.processes import (
    Share,
    check_own_devices,
    count_tpu_chips,
    find_share,
    own_devices,
    parse_shard,
    shares,
    tpu_environment,
)
from jaxseg.grid.sweeps import product


@pytest.fixture
def groups(tiny_config):
    grid = product(padding=("zeros", "reflect", "partial"), crop=("center", "random"), seed=(0, 1))
    return group_cells(expand(tiny_config, grid))  # 8 cells of the standard paddings, 4 of partial


def test_a_shard_is_i_of_n():
    assert parse_shard("0/1") == Share(0, 1) and parse_shard("11/12") == Share(11, 12)


@pytest.mark.parametrize(
    "text, rule",
    [
        ("4/4", r"--shard 4/4: i must be from 0 to n - 1 = 3"),
        ("0/0", "i must be from 0"),
        ("-1/4", "must look like 0/4"),
        ("1", "must look like 0/4"),
        ("1/4/2", "must look like 0/4"),
        ("", "must look like 0/4"),
    ],
)
def test_wrong_shards_are_named(text, rule):
    with pytest.raises(UsageError, match=rule):
        parse_shard(text)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_shares_partition_the_grid_evenly_and_in_order(groups, count):
    parts = shares(groups, count)
    for index, group in enumerate(groups):
        assert [cell for part in parts for cell in part[index]] == group
    sizes = [sum(map(len, part)) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert parts == shares(groups, count)


def test_shares_keep_programs_together(groups):
    assert [[len(cells) for cells in part] for part in shares(groups, 3)] == [
        [4, 0],
        [4, 0],
        [0, 4],
    ]


def test_more_processes_than_cells_are_refused(groups):
    with pytest.raises(UsageError, match="13 processes: more than the 12 cells of the grid"):
        shares(groups, 13)


@pytest.mark.parametrize("n_cells", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("n_devices", [1, 2, 4, 6])
def test_a_share_splits_the_batch_as_one_process_would(n_cells, count, n_devices, monkeypatch):
    monkeypatch.setattr(jax, "make_mesh", lambda shape, names, **_: _Mesh(dict(zip(names, shape))))
    devices = [_Cpu()] * n_devices
    part = -(-n_cells // count)
    whole = make_layout(n_cells, 12, 0, devices)
    own = make_layout(part, 12, 0, own_devices(devices, n_cells, part))
    assert own.mesh.shape[DATA] == whole.mesh.shape[DATA] and own.per_device == whole.per_device
    assert own.mesh.shape[CELL] == min(part, whole.mesh.shape[CELL])


class _Cpu:
    platform = "cpu"


class _Mesh:
    def __init__(self, shape):
        self.shape = shape


def test_the_share_comes_from_the_flag_or_the_launcher():
    assert find_share(None, {}) == Share(0, 1)
    assert find_share("1/3", {"JAXSEG_DISTRIBUTED": "0"}) == Share(1, 3)
    with pytest.raises(UsageError, match="--shard 0/2: cannot be combined with JAXSEG"):
        find_share("0/2", {"JAXSEG_DISTRIBUTED": "1"})
    with pytest.raises(UsageError, match="JAXSEG_DISTRIBUTED='yes': must be 1 or 0"):
        find_share(None, {"JAXSEG_DISTRIBUTED": "yes"})
    with pytest.raises(UsageError, match="JAX_PROCESS_ID='two': must be a whole number"):
        find_share(None, {"JAXSEG_DISTRIBUTED": "1", "JAX_PROCESS_ID": "two"})


def test_each_host_of_a_slice_is_kept_to_its_own_chips(tmp_path):
    (tmp_path / "vfio").mkdir()
    for name in ("vfio/0", "vfio/1", "vfio/2", "vfio/3", "vfio/vfio", "null"):
        (tmp_path / name).touch()
    chips = count_tpu_chips(tmp_path)
    assert chips == 4 and count_tpu_chips(tmp_path / "none") == 0
    bounds = tpu_environment(chips)["TPU_CHIPS_PER_PROCESS_BOUNDS"].split(",")
    assert int(bounds[0]) * int(bounds[1]) * int(bounds[2]) == chips
    assert tpu_environment(chips)["TPU_PROCESS_BOUNDS"] == "1,1,1"
    assert tpu_environment(0) == {}


def test_a_process_that_jax_joined_to_others_is_refused():
    check_own_devices(1)
    with pytest.raises(JaxsegError, match="one of 4 that JAX has joined"):
        check_own_devices(4)


def test_a_finished_cell_is_found_beside_what_other_chunks_left_of_it(tmp_path):
    a, b = (Cell(name, name, Config()) for name in "ab")
    for chunk, kind in (([a], "variables"), ([b, a], "state")):
        with checkpoints.open_manager(epath.Path(tmp_path), chunk) as manager:
            never = [-1] * len(chunk)
            at = checkpoints.Position(1, 0, [], [0.1] * len(chunk), never, never, 0.0)
            checkpoints.save(manager, kind, {"x": np.zeros(len(chunk))}, at, chunk, ("lesion",))
    found = checkpoints.find_cells(tmp_path)
    assert {cell: meta["kind"] for cell, (_, _, meta) in found.items()} == {
        "a": "variables", "b": "state",
    }  # fmt: skip
