"""DTU-Net: a UNet that segments by texture, corrected by one that has learned topology.

Lin, Zepf, Christensen, Bashir, Svendsen, Tolsgaard, Feragen, "DTU-Net: Learning Topological
Similarity for Curvilinear Structure Segmentation", IPMI 2023 (arXiv 2205.11115). The texture
network gives a coarse map, the topology network reads nothing but softmax(coarse) and gives a
foreground map s, and both are fused with equal weights: bg = (bg + 1 - s) / 2, fg = (fg + s) / 2.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.errors import UsageError
from jaxseg.nets.layers import DoubleConv, Upsample, max_pool
from jaxseg.nets.padding import Mode, check_padding
from jaxseg.nets.unet import (
    UNet,
    check_settings,
    crop_centre,
    mirrored,
    output_layer,
    with_background_logit,
)

TOPOLOGY_DEPTH = 3  # poolings: 64-128-256-512 channels at the default width


class Maps(NamedTuple):
    """The maps that DTU-Net predicts for an image batch, and what it is trained by.

    coarse: float32 [B, H, W, classes], logits of the texture network; the background's is 0.
    structure: float32 [B, H, W, 1], logit of the foreground map s of the topology network.
    fused: float32 [B, H, W, classes], logits of the fused map: log(fg) - log(bg).
    embedding: float32 [B, h, w, 8 * width], the topology network's deepest features.
    """

    coarse: jax.Array
    structure: jax.Array
    fused: jax.Array
    embedding: jax.Array


class DTUNet(nn.Module):
    """DTU-Net, with the settings, input and output of `UNet`.

    At its defaults 25,055,362 parameters with one logit, 7,787,969 of them the topology network's.

    Attributes:
        classes: foreground classes, one logit each; the background is where all are negative.
        width: channels of the first level of both networks.
        depth: poolings of the texture network; the topology network has three.
        padding: a mode of `PADDING_MODES`, for every 3×3 convolution of both networks.
        upsampling: `align_corners`, `half_pixel`, `nearest` or `transposed`.
        norm: `batch`, `group` or `none`.
        dtype: `float32` or `bfloat16`, as for `UNet`.
        batch_axis: mapped axis over which batch moments are averaged, if any.
    """

    classes: int = 1
    width: int = 64
    depth: int = 4
    padding: str = "zeros"
    upsampling: str = "align_corners"
    norm: str = "batch"
    dtype: str = "float32"
    batch_axis: str | None = None

    def setup(self) -> None:
        """Declares the parts (Flax calls it)."""
        shared = {
            name: getattr(self, name)
            for name in ("width", "padding", "upsampling", "norm", "dtype", "batch_axis")
        }
        self.texture = UNet(classes=self.classes, depth=self.depth, **shared)
        self.topology = TopologyUNet(**shared)

    @property
    def poolings(self) -> tuple[int, ...]:
        """How often the frame is halved, in each network."""
        return self.depth, TOPOLOGY_DEPTH

    @nn.nowrap
    def check_frame(self, height: int, width: int) -> None:
        """Raises UsageError for a setting out of its range or a frame one network cannot serve."""
        check_settings(self, height, width)
        factor = 2**TOPOLOGY_DEPTH
        for size in (height, width):
            if size % factor:
                nearest = max(1, round(size / factor)) * factor
                raise UsageError(
                    f"data.size={size}: must be a multiple of {factor} under net.name='dtunet', "
                    f"whose topology network has three poolings; use {nearest}"
                )
            where = f"level {TOPOLOGY_DEPTH} of a {size}-pixel frame"
            check_padding(self.padding, 1, size // factor, where)

    def __call__(
        self, x: jax.Array, *, train: bool = False, padding_code: jax.Array | None = None
    ) -> jax.Array:
        """Logits of the fused map, float32 [B, H, W, classes]; arguments as for `UNet`."""
        return self.maps(x, train=train, padding_code=padding_code).fused

    def maps(
        self, x: jax.Array, *, train: bool = False, padding_code: jax.Array | None = None
    ) -> Maps:
        """All maps of an image batch; arguments as for `UNet`.

        Raises UsageError for an unknown setting, or a size the settings cannot serve.
        """
        self.check_frame(x.shape[1], x.shape[2])
        coarse = self.texture(x, train=train, padding_code=padding_code)
        probabilities = jax.nn.softmax(with_background_logit(coarse))
        options = {"train": train, "padding_code": padding_code}
        structure, embedding = self.topology(probabilities, **options)
        return Maps(coarse, structure, fuse(coarse, structure), embedding)

    def embed(
        self,
        probabilities: jax.Array,
        *,
        train: bool = False,
        padding_code: jax.Array | None = None,
    ) -> jax.Array:
        """The topology network's deepest features of a map, such as the truth.

        Args:
            probabilities: float [B, H, W, 1 + classes], the background first, summing to 1.
            train: as for `UNet`.
            padding_code: as for `UNet`.

        Returns:
            float32 [B, h, w, 8 * width], comparable with `Maps.embedding`.
        """
        mode: Mode = self.padding if padding_code is None else padding_code
        return self.topology.encode(probabilities, mode, train)[-1].astype(jnp.float32)


def fuse(coarse: jax.Array, structure: jax.Array) -> jax.Array:
    """Logits of bg = (bg + 1 - s) / 2 and fg_k = (fg_k + s) / 2, the background's being 0.

    Args:
        coarse: float [..., classes], logits whose softmax with the background's 0 are bg and fg_k.
        structure: float [..., 1], logit of s.

    Returns:
        float [..., classes], log(fg_k) - log(bg). The sum of logarithms stays finite where a
        probability underflows. With several classes the fused map sums to more than 1; the softmax
        of these logits is the map divided by its sum.
    """
    log_p = jax.nn.log_softmax(with_background_logit(coarse))
    background = jnp.logaddexp(log_p[..., :1], jax.nn.log_sigmoid(-structure))
    return jnp.logaddexp(log_p[..., 1:], jax.nn.log_sigmoid(structure)) - background


class TopologyUNet(nn.Module):
    """A UNet of three poolings over class probabilities, one logit: 64-128-256-512 at width 64.

    Unlike `UNet` its deepest level is twice as wide as the one above under every up-sampling, as
    in the paper. Attributes as for `UNet`.
    """

    width: int = 64
    padding: str = "zeros"
    upsampling: str = "align_corners"
    norm: str = "batch"
    dtype: str = "float32"
    batch_axis: str | None = None

    def setup(self) -> None:
        """Declares the parts (Flax calls it)."""
        block = partial(DoubleConv, norm=self.norm, batch_axis=self.batch_axis)
        widths = [self.width * 2**level for level in range(TOPOLOGY_DEPTH + 1)]
        names = ["inc", *(f"down{level}" for level in range(1, TOPOLOGY_DEPTH + 1))]
        levels = range(1, TOPOLOGY_DEPTH + 1)
        self.encoder = [block(features, name=name) for features, name in zip(widths, names)]
        self.upsamplers = [Upsample(self.upsampling, name=f"upsample{n}") for n in levels]
        self.decoder = [block(widths[-1 - n], name=f"up{n}") for n in levels]
        self.head = output_layer(self.width, 1)

    def __call__(
        self, x: jax.Array, *, train: bool = False, padding_code: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """(logit, deepest features) of float [B, H, W, C]: float32 [B, H, W, 1], [B, h, w, 8 w]."""
        mode: Mode = self.padding if padding_code is None else padding_code
        levels = self.encode(x, mode, train)
        return self.decode(levels, mode, train, x.shape[1:3]), levels[-1].astype(jnp.float32)

    def encode(self, x: jax.Array, mode: Mode, train: bool) -> list[jax.Array]:
        """Features of every level, the deepest last."""
        x = mirrored(x, self.padding, TOPOLOGY_DEPTH, self.upsampling).astype(self.dtype)
        levels = [self.encoder[0](x, mode, train)]
        for block in self.encoder[1:]:
            levels.append(block(max_pool(levels[-1]), mode, train))
        return levels

    def decode(
        self, levels: list[jax.Array], mode: Mode, train: bool, size: tuple[int, ...]
    ) -> jax.Array:
        """The logit of a frame of `size` from the encoder's levels."""
        *skips, y = levels
        for upsample, block in zip(self.upsamplers, self.decoder):
            y = upsample(y, mode)
            y = jnp.concatenate([crop_centre(skips.pop(), y.shape[1:3]), y], axis=-1)
            y = block(y, mode, train)
        return crop_centre(self.head(y.astype(jnp.float32)), size)
