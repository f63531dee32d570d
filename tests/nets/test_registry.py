"""Networks by name: jaxseg's own and those of users, in every form, behind one `Network`."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.nets.padding import padding_code
from jaxseg.nets.registry import Network, check_net_axes, make_net
from jaxseg.nets.unet import UNet

SETTINGS = {
    "padding": "zeros", "upsampling": "align_corners", "width": 4, "depth": 2, "norm": "batch",
    "dtype": "float32",
}  # fmt: skip
SIZE = 16
OTHERS = '''
import types
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

class Block(nnx.Module):
    def __init__(self, inside, outside, *, rngs):
        self.conv = nnx.Conv(inside, outside, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(outside, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.drop(nnx.relu(self.norm(self.conv(x))))

class InNnx(nnx.Module):
    """Switched by train() and eval(); its blocks lie in a list."""

    def __init__(self, classes, width, layers=2, *, rngs):
        sizes = [3] + [width] * layers
        self.blocks = nnx.List(Block(a, b, rngs=rngs) for a, b in zip(sizes, sizes[1:]))
        self.out = nnx.Conv(width, classes, (1, 1), rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.out(x)

class PerPixel:
    """No framework at all."""

    def __init__(self, classes, scale=1.0):
        self.classes, self.scale = classes, scale

    def init(self, key, images):
        return {"params": {"w": self.scale * jax.random.normal(key, (3, self.classes))},
                "seen": {"steps": jnp.int32(0)}}

    def apply(self, variables, images, train):
        logits = images @ variables["params"]["w"]
        if not train:
            return logits
        return logits, {"seen": {"steps": variables["seen"]["steps"] + 1}}

one_class = PerPixel(1)

class Wrong(PerPixel):
    def __init__(self, classes, fault=""):
        super().__init__(classes)
        self.fault = fault

    def init(self, key, images):
        variables = super().init(key, images)
        return {
            "list": [variables["params"]],
            "no params": {"weights": variables["params"]},
            "integers": variables | {"params": {"w": jnp.ones((3, self.classes), int)}},
            "none": variables | {"params": {}},
            "key": variables | {"noise": key},
        }.get(self.fault, variables)

    def apply(self, variables, images, train):
        if self.fault == "raises":
            raise RuntimeError("no such\\nlayer")
        logits = images @ variables["params"]["w"]
        made = {
            "masks": logits > 0, "background": jnp.concatenate([0 * logits, logits], -1),
            "small": logits[:, ::2, ::2], "dict": {"logits": logits},
            "grows": (logits, {"seen": {"steps": jnp.zeros(2)}}) if train else logits,
        }
        if self.fault == "branches" and logits.sum() > 0:
            return -logits
        return made.get(self.fault, logits)

class NoApply:
    def init(self, key, images): ...

class Strict(PerPixel):
    def __init__(self, classes, wanted): ...

def angry(classes): raise RuntimeError("no weights\\nin the file")
constant = 3
'''


@pytest.fixture
def others(tmp_path, monkeypatch):
    name = f"nets_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OTHERS)
    (tmp_path / f"{name}_broken.py").write_text("import a_module_that_is_nowhere")
    (tmp_path / f"{name}_wrong.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    return name


def _net(name, options=None, classes=2, **settings):
    net = make_net(name, options, classes=classes, **SETTINGS | settings)
    net.check(SIZE)
    return net


def _images(n=2):
    return jax.random.normal(jax.random.key(1), (n, SIZE, SIZE, 3))


def _trained(net, variables, key=7):
    return jax.jit(lambda v, x, k: net.apply(v, x, train=True, key=k))(
        variables, _images(), jax.random.key(key)
    )


@pytest.mark.parametrize("name", ["unet", "dtunet", "own", "InNnx", "PerPixel"])
def test_every_form_meets_the_one_protocol(own_network, others, name):
    own = own_network if name == "own" else f"{others}.py:{name}"
    net = _net(name if name.endswith("unet") else own)
    variables = jax.jit(net.init)(jax.random.key(0), _images())
    assert jax.tree.structure(variables) == jax.tree.structure(net.shapes(SIZE))
    logits = net.logits(variables, _images())
    assert logits.shape == (2, SIZE, SIZE, 2) and logits.dtype == jnp.float32
    in_training, updates = _trained(net, variables)
    assert in_training.shape == logits.shape
    assert updates.keys() == variables.keys() - {"params"}
    for collection, value in updates.items():
        assert jax.tree.structure(value) == jax.tree.structure(variables[collection])
    moved = variables | updates
    assert all((a != b).any() for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(
        {name: variables[name] for name in updates})) if a.ndim == 0)  # fmt: skip
    assert net.apply(moved, _images())[1] == {}


@pytest.mark.parametrize("name", ["unet", "own", "InNnx"])
def test_the_same_settings_make_equal_networks_that_share_programs(own_network, others, name):
    own = own_network if name == "own" else f"{others}.py:{name}"
    one, other = (_net(name if name == "unet" else own) for _ in range(2))
    assert one == other and hash(one) == hash(other)
    assert one != _net(name if name == "unet" else own, width=6)


def test_a_network_is_the_module_it_is_made_of():
    module = UNet(classes=2, width=4, depth=2, padding="reflect")
    net = _net("unet", padding="reflect")
    variables = jax.jit(module.init)(jax.random.key(0), _images())
    ours = jax.jit(net.init)(jax.random.key(0), _images())
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), variables, ours))
    for network in (net, Network.of(module)):
        np.testing.assert_array_equal(
            jax.jit(network.logits)(variables, _images()),
            jax.jit(module.apply)(variables, _images()),
        )
    assert Network.of(module).padding == net.padding == "reflect"


def test_a_module_on_the_path_and_its_file_are_found(own_network):
    by_file = _net(own_network, {"levels": 1})
    by_name = _net("my_net:ResidualUNet", {"levels": 1})
    assert jax.tree.all(
        jax.tree.map(lambda a, b: a.shape == b.shape, by_file.shapes(SIZE), by_name.shapes(SIZE))
    )
    sys.modules.pop("my_net")


def test_readmes_network_takes_padding_width_and_its_option(own_network):
    net = _net(own_network, {"levels": 3}, padding="reflect")
    assert (net.padding, net.upsampling, net.takes("depth")) == ("reflect", None, False)
    assert net.factor == 8 and _net(own_network).factor == 4
    variables = jax.jit(net.init)(jax.random.key(0), _images())
    zeros = net.with_padding("zeros").logits(variables, _images())
    here = net.logits(variables, _images())
    assert np.ptp(np.abs(zeros - here)[:, 0]) > 0
    assert net.coded() == (net, None)
    assert variables["params"]["down0"]["Conv_0"]["kernel"].shape == (3, 3, 3, 4)
    sys.modules.pop(f"{next(iter(sys.path))}/my_net.py", None)


def test_nnx_is_normalised_by_the_batch_in_training_and_by_moments_otherwise(others):
    net = _net(f"{others}:InNnx")
    variables = jax.jit(net.init)(jax.random.key(0), _images())
    first, _ = _trained(net, variables)
    again, other = (_trained(net, variables, key)[0] for key in (7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()  # dropout
    settled = jax.jit(net.with_batch_moments)(variables, _images())
    before, after = (net.logits(v, _images()) for v in (variables, settled))
    assert (before != after).any()
    assert list(variables["params"]["blocks"]) == ["0", "1"]


@pytest.mark.parametrize("name", ["own", "InNnx", "unet"])
def test_moments_of_a_batch_are_found_whatever_the_momentum(own_network, others, name):
    own = own_network if name == "own" else f"{others}:{name}"
    net = _net("unet" if name == "unet" else own)
    start = jax.jit(net.init)(jax.random.key(0), _images())
    found = jax.jit(net.with_batch_moments)(start, _images())
    again = _trained(net, found, key=0)[1]["batch_stats"]  # moments that stay what they are
    for a, b in zip(jax.tree.leaves(found["batch_stats"]), jax.tree.leaves(again)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["unet", "dtunet", "own", "InNnx"])
def test_layers_are_captured_by_name_and_a_hook_may_change_them(own_network, others, name):
    own = own_network if name == "own" else f"{others}:{name}"
    net = _net(name if name.endswith("unet") else own)
    variables = jax.jit(net.init)(jax.random.key(0), _images())
    layers = net.layers(SIZE)
    found = net.capture(variables, _images(), layers)
    for layer, value in found.items():
        assert value.shape == (2, *layers[layer].shape)
        assert layers[layer].stride == tuple(SIZE // n for n in layers[layer].shape[:2])
    expected = {
        "unet": ["inc", "down1", "down2", "up1", "up2"],
        "own": ["down0", "down1", "up1", "up2"],
        "InNnx": ["out"],
    }
    assert net.blocks(SIZE)[:5] == expected.get(name, net.blocks(SIZE)[:5])
    layer = net.encoder_layer(SIZE)
    assert layer == {"unet": "down2", "dtunet": "texture.down2", "own": "down1",
                     "InNnx": "out"}[name]  # fmt: skip
    wiped = net.logits(
        variables, _images(), hook=lambda name, out: 0 * out if name == layer else out
    )
    assert (wiped != net.logits(variables, _images())).any()


def test_dtunet_has_maps_and_a_padding_code():
    net = _net("dtunet", upsampling="nearest")
    assert net.has_maps and not _net("unet").has_maps
    assert net.factor == 8 and net.poolings == (2, 3)
    variables = jax.jit(net.init)(jax.random.key(0), _images())
    shared, code = net.with_padding("circular").coded()
    assert shared == net and code == padding_code("circular")
    np.testing.assert_allclose(
        shared.logits(variables, _images(), padding_code=code),
        net.with_padding("circular").logits(variables, _images()),
        atol=2e-5,
    )
    maps, _ = net.apply(variables, _images(), method="maps")
    np.testing.assert_array_equal(maps.fused, net.logits(variables, _images()))


def test_devices_split_a_batch_of_networks_without_moments_or_with_the_axis(own_network, others):
    assert _net("unet").splits_batch(SIZE)
    assert not _net(own_network).splits_batch(SIZE)
    assert not _net(f"{others}:InNnx").splits_batch(SIZE)


def test_an_object_is_used_as_it_is(others):
    net = _net(f"{others}:one_class", classes=1)
    variables = jax.jit(net.init)(jax.random.key(0), _images())
    assert net.factor == 1 and net.padding is None
    for ask in (lambda: net.layers(SIZE), lambda: net.capture(variables, _images(), ["w"])):
        with pytest.raises(UsageError, match="one_class': has no named layers; only Flax"):
            ask()
    with pytest.raises(UsageError, match=r"net.padding='reflect': .*:one_class takes no `padding`"):
        net.with_padding("reflect")


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("untie", {}, "net.name='untie': must be one of unet, dtunet, .*did you mean 'unet'"),
        ("nowhere:Net", {}, "net.name='nowhere:Net': no module 'nowhere' in .*PYTHONPATH"),
        ("nowhere.py:Net", {}, "net.name='nowhere.py:Net': no file /.*nowhere.py"),
        ("{}:3", {}, "must look like unet, dtunet, module:Class or file.py:Class"),
        ("{}_broken:Net", {}, "cannot be imported: ModuleNotFoundError: No module named 'a_mod"),
        ("{}_broken.py:Net", {}, "cannot be imported: ModuleNotFoundError: No module named 'a_mod"),
        ("{}_wrong:Net", {}, "cannot be imported: ZeroDivisionError: division by zero"),
        ("{}:InNxn", {}, "name in nets_of.*'InNxn': must be one of .*did you mean 'InNnx'"),
        ("{}:constant", {}, "net.name='.*': is int, must be a class or have `init` and `apply`"),
        ("{}:NoApply", {}, "a NoApply has no `apply`; a network is a Flax module"),
        ("{}:Strict", {}, "cannot be made: TypeError: .*missing 1 required .*'wanted'"),
        ("{}:angry", {}, "cannot be made: RuntimeError: no weights in the file"),
        ("{}:PerPixel", {"scal": 2}, "net.options.scal: .*:PerPixel takes scale; .*mean 'scale'"),
        ("{}:one_class", {"scale": 2}, "net.options.scale: .*:one_class takes no options"),
        ("{}:InNnx", {"width": 8}, "net.options.width: is not an option; set net.width"),
        ("{}:InNnx", {"rngs": 8}, "net.options.rngs: .*:InNnx takes layers"),
        ("unet", {"levels": 3}, "net.options.levels: unet takes no options"),
        ("{}:Wrong", {"fault": "list"}, "init returned list, must be a dict with 'params'"),
        ("{}:Wrong", {"fault": "no params"}, "init returned dict, must be a dict with 'params'"),
        ("{}:Wrong", {"fault": "integers"}, "params/w is int32, must be floating"),
        ("{}:Wrong", {"fault": "none"}, "has no parameters"),
        ("{}:Wrong", {"fault": "key"}, "noise is key<fry>, must be of numbers"),
        (
            "{}:Wrong",
            {"fault": "raises"},
            r"apply\(train=False\) raised .*\[2, 16, 16, 3\]: RuntimeError: no such",
        ),
        ("{}:Wrong", {"fault": "branches"}, "raised for float32 .*TracerBoolConversionError"),
        ("{}:Wrong", {"fault": "masks"}, r"returned bool \[2, 16, 16, 2\] for .*must be floating"),
        ("{}:Wrong", {"fault": "background"}, r"float32 \[2, 16, 16, 4\] for .*\[2, 16, 16, 2\]"),
        ("{}:Wrong", {"fault": "small"}, r"float32 \[2, 8, 8, 2\] for images \[2, 16, 16, 3\]"),
        ("{}:Wrong", {"fault": "dict"}, "apply returned dict, must be floating"),
        ("{}:Wrong", {"fault": "grows"}, "changes the shapes or types of collection 'seen'"),
    ],
)
def test_what_is_wrong_with_a_network_is_one_line(others, name, options, said):
    with pytest.raises(JaxsegError, match=said) as error:
        _net(name.format(others), options)
    assert "\n" not in str(error.value)


def test_settings_that_would_change_nothing_are_refused(own_network):
    for setting, value in (("upsampling", "nearest"), ("norm", "group"), ("dtype", "bfloat16")):
        with pytest.raises(UsageError, match=f"net.{setting}='{value}': .* takes no `{setting}`"):
            _net(own_network, **{setting: value})
    net = _net(own_network)
    check_net_axes(net, ["net.padding", "net.width", "net.name", "net.options.levels", "data.crop"])
    with pytest.raises(UsageError, match=r"grid axis net.depth: .* takes no `depth`"):
        check_net_axes(net, ["seed", "net.depth"])
