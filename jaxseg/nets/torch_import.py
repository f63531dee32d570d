"""Weights of the paper's PyTorch UNet for `UNet`.

The state dict's names (milesial's UNet, as in the paper's repository) and ours; i counts levels:

==================================  ================================  ==========================
PyTorch                             here                              shape here
==================================  ================================  ==========================
inc.double_conv.0.weight            params/inc/conv1/kernel           [3, 3, in, out]
inc.double_conv.0.bias              params/inc/conv1/bias             [out]
inc.double_conv.1.weight, .bias     params/inc/norm1/scale, bias      [out]
inc.double_conv.1.running_mean      batch_stats/inc/norm1/mean        [out]
inc.double_conv.1.running_var       batch_stats/inc/norm1/var         [out]
inc.double_conv.3.*, .4.*           …/inc/conv2/…, …/inc/norm2/…
down{i}.maxpool_conv.1.double_conv  …/down{i}/…                       as inc
up{i}.conv.double_conv              …/up{i}/…                         as inc
up{i}.up.weight, .bias              params/upsample{i}/kernel, bias   [2, 2, in, out], [out]
outc.conv.weight, .bias             params/outc/kernel, bias          [in, classes], [classes]
==================================  ================================  ==========================

`up{i}.up` exists with transposed up-sampling only; `num_batches_tracked` is not read.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxseg.errors import JaxsegError, one_line
from jaxseg.nets.unet import UNet

_BLOCKS = {
    r"inc\.double_conv\.": "inc",
    r"down(\d+)\.maxpool_conv\.1\.double_conv\.": r"down\1",
    r"up(\d+)\.conv\.double_conv\.": r"up\1",
}
_LAYERS = {"0": "conv1", "1": "norm1", "3": "conv2", "4": "norm2"}
_CONV = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
_FIRST, _LAST = "inc.double_conv.0.weight", "outc.conv.weight"
MAX_DEPTH = 12  # a frame of 4096 pixels becomes one
Leaf = tuple[str, ...]


def our_name(name: str) -> Leaf | None:
    """Where a tensor of the state dict belongs, or None when the network does not know it."""
    for pattern, block in _BLOCKS.items():
        if match := re.fullmatch(pattern + r"(\d)\.(\w+)", name):
            layer = _LAYERS.get(match[match.lastindex - 1]) if match.lastindex else None
            table = _CONV if layer and layer.startswith("conv") else _NORM
            if layer is None or match[match.lastindex or 0] not in table:
                return None
            collection, leaf = table[match[match.lastindex or 0]]
            return collection, match.expand(block) if "\\" in block else block, layer, leaf
    if match := re.fullmatch(r"up(\d+)\.up\.(weight|bias)", name):
        return "params", f"upsample{match[1]}", _CONV[match[2]][1]
    if match := re.fullmatch(r"outc\.conv\.(weight|bias)", name):
        return "params", "outc", _CONV[match[1]][1]
    return None


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Tensors of a `.pth`/`.pt` (read with `weights_only=True`) or `.safetensors` file.

    Raises JaxsegError for a missing or damaged file, another ending, or a reader not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise JaxsegError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        if path.suffix in (".pth", ".pt"):
            import torch

            loaded = torch.load(path, map_location="cpu", weights_only=True)
            _check_state_dict(path, loaded)
            return {name: tensor.numpy() for name, tensor in loaded.items()}
    except ImportError as error:
        raise JaxsegError(
            f"{path}: requires {error.name} to be read; install it with pip install 'jaxseg[bench]'"
        ) from error
    except JaxsegError:
        raise
    except Exception as error:  # the readers raise their own exception types for damaged files
        raise JaxsegError(f"{path}: cannot be read ({one_line(error)})") from error
    raise JaxsegError(f"{path}: must end in .pth, .pt or .safetensors")


def _check_state_dict(path: Path, loaded: Any) -> None:
    """Raises JaxsegError unless it maps names to tensors that the file has the bytes for.

    A tensor may declare a shape that repeats few bytes without end.
    """
    tensors: Iterable[Any] = loaded.items() if isinstance(loaded, Mapping) else [("", None)]
    for name, tensor in tensors:
        if not isinstance(name, str) or not hasattr(tensor, "numpy"):
            raise JaxsegError(
                f"{path}: holds {type(loaded).__name__} with {type(tensor).__name__}; must be a "
                "state dict, as torch.save(net.state_dict(), path) writes it"
            )
        if tensor.numel() * tensor.element_size() > path.stat().st_size:
            raise JaxsegError(
                f"{path}: tensor {name!r} of shape {tuple(tensor.shape)} is larger than the file"
            )


def import_state_dict(state: Mapping[str, np.ndarray]) -> tuple[UNet, dict[str, Any]]:
    """The network a state dict belongs to and its variables, with the same logits to 1e-4.

    Args:
        state: arrays by PyTorch name, from `read_state_dict`.

    Returns:
        (net, variables): width, depth, classes and up-sampling are read off the shapes; padding is
        `zeros`, as in PyTorch (use `net.clone(padding=...)` for another).

    Raises:
        JaxsegError: a tensor that has no place, or one that is missing.
    """
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        place = our_name(name)
        if place is None:
            raise JaxsegError(f"state dict: tensor {name!r} is not part of the paper's UNet")
        node = variables
        for part in place[:-1]:
            node = node.setdefault(part, {})
        node[place[-1]] = _our_layout(name, np.asarray(tensor))
    net = _network(state)
    _check_complete(net, state, variables)
    return net, variables


def _our_layout(name: str, tensor: np.ndarray) -> np.ndarray:
    if tensor.ndim != 4:
        return tensor
    if name.startswith("outc"):
        return tensor[:, :, 0, 0].T if 0 not in tensor.shape else tensor
    order = (2, 3, 0, 1) if ".up." in name else (2, 3, 1, 0)  # a transposed kernel is [in, out, …]
    return np.ascontiguousarray(tensor.transpose(order))


def _network(state: Mapping[str, np.ndarray]) -> UNet:
    for name in (_FIRST, _LAST):
        if name not in state:
            raise JaxsegError(f"state dict: tensor {name!r} is missing")
        if state[name].ndim != 4 or 0 in state[name].shape:
            raise JaxsegError(
                f"state dict: {name} has shape {state[name].shape}, must be "
                "[out, in, height, width]"
            )
    depth = len({name.partition(".")[0] for name in state if name.startswith("down")})
    if not 1 <= depth <= MAX_DEPTH:
        raise JaxsegError(f"state dict: has {depth} levels down, must have 1 to {MAX_DEPTH}")
    upsampling = "transposed" if "up1.up.weight" in state else "align_corners"
    width, classes = state[_FIRST].shape[0], state[_LAST].shape[0]
    return UNet(classes=classes, width=width, depth=depth, upsampling=upsampling)


def _check_complete(net: UNet, state: Mapping[str, np.ndarray], variables: dict) -> None:
    import jax
    import jax.numpy as jnp

    channels = state[_FIRST].shape[1]
    side = 2**net.depth
    image = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    expected = jax.eval_shape(net.init, jax.random.key(0), image)
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in flat}
        for flat in (jax.tree_util.tree_leaves_with_path(tree) for tree in (expected, variables))
    ]
    for name in shapes[0].keys() | shapes[1].keys():
        if shapes[0].get(name) != shapes[1].get(name):
            raise JaxsegError(
                f"state dict: {name} has shape {shapes[1].get(name)}, must be {shapes[0].get(name)}"
            )
