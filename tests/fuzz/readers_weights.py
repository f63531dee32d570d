"""Reader of weights of other frameworks: PyTorch's files and safetensors."""

import functools
import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from lying_arrays import Evil
from readers_files import Case, written
from strategies import mutated

from jaxseg.nets.torch_import import import_state_dict, read_state_dict
from jaxseg.nets.unet import UNet

BLOCKS = {"inc": "inc.double_conv.", "down1": "down1.maxpool_conv.1.double_conv."}
BLOCKS["up1"] = "up1.conv.double_conv."
LAYERS = {"conv1": "0", "norm1": "1", "conv2": "3", "norm2": "4"}
LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def weights() -> st.SearchStrategy[Case]:
    torch_files, safe = _weights()
    evil = st.sampled_from(_evil_weights())
    return st.one_of(
        st.tuples(st.sampled_from((".pth", ".pt")), mutated(torch_files) | evil),
        st.tuples(st.just(".safetensors"), mutated(safe)),
        st.tuples(st.just(".safetensors"), mutated(torch_files)),
    )


@functools.cache
def _weights() -> tuple[list[bytes], list[bytes]]:
    import torch
    from safetensors.numpy import save

    names = ("inc.double_conv.0.weight", "outc.conv.weight", "down1.x", "up1.up.weight")
    odd = {name: np.ones((2, 3, 3, 3), np.float32) for name in names}
    state = _state_dict()
    as_torch = {name: torch.from_numpy(array) for name, array in state.items()}
    found = []
    nested = {"a": {"b": torch.zeros(2)}}
    for content in (as_torch, as_torch, [1, 2], nested, {"epoch": 3} | as_torch):
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
            found.append(buffer.getvalue())
    return found, [save(state), save(odd), save({"outc.conv.weight": np.ones(1, np.float16)})]


def _state_dict() -> dict[str, np.ndarray]:
    """What PyTorch would save of a network that is as small as can be."""
    net = UNet(width=2, depth=1)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        _, block, *rest = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if block == "outc":
            name, shape = "outc.conv", leaf.shape[::-1] + (1, 1) * (len(leaf.shape) == 2)
        else:
            name = BLOCKS[block] + LAYERS[rest[0]]
            shape = leaf.shape if len(leaf.shape) == 1 else [leaf.shape[k] for k in (3, 2, 0, 1)]
        found[f"{name}.{LEAVES.get(rest[-1], rest[-1])}"] = np.ones(shape, np.float32)
    return found


@functools.cache
def _evil_weights() -> list[bytes]:
    import torch

    found = []
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save({"a": Evil()}, buffer, _use_new_zipfile_serialization=zipped)
        found.append(buffer.getvalue())
    return found


def imported_weights(case: Case, folder: Path) -> None:
    """A state dict of the paper's network, read and placed."""
    import_state_dict(read_state_dict(written(folder, case)))
