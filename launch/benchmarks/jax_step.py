"""jaxseg's side of the training step, and the device's own limits beside it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, Setting, Variant, measure, random_batch
from jaxseg.grid.mapping import make_layout, map_cells, put
from jaxseg.grid.train import Hyper, Program
from jaxseg.nets.padding import STANDARD_MODES, padding_code
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet

_MANY = 10**6  # cells: more than there are devices, so that none splits a batch


class Step(NamedTuple):
    """A compiled step, a call that makes `Setting.steps` of them, and the cells it trains."""

    compiled: Any
    run: Variant
    slots: int


def make_step(
    setting: Setting,
    padding: str = "zeros",
    per_device: int = 0,
    n_cells: int = _MANY,
    dtype: str = "float32",
) -> Step:
    """The step of a grid of `n_cells`, on random images that stay on the devices."""
    as_data = padding in STANDARD_MODES and padding != "zeros"
    unet = UNet(width=setting.width, padding="zeros" if as_data else padding, dtype=dtype)
    program = Program(
        Network.of(unet),
        size=setting.size,
        loss="dice",
        select_best=False,
        padding_as_data=as_data,
    )
    layout = make_layout(n_cells, setting.batch, per_device, jax.local_devices())
    code = padding_code(padding) if as_data else 0
    hyper = put(layout, "cell", _hyper(layout.slots, code))
    data = [put(layout, "batch", array) for array in random_batch(setting, layout.slots)]
    state = map_cells(program.init, layout, ("cell",))(hyper)
    kinds = ("cell", "cell", "batch", "batch")
    step = map_cells(program.step, layout, kinds, donate=(0,)).lower(state, hyper, *data).compile()
    held = [state]

    def run() -> None:
        for _ in range(setting.steps):
            held[0], _ = step(held[0], hyper, *data)
        jax.block_until_ready(held[0])

    return Step(step, run, layout.slots)


def _hyper(slots: int, code: int) -> Hyper:
    return Hyper(
        np.arange(slots, dtype=np.int32),
        np.full(slots, 1e-3, np.float32),
        np.full(slots, code, np.int32),
    )


def cost(step: Step) -> Row:
    """GFLOP and GB of the cells of one device in a step, as XLA counts them."""
    analysis = step.compiled.cost_analysis() or {}
    names = {"gflop": "flops", "gbyte": "bytes accessed"}
    return {short: analysis.get(name, 0.0) / 1e9 for short, name in names.items()}


def matrix_peak(dtype: str, size: int = 2048) -> float:
    """GFLOP/s of a device in products of size × size, while all devices are busy with theirs."""
    devices = jax.local_devices()
    layout = make_layout(len(devices), 1, 1, devices)
    square = put(layout, "cell", np.ones((len(devices), size, size), np.float32))
    product = map_cells(
        lambda a: jnp.matmul(
            a.astype(dtype), a.astype(dtype), preferred_element_type=jnp.float32
        ),
        layout,
        ("cell",),
    )  # fmt: skip
    seconds = measure({"": lambda: jax.block_until_ready(product(square))}, 5)[""]
    return 2 * size**3 / float(np.median(seconds)) / 1e9
