"""This process's JAX: its devices and memory, programs kept on disk, and what changes numbers.

A seed means the same whatever environment variables, notebooks and other libraries have set in JAX:
`pinned` sets what can be set while jaxseg computes and then gives it back; what only the start of
the process decides is kept in config.json and compared by `differences`.
"""

import contextlib
import ctypes
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from jaxseg.errors import JaxsegError, one_line

# glibc's mallopt parameters and what they are set to. XLA asks for the same large buffers at every
# step; by default each is returned to the system and faulted in page by page again, which takes up
# to half of a step on CPU.
_MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD

# LLVM's third level of optimisation doubles the time to compile and gains nothing measurable: the
# convolutions are library calls.
CPU_COMPILER_OPTIONS = {"xla_backend_optimization_level": 1}

_FAILED = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(\w+)': (.*)"
)


def start_devices(cache: Path | None) -> None:
    """Makes every CPU core a device, keeps freed memory, and caches compiled programs in `cache`.

    Call it before JAX is first used; it changes nothing on machines whose devices are not CPUs
    except for the cache. Two cells on one core slow each other down, so on CPU each gets its own.
    """
    keep_memory()
    jax.config.update("jax_num_cpu_devices", cpu_cores())
    if cache is not None:
        keep_compiled(cache)


def keep_compiled(folder: Path, at_least_s: float = 1.0) -> None:
    """Keeps programs that took `at_least_s` to compile in `folder`, keyed by JAX, device and code.

    An entry that cannot be read, as a kill while it was written leaves it, is removed and compiled
    again, in one line on stderr. JAX itself would warn in every run and never replace it. Programs
    that cannot be written, as when the disk is full, are reported once.
    """
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", at_least_s)
    show_others, unwritten = warnings.showwarning, []

    def show(message: Any, *args: Any, **kwargs: Any) -> None:
        failed = _FAILED.match(str(message))
        if failed is None:
            show_others(message, *args, **kwargs)
            return
        if failed[1] == "reading":
            # The message does not name the entry: all of that program are removed, which costs only
            # time.
            for entry in folder.glob(f"{failed[2]}-*-cache"):
                entry.unlink(missing_ok=True)
        reason = failed[3].splitlines()[0]
        if failed[1] == "reading":
            print(f"{folder}: reading failed ({reason}); compiling again", file=sys.stderr)
        elif not unwritten:
            unwritten.append(reason)
            line = f"{folder}: programs cannot be kept ({reason}); the next run compiles again"
            print(line, file=sys.stderr)

    warnings.showwarning = show
    # Every warning must be seen: a filter that shows each place once would hide the second entry.
    warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation")


def check_devices() -> None:
    """Starts JAX's devices; JaxsegError naming JAX_PLATFORMS when there are none."""
    try:
        jax.local_devices()
    except (AssertionError, RuntimeError) as error:
        platforms = jax.config.jax_platforms or ""  # pyright: ignore[reportAttributeAccessIssue]
        reason = f" ({one_line(error)})" if str(error) else ""
        mend = "unset it or set it to cpu" if platforms else "set it to cpu to train on the CPU"
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


# Context managers of `jax`, which hold for the calling thread alone, and their arguments. One that
# this version of JAX lacks is left out. jax_numpy_rank_promotion is left as it is: it
# raises or warns but changes no number, and jaxseg runs under `raise`.
_PINNED: dict[str, Any] = {
    "enable_x64": False,
    "default_prng_impl": "threefry2x32",
    "threefry_partitionable": True,
    "enable_custom_prng": False,
    "legacy_prng_key": "allow",
    "default_matmul_precision": None,
    "numpy_dtype_promotion": "standard",
    "softmax_custom_jvp": False,
    "default_device": None,
    # These do not change numbers: they make programs stop, or run one operation after another.
    "disable_jit": False,
    "no_execution": False,
    "debug_nans": False,
    "debug_infs": False,
    "debug_key_reuse": False,
    "check_tracer_leaks": False,
    "transfer_guard": "allow",
}
# Fields of `jax.config` without a context manager: they hold for the whole process.
_PINNED_GLOBALLY = {"jax_random_seed_offset": 0, "jax_allow_f16_reductions": True}

# What is read once, when the process or its devices start.
_VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")
# Fields of `jax.config` that choose how a program is compiled: a speed that the user may want.
_COMPILER = (
    "jax_disable_most_optimizations",
    "jax_optimization_level",
    "jax_exec_time_optimization_effort",
)


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Context manager or decorator: JAX computes the same numbers, whatever the process has set.

    The caller's settings are back on leaving. Raises JaxsegError when JAX finds no device.
    """
    check_devices()
    with contextlib.ExitStack() as stack:
        for name, value in _PINNED.items():
            if hasattr(jax, name):
                stack.enter_context(getattr(jax, name)(value))
        for name, value in _PINNED_GLOBALLY.items():
            former = getattr(jax.config, name, value)
            if former != value:
                stack.callback(jax.config.update, name, former)
                jax.config.update(name, value)
        yield


def conditions() -> dict[str, str]:
    """What `pinned` cannot set and the last digits of numbers depend on: {name: value}."""
    found = {"jax": jax.__version__, "jaxlib": version("jaxlib")}
    found["platform"] = jax.local_devices()[0].platform
    found |= {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    return found | {n: str(getattr(jax.config, n)) for n in _COMPILER if hasattr(jax.config, n)}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """`name (value before, value now)` of each condition that has changed."""
    return [
        f"{name} ({before.get(name, 'not set')!r} then, {now.get(name, 'not set')!r} now)"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
