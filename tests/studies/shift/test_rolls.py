import jax
import numpy as np
import pytest

from jaxseg.errors import JaxsegError
from jaxseg.nets.registry import Network
from jaxseg.nets.unet import UNet
from jaxseg.studies.features.measures import random_variables
from jaxseg.studies.models import callable_model, network_model
from jaxseg.studies.shift import border as rolls


def photos(n=3, side=32):
    rng = np.random.default_rng(5)
    coarse = jax.image.resize(rng.uniform(0, 255, (n, 9, 9, 3)), (n, side, side, 3), "cubic")
    return np.clip(coarse + rng.normal(0, 40, (n, side, side, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def table():
    net = Network.of(UNet(width=4, depth=1, padding="reflect", upsampling="half_pixel"))
    found = rolls.variants(network_model("net", net, random_variables(net, 0, photos()), 32))
    return {(r.padding, r.upsampling): r for r in rolls.roll_frames(found, photos())}


def test_the_table_holds_the_cells_own_settings_and_the_paddings_and_upsamplings_to_compare(table):
    paddings, upsamplings = zip(*table)
    assert set(paddings) == {"reflect", "zeros", "circular"}
    assert set(upsamplings) == {"half_pixel", "align_corners", "nearest"}
    assert len(table) == 9
    assert [key for key, rolled in table.items() if rolled.own] == [("reflect", "half_pixel")]


def test_circular_padding_commutes_with_aligned_shifts_but_for_aligned_corners(table):
    for upsampling in ("nearest", "half_pixel"):
        assert table["circular", upsampling].aligned.max() < 1e-5
    assert table["circular", "align_corners"].aligned.min() > 1e-3


def test_other_paddings_do_not_commute(table):
    for (padding, _), rolled in table.items():
        if padding != "circular":
            assert rolled.aligned.min() > 1e-3


def test_pooling_breaks_shifts_between_multiples_whatever_the_rest(table):
    assert min(rolled.between.min() for rolled in table.values()) > 1e-3


def test_transposed_upsampling_has_weights_of_its_own_and_stays():
    net = Network.of(UNet(width=4, depth=1, padding="zeros", upsampling="transposed"))
    found = rolls.variants(network_model("net", net, random_variables(net, 0, photos()), 32))
    assert [(v.padding, v.upsampling, v.own) for v in found] == [
        ("zeros", "transposed", True),
        ("circular", "transposed", False),
    ]
    errors = rolls.roll_frames(found, photos())
    assert errors[0].aligned_error.low > 1e-3 and errors[1].aligned.max() < 1e-5


def test_errors_of_functions_are_of_their_masks():
    looks = callable_model("looks", lambda x: (x[..., 0] > 127).astype(np.uint8), size=32)

    def left_half(images):
        mask = np.zeros(images.shape[:3], np.uint8)
        mask[:, :, :16] = 1
        return mask

    place = callable_model("place", left_half, size=32)
    found = rolls.roll_frames([rolls.Variant("", "", True, m) for m in (looks, place)], photos())
    assert found[0].aligned.max() == found[0].between.max() == 0
    # (16, 0), (0, 16), (16, 16) and no others of 32: half of a half's columns roll away.
    np.testing.assert_allclose(found[1].aligned, np.mean([0, 1, 1]))


@pytest.mark.parametrize("size, factor", [(32, 4), (48, 16), (16, 16), (40, 1), (256, 16)])
def test_aligned_shifts_are_multiples_and_none_is_the_identity(size, factor):
    aligned, between = rolls.shifts(size, factor)
    assert all(s % factor == 0 for shift in aligned for s in shift)
    assert all(any(s % factor for s in shift) for shift in between)
    assert all(any(s % size for s in shift) for shift in aligned + between)
    assert bool(aligned) == (size > factor) and bool(between) == (factor > 1)


def test_no_images_are_an_error():
    with pytest.raises(JaxsegError, match="no image could be used"):
        rolls.roll_frames([], [])
