import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.padding import padding_code
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.annotations.gradcam import has_layers, pixels_of_interest, seg_grad_cam

SIZE = 16
SPOTS = {0: (slice(2, 4), slice(3, 6)), 1: (slice(9, 11), slice(2, 4)), 2: (slice(8, 10), 12)}


def _setup(images=2, **options):
    net = UNet(**{"width": 4, "depth": 1, "classes": 2, **options})
    x = jax.random.normal(jax.random.key(1), (images, SIZE, SIZE, 3))
    return net, jax.jit(net.init)(jax.random.key(0), x), x


def _cam(net, **options):
    """A jitted `seg_grad_cam` of (variables, images)."""
    known = Network.of(net)
    return jax.jit(lambda variables, images: seg_grad_cam(known, variables, images, **options))


def _wired(net, taps):
    """Variables of a network without norm: all weights 0 but `taps`, {(block, conv): [(from, to)]},
    which pass a channel on where it is; the head's class k reads channel k."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))
    params = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes["params"])
    for (block, conv), wires in taps.items():
        for source, target in wires:
            params[block][conv]["kernel"][1, 1, source, target] = 1
    for k in range(net.classes):
        params["outc"]["kernel"][k, k] = 1
    return {"params": params}


def _three_spots():
    """One frame, 0 but for a spot of another brightness in every channel."""
    x = np.zeros((1, SIZE, SIZE, 3), np.float32)
    for channel, spot in SPOTS.items():
        x[(0, *spot, channel)] = 0.2 + 0.3 * channel
    x[0, 9, 2, 1] = 0.8
    return x


COPY = [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("padding", ["zeros", "reflect", "valid"])
def test_a_network_that_reads_one_channel_lights_only_that_channels_pixels(padding):
    net = UNet(classes=2, width=4, depth=1, padding=padding, upsampling="nearest", norm="none")
    taps = {("inc", "conv1"): COPY, ("inc", "conv2"): COPY}
    # Class 1 reads green and class 2 blue; red reaches the skip connection and nothing reads it.
    taps |= {("up1", "conv1"): [(1, 0), (2, 1)], ("up1", "conv2"): [(0, 0), (1, 1)]}
    x = _three_spots()
    maps = np.asarray(_cam(net, layer="inc", pixels="all")(_wired(net, taps), x))
    for k, channel in enumerate((1, 2)):
        np.testing.assert_array_equal(maps[0, k] > 0, x[0, ..., channel] > 0)
        np.testing.assert_allclose(maps[0, k], x[0, ..., channel] / x[..., channel].max(), 1e-6)


def test_the_encoders_last_layer_lights_the_one_channel_to_its_resolution():
    net = UNet(classes=1, width=4, depth=1, upsampling="nearest", norm="none")
    same = {(block, conv): COPY for block in ("inc", "down1") for conv in ("conv1", "conv2")}
    up = {("up1", "conv1"): [(4 + 1, 0)], ("up1", "conv2"): [(0, 0)]}  # 4 channels of the skip
    x = _three_spots()
    lit = np.asarray(_cam(net)(_wired(net, same | up), x))[0, 0] > 0
    rows, columns = np.nonzero(lit)
    assert (lit | ~(x[0, ..., 1] > 0)).all()
    # Pooling widens the spot at rows 9 … 10, columns 2 … 3 to whole blocks, bilinear by one pixel.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 12, 1, 4)


@pytest.mark.parametrize(
    ("padding", "upsampling"), [("circular", "align_corners"), ("valid", "half_pixel")]
)
def test_before_a_linear_head_the_map_is_the_logit_without_its_bias(padding, upsampling):
    net, variables, x = _setup(padding=padding, upsampling=upsampling)
    maps = _cam(net, layer="up1", pixels="all")(variables, x)
    bias = np.asarray(variables["params"]["outc"]["bias"])
    logits = np.asarray(jax.jit(net.apply)(variables, x)) - bias
    np.testing.assert_allclose(maps, _positive_part(logits), atol=1e-5)


def _positive_part(logits):
    """[B, H, W, K] -> [B, K, H, W], each map scaled to a maximum of 1; some are not 0."""
    maps = np.maximum(np.moveaxis(np.asarray(logits), -1, 1), 0)
    top = maps.max((2, 3), keepdims=True)
    assert (top > 0).any()
    return maps / np.where(top > 0, top, 1)


def test_channel_weights_are_the_gradients_of_the_summed_logits():
    net, variables, x = _setup(images=1, depth=2, norm="none")
    for block in (
        "down2",
        "up1",
        "up2",
    ):  # every ReLU behind the layer is on: differences are exact
        for conv in variables["params"][block].values():
            conv["bias"] += 4
    mask = jnp.zeros((1, SIZE, SIZE, 1), bool).at[0, 3:9, 4:12].set(True)

    @jax.jit
    def pushed(shift):
        """(summed logits of each class, the layer's output) when its channels are shifted."""
        seen = []

        def tap(call, args, kwargs, context):
            out = call(*args, **kwargs)
            if (*context.module.path, context.method_name) != ("down1", "__call__"):
                return out
            seen.append(out)
            return out + shift[None, None, None]

        with nn.intercept_methods(tap):
            logits = net.apply(variables, x)
        return jnp.where(mask, logits, 0).sum((0, 1, 2)), seen[0][0]

    step = 0.1 * np.eye(8, dtype=np.float32)
    change = np.stack([pushed(s)[0] - pushed(-s)[0] for s in step], axis=1)  # [classes, channels]
    activation = np.asarray(pushed(step[0])[1])
    coarse = np.maximum(np.einsum("kc,hwc->khw", change, activation), 0)
    expected = np.asarray(jax.image.resize(coarse, (2, SIZE, SIZE), "bilinear"))
    maps = _cam(net, layer="down1", pixels=mask)(variables, x)[0]
    top = expected.max((1, 2), keepdims=True)
    assert (top > 0).all()
    np.testing.assert_allclose(maps, expected / top, atol=0.01)


def test_pixels_of_interest_are_those_predicted_unless_given():
    net, variables, x = _setup()
    logits = jnp.asarray([[[[1.0, 2.0], [3.0, -1.0], [-1.0, -2.0]]]])
    expected = [[[[False, True], [True, False], [False, False]]]]
    np.testing.assert_array_equal(pixels_of_interest(logits), expected)
    predicted = pixels_of_interest(jax.jit(net.apply)(variables, x))
    by_mask = _cam(net, pixels=predicted)(variables, x)
    np.testing.assert_allclose(_cam(net)(variables, x), by_mask, atol=1e-6)
    nothing = _cam(net, pixels=jnp.zeros((2, SIZE, SIZE, 1), bool))(variables, x)
    assert not np.asarray(nothing).any()
    with pytest.raises(UsageError, match=r"pixels='predicte': .* did you mean 'predicted'"):
        jax.eval_shape(lambda v: seg_grad_cam(Network.of(net), v, x, pixels="predicte"), variables)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_images_and_classes_do_not_mix(norm):
    net, variables, x = _setup(images=3, norm=norm)
    cam = _cam(net, pixels="all")
    together, alone = cam(variables, x), cam(variables, x[1:2])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)
    one = net.clone(classes=1)
    head = jax.tree.map(lambda leaf: leaf[..., 1:], variables["params"]["outc"])
    single = variables | {"params": variables["params"] | {"outc": head}}
    np.testing.assert_allclose(together[:, 1:], _cam(one, pixels="all")(single, x), atol=1e-5)


def test_vmapped_over_cells_with_padding_as_data():
    net, first, x = _setup()
    cells = [first, jax.jit(net.init)(jax.random.key(5), x)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cells)
    modes = ("reflect", "circular")
    mapped = jax.jit(jax.vmap(lambda v, c: seg_grad_cam(Network.of(net), v, x, padding_code=c)))
    maps = mapped(stacked, jnp.asarray([padding_code(mode) for mode in modes]))
    for got, variables, mode in zip(maps, cells, modes):
        expected = _cam(net.clone(padding=mode))(variables, x)
        np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("padding", ["valid", "random"])
def test_layers_of_all_kinds_can_be_asked(padding):
    options = {"padding": padding, "upsampling": "half_pixel", "dtype": "bfloat16"}
    net, variables, x = _setup(images=1, depth=2, **options)
    names = list(Network.of(net).layers(SIZE))
    assert [name for name in names if "." not in name] == [
        "inc", "down1", "down2", "upsample1", "up1", "upsample2", "up2", "outc"
    ]  # fmt: skip
    for layer in ("inc.norm1", "down2", "upsample1", "up1"):
        asked = jax.eval_shape(
            lambda v, layer=layer: seg_grad_cam(Network.of(net), v, x, layer), variables
        )
        assert asked.shape == (1, 2, SIZE, SIZE) and asked.dtype == np.float32
    maps = _cam(net, layer="outc", pixels="all")(variables, x)
    logits = jax.jit(net.apply)(variables, x)
    np.testing.assert_allclose(maps, _positive_part(logits), atol=1e-6)


class _Nested(nn.Module):
    """A UNet over the softmax of another, which may be passed twice."""

    passes: int = 1

    @nn.compact
    def __call__(self, x):
        texture = UNet(classes=2, width=2, depth=1, name="texture")
        for _ in range(self.passes):
            coarse = texture(x)
        return UNet(classes=1, width=2, depth=2, name="topology")(nn.softmax(coarse))


def test_nested_networks_are_asked_by_dotted_names():
    net, x = _Nested(), jnp.ones((1, SIZE, SIZE, 3))
    assert Network.of(net).encoder_layer(SIZE) == "texture.down1"
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    asked = jax.eval_shape(
        lambda v: seg_grad_cam(Network.of(net), v, x, "topology.down2"), variables
    )
    assert asked.shape == (1, 1, SIZE, SIZE)
    with pytest.raises(UsageError, match="passes it 2 times"):
        jax.eval_shape(
            lambda v: seg_grad_cam(Network.of(_Nested(passes=2)), v, x, "texture.down1"), variables
        )


def test_layers_that_are_not_there_are_refused_by_name():
    net, variables, x = _setup()
    with pytest.raises(UsageError, match=r"layer='down3': must be one of .*; did you mean 'down"):
        seg_grad_cam(Network.of(net), variables, x, "down3")


class _NoLayers:
    """A network that is no Flax module."""

    def init(self, key, images):
        return {"params": {"bias": jnp.zeros(1)}}

    def apply(self, variables, images, train):
        return images[..., :1] + variables["params"]["bias"]


def test_networks_without_named_layers_are_left_alone():
    assert has_layers(Network.of(UNet(width=4, depth=1)), SIZE)
    net = Network("plain", _NoLayers(), (), 1)
    assert not has_layers(net, SIZE)
    with pytest.raises(UsageError, match="no named layers"):
        seg_grad_cam(net, net.init(jax.random.key(0), None), jnp.ones((1, SIZE, SIZE, 3)))
