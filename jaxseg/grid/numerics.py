"""What a seed means: the state of JAX that changes numbers, set to one value or written down.

Environment variables, notebooks and other libraries change how JAX draws random numbers and
computes. `pinned` sets what can be set while jaxseg computes and then gives it back; what only the
start of the process decides is kept in config.json and compared by `differences`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import jax

from jaxseg.grid.devices import check_devices

# Context managers of `jax`, which hold for the calling thread alone, and their arguments. One that
# this version of JAX lacks has no setting to pin. jax_numpy_rank_promotion is left as it is: it
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
    # These change no number: they make programs stop, or run one operation after another.
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
    """Within it JAX computes the same numbers, whatever the process has set; also a decorator.

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
    """What `pinned` cannot set and numbers depend on, in their last digits: {name: value}."""
    found = {"jax": jax.__version__, "jaxlib": version("jaxlib")}
    found["platform"] = jax.local_devices()[0].platform
    found |= {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    return found | {n: str(getattr(jax.config, n)) for n in _COMPILER if hasattr(jax.config, n)}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """`name (value before, value now)` of each condition that is another now."""
    return [
        f"{name} ({before.get(name, 'not set')!r} then, {now.get(name, 'not set')!r} now)"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
