"""Preparing this process for training: CPU cores as devices, memory kept, programs cached."""

import ctypes
import os
import sys
from pathlib import Path

import jax

from jaxseg.errors import JaxsegError
from jaxseg.escape import one_line
from jaxseg.grid.compiled import keep_compiled

# glibc's mallopt parameters and what they are set to. XLA asks for the same large buffers at every
# step; by default each is returned to the system and faulted in page by page again, which takes up
# to half of a step on CPU.
_MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD

# LLVM's third level of optimisation doubles the time to compile and gains nothing measurable: the
# convolutions are library calls.
CPU_COMPILER_OPTIONS = {"xla_backend_optimization_level": 1}


def start_devices(cache: Path | None) -> None:
    """Makes every CPU core a device, keeps freed memory, and caches compiled programs in `cache`.

    Call it before JAX is first used; it changes nothing on machines whose devices are no CPUs
    except for the cache. Cells share no core well, so that on CPU each gets one.
    """
    keep_memory()
    jax.config.update("jax_num_cpu_devices", cpu_cores())
    if cache is not None:
        keep_compiled(cache)


def check_devices() -> None:
    """Starts JAX's devices; JaxsegError naming JAX_PLATFORMS when there are none."""
    try:
        jax.local_devices()
    except (AssertionError, RuntimeError) as error:
        platforms = jax.config.jax_platforms or ""  # pyright: ignore[reportAttributeAccessIssue]
        reason = f" ({one_line(error)})" if str(error) else ""
        mend = "unset it or set it to cpu" if platforms else "set it to cpu to train without"
        raise JaxsegError(
            f"JAX_PLATFORMS={platforms}: JAX finds no such device here{reason}; {mend}"
        ) from error


def keep_memory() -> None:
    """Lets the allocator keep what is freed. Only glibc has this setting; elsewhere a no-op."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in _MALLOPT.items():
            libc.mallopt(parameter, value)


def cpu_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compiler_options(platform: str) -> dict[str, int]:
    """Options of `jax.jit` for programs on devices of a platform."""
    return CPU_COMPILER_OPTIONS if platform == "cpu" else {}
