"""Several processes on one grid: which cells each of them takes.

A process is one of a job array (`--shard i/n`) or one of those a launcher started together
(JAXSEG_DISTRIBUTED=1). Either way it trains its own cells on its own devices, and writes its own
files. Nothing is gathered: when one process dies, the others go on.
"""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid.cells import Cell

VARIABLE = "JAXSEG_DISTRIBUTED"
_MEND = "set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or use --shard i/n"
# jax.distributed is used only to learn the number of this process. It runs in a child process on
# the CPU: this process must not join the others in JAX, because Orbax would then not save arrays
# that only this process has.
_RENDEZVOUS = """
import sys, jax
jax.config.update("jax_platforms", "cpu")
count, index = (int(word) if word else None for word in sys.argv[1:])
jax.distributed.initialize(num_processes=count, process_id=index)
print("rank", jax.process_index(), jax.process_count())
"""
_CHIP_BOUNDS = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1", 8: "2,4,1"}


class Share(NamedTuple):
    """Which part of the cells a process takes: `index` of `count`."""

    index: int = 0
    count: int = 1


def parse_shard(text: str) -> Share:
    """The share meant by "i/n"; raises UsageError unless 0 <= i < n."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise UsageError(f"--shard {text!r}: must look like 0/4, process i of n counted from 0")
    share = Share(int(match[1]), int(match[2]))
    if share.index >= share.count:
        raise UsageError(f"--shard {text}: i must be from 0 to n - 1 = {share.count - 1}")
    return share


def find_share(shard: str | None, environment: Mapping[str, str]) -> Share:
    """The share of this process from --shard or the launcher's environment; the whole by default.

    Raises UsageError for a malformed or doubled request and JaxsegError when the processes of a
    launcher do not find each other.
    """
    wanted = environment.get(VARIABLE, "")
    if wanted not in ("", "0", "1"):
        raise UsageError(f"{VARIABLE}={wanted!r}: must be 1 or 0")
    if wanted == "1" and shard is not None:
        raise UsageError(f"--shard {shard}: cannot be combined with {VARIABLE}=1; use one of them")
    if wanted == "1":
        return _rendezvous(environment)
    return Share() if shard is None else parse_shard(shard)


def _rendezvous(environment: Mapping[str, str]) -> Share:
    """Finds the launcher's other processes; JAX knows TPU VMs, GKE, SLURM and Open MPI by itself.

    JAX reads the coordinator's address from the environment, but not number and count.
    """
    numbers = [environment.get(name, "") for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")]
    for name, value in zip(("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"), numbers):
        if value and not value.isdecimal():
            raise UsageError(f"{name}={value!r}: must be a whole number")
    met = subprocess.run(
        [sys.executable, "-c", _RENDEZVOUS, *numbers],
        env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    rank = re.search(r"^rank (\d+) (\d+)$", met.stdout, re.MULTILINE)
    if met.returncode or not rank:
        reason = (met.stderr.strip().splitlines() or ["no answer"])[-1]
        raise JaxsegError(
            f"{VARIABLE}=1: the processes did not find each other ({reason}); {_MEND}"
        )
    return Share(int(rank[1]), int(rank[2]))


def tpu_environment(chips: int) -> dict[str, str]:
    """Environment variables by which libtpu uses only the `chips` of this host of a slice.

    Without it every host of a slice waits for the others and owns devices it cannot reach. Empty
    for a number of chips that no host has.
    """
    if chips not in _CHIP_BOUNDS:
        return {}
    return {
        "TPU_PROCESS_BOUNDS": "1,1,1",
        "TPU_CHIPS_PER_PROCESS_BOUNDS": _CHIP_BOUNDS[chips],
        "TPU_VISIBLE_CHIPS": ",".join(map(str, range(chips))),
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "CLOUD_TPU_TASK_ID": "0",
    }


def count_tpu_chips(dev: Path = Path("/dev")) -> int:
    """TPU chips of this host, by their device files; 0 where there are none."""
    return len(list(dev.glob("accel[0-9]*"))) or len(list(dev.glob("vfio/[0-9]*")))


def keep_to_own_devices(share: Share) -> None:
    """Makes the devices of this host the only ones, before JAX starts them."""
    if share.count > 1:
        os.environ.update(tpu_environment(count_tpu_chips()))


def check_own_devices(process_count: int) -> None:
    """Raises JaxsegError when JAX has nevertheless joined this process to others."""
    if process_count > 1:
        raise JaxsegError(
            f"devices: this process is one of {process_count} that JAX has joined, but "
            f"every process must use JAX on its own; start it with {VARIABLE}=1 or --shard i/n"
        )


def shares(groups: Sequence[Sequence[Cell]], count: int) -> list[list[list[Cell]]]:
    """[process][group] -> cells: runs of the grid as even as can be.

    Cells of a group stay together where they can, so that few processes compile the same program.
    Raises UsageError when there are fewer cells than processes.
    """
    total = sum(map(len, groups))
    if count > total:
        raise UsageError(f"{count} processes: more than the {total} cells of the grid; start fewer")
    places = [(index, cell) for index, group in enumerate(groups) for cell in group]
    cuts = [total * i // count for i in range(count + 1)]
    return [
        [[cell for at, cell in places[a:b] if at == index] for index in range(len(groups))]
        for a, b in itertools.pairwise(cuts)
    ]


def own_devices(devices: Sequence[Any], n_cells: int, part: int) -> list[Any]:
    """The devices that one process uses for at most `part` of a group's `n_cells` cells.

    A lone cell of a large group does not spread its batch over devices that would have trained
    other cells: it is computed as in a single process, bit for bit.
    """
    each = len(devices) // min(len(devices), n_cells)
    return list(devices[: each * min(len(devices), part)])
