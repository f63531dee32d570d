"""Shift and features of networks that are no UNet: DTU-Net, a user's own, one without layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.nets.dtunet import DTUNet
from jaxseg.nets.registry import Network
from jaxseg.studies import features, shift
from jaxseg.studies.cell_frames import Frames
from jaxseg.studies.features.measures import probe_layers, random_variables
from jaxseg.studies.models import network_model
from jaxseg.studies.shift.border import (
    Variant,
    full_reach,
    other_padding,
    roll_frames,
    theoretical_reach,
)

SIZE = 16


class OneConvolution:
    """Neither a Flax module nor a padding switch: one 3 × 3 convolution with zeros around."""

    def init(self, key, images):
        return {"params": {"kernel": jax.random.normal(key, (3, 3, images.shape[-1], 1))}}

    def apply(self, variables, images, train):
        del train
        return jax.lax.conv_general_dilated(
            images, variables["params"]["kernel"], (1, 1), "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip


class Residual(nn.Module):
    """A user's own Flax module, with names and an up-sampling of its own and batch moments."""

    classes: int = 1

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Conv(4, (3, 3), name="stem")(x)
        low = nn.avg_pool(x, (2, 2), (2, 2))
        low = nn.relu(nn.BatchNorm(not train, momentum=0.99, name="norm")(low))
        y = jnp.repeat(jnp.repeat(nn.Conv(4, (3, 3), name="block")(low), 2, 1), 2, 2)
        return nn.Dense(self.classes, name="head")(x + y)


def frames_at(side, n=8):
    y, x = np.mgrid[:side, :side] / side
    for k in range(n):
        rng = np.random.default_rng(k)
        truth = ((y - 0.5) ** 2 + (x - 0.5) ** 2 < 0.2**2).astype(np.uint8)
        image = truth[..., None] * 90 + rng.integers(0, 60, (side, side, 3))
        yield f"scene{k}", image.astype(np.uint8), truth


def frames():
    ids, images, masks = zip(*frames_at(SIZE))
    return Frames(ids, np.stack(images), np.stack(masks), "eight scenes")


def variables_of(net):
    return net.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))


def shift_of(net):
    return shift.measure(network_model("mine", net, variables_of(net), SIZE), frames_at)


def cell(net):
    return features.Cell("mine", net, variables_of(net), SIZE, frames)


def plain():
    return Network("mymodel:OneConvolution", OneConvolution, (), 1)


@pytest.mark.parametrize("net", [plain(), Network.of(Residual())], ids=["plain", "flax"])
def test_without_a_padding_switch_the_network_itself_is_rolled_and_nothing_else(net):
    found = shift_of(net)
    assert [(r.padding, r.upsampling, r.own) for r in found.rolled] == [("", "", True)]
    section = shift.shift_section(found)
    text = " ".join(section.verdict)
    assert "(relative L2)." in text and "By its architecture" not in text
    assert "Measured, 1 % of the logits' standard deviation is passed up to" in text
    assert "neither a padding nor an up-sampling that can be exchanged" in " ".join(section.notes)
    assert "shift_contributions" not in [figure.name for figure in section.figures]


def test_the_measured_reach_of_one_convolution_is_one_pixel():
    reach = shift_of(plain()).reach
    assert reach.theoretical is None and reach.padding is None
    assert full_reach(reach.surroundings) == 1


def test_a_network_without_named_layers_is_refused_by_name():
    with pytest.raises(
        UsageError, match=r"^net.name='mymodel:OneConvolution': has no named layers"
    ):
        features.section([cell(plain())])


def test_layers_of_a_users_own_module_are_probed_by_their_names():
    section = features.section([cell(Network.of(Residual()))], seeds=1)
    probes = next(table for table in section.tables if table.name == "feature_probes")
    rows = [dict(zip(probes.columns, row)) for row in probes.rows]
    assert {"stem", "norm", "block"} <= {row["layer"] for row in rows}
    assert {row["padding"] for row in rows} == {""} and {row["weights"] for row in rows} == {
        "trained", "random",
    }  # fmt: skip
    assert "no padding switch" in " ".join(section.notes)
    assert section.verdict[0].startswith("mine: of all layers ")


def test_random_weights_have_the_moments_of_their_images_whatever_the_momentum():
    net, images = Network.of(Residual()), frames().images
    moments = random_variables(net, 0, images)["batch_stats"]["norm"]
    assert not np.allclose(moments["mean"], 0) and not np.allclose(moments["var"], 1, atol=0.05)


def test_dtunet_is_audited_through_both_of_its_networks():
    net = Network.of(DTUNet(width=2, depth=1, padding="circular", upsampling="nearest"))
    assert theoretical_reach(net) == 8 + 46, "one pooling reaches 8 px, three reach 46"
    variables = random_variables(net, 0, frames().images)
    zeros = other_padding(net, SIZE)
    models = [network_model("dtu", each, variables, SIZE) for each in (net, zeros)]
    images = [image for _, image, _ in frames_at(SIZE, 2)]
    own, other = roll_frames([Variant("", "", True, model) for model in models], images)
    assert own.aligned.max() < 1e-5 < other.aligned.min()
    scores = probe_layers(net, variables, frames().images[:4], frames().images[4:])
    assert {"texture.inc", "texture.up1", "topology.down3", "topology.up3"} <= set(scores)
