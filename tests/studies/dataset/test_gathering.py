"""Where planted objects gather is named, and no place is named that was not planted."""

import numpy as np
import pytest

from jaxseg.studies.dataset import to_section
from jaxseg.studies.dataset.measures import measure_dataset
from jaxseg.studies.dataset.placement import DEAD_CENTRE, placement_test, where_gathered


def _about(x, y, n, rng, sd=0.06):
    return np.clip(rng.normal((x, y), sd, (n, 2)), 0, 0.999)


def _rim(n, rng):
    points = rng.random((n, 2))
    side, depth = rng.integers(0, 4, n), rng.uniform(0, 0.1, n)
    rows = np.arange(n)
    points[rows, side % 2] = np.where(side < 2, depth, 0.999 - depth)
    return points


def _ring(n, rng):
    angle = rng.uniform(0, 2 * np.pi, n)
    ring = 0.5 + 0.32 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return ring + rng.normal(0, 0.02, (n, 2))


def _strip(n, rng, axis):
    points = rng.random((n, 2)) * 0.999
    points[:, axis] *= 0.15
    return points


PLANTED = {
    "above": (lambda n, rng: _about(0.5, 0.25, n, rng), "place", "above the centre"),
    "left": (lambda n, rng: _about(0.3, 0.5, n, rng), "place", "left of the centre"),
    "low right": (lambda n, rng: _about(0.7, 0.7, n, rng), "place",
                  "below and right of the centre"),
    "corner": (lambda n, rng: _about(0.07, 0.07, n, rng, 0.04), "place", "the upper left corner"),
    "right edge": (lambda n, rng: _about(0.95, 0.5, n, rng, 0.03), "place", "the right edge"),
    "dead centre": (lambda n, rng: _about(0.5, 0.5, n, rng, 0.01), "central", "the centre"),
    "about the centre": (lambda n, rng: _about(0.5, 0.5, n, rng, 0.12), "central", "the centre"),
    "rim": (_rim, "border", "the centre"),
    "ring": (_ring, "ring", "the centre"),
    "left side": (lambda n, rng: _strip(n, rng, 0), "column", "the left edge"),
    "top": (lambda n, rng: _strip(n, rng, 1), "row", "the top edge"),
}  # fmt: skip


@pytest.mark.parametrize("n", [30, 300])
@pytest.mark.parametrize("planted", PLANTED)
def test_the_place_is_named(planted, n):
    if planted == "ring" and n == 30:
        pytest.skip("the distance of so few from uniform is below what is called biased")
    make, kind, words = PLANTED[planted]
    right = 0
    for seed in range(10):
        points = make(n, np.random.default_rng(seed))
        found = placement_test(points, seed=seed)
        if found.gathering is None:
            continue
        place = found.gathering.places[0]
        right += found.verdict == kind and (place.words == words or kind in ("border", "ring"))
        assert all(a <= b <= c for a, b, c in zip(place.low, place.centre, place.high))
    assert right >= 8


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("places", [2, 3, 4])
def test_several_places_are_told_from_one(places, n):
    spots = [(0.2, 0.3), (0.8, 0.3), (0.5, 0.8), (0.1, 0.9)][:places]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        points = np.concatenate([_about(x, y, n // places, rng, 0.05) for x, y in spots])
        found = placement_test(points, seed=seed).gathering
        assert found.kind == "places" and len(found.places) == places
        centres = sorted(place.centre for place in found.places)
        np.testing.assert_allclose(centres, sorted(spots), atol=0.06)
        assert sum(place.share for place in found.places) == pytest.approx(1)


def test_uneven_shares_and_strays_do_not_hide_two_places():
    rng = np.random.default_rng(0)
    parts = [_about(0.25, 0.5, 210, rng), _about(0.75, 0.5, 90, rng), rng.random((30, 2)) * 0.999]
    found = placement_test(np.concatenate(parts)).gathering
    assert [place.words for place in found.places] == ["left of the centre", "right of the centre"]
    assert found.places[0].share == pytest.approx(0.68, abs=0.03)


@pytest.mark.parametrize("n", [15, 40, 200])
@pytest.mark.parametrize("shape", [
    lambda n, rng: _about(0.5, 0.5, n, rng, 0.15), lambda n, rng: _strip(n, rng, 1), _rim,
    lambda n, rng: rng.random((n, 2)),
], ids=["one", "band", "rim", "uniform"])  # fmt: skip
def test_one_place_is_not_split(shape, n):
    made = [shape(n, np.random.default_rng(seed)) for seed in range(20)]
    kinds = [where_gathered(points, points, seed=k).kind for k, points in enumerate(made)]
    assert kinds.count("places") <= 1


def test_the_scale_ends_at_one():
    rng = np.random.default_rng(0)
    corner = placement_test(rng.uniform(0, 0.01, (400, 2)))
    centre = placement_test(0.5 + rng.uniform(-0.01, 0.01, (400, 2)))
    edge = placement_test(np.stack([rng.uniform(0, 0.01, 400), np.full(400, 0.5)], 1))
    corners = placement_test(rng.choice([0.0, 0.999], (400, 2)))
    assert corner.distance == pytest.approx(1, abs=0.005) and corner.distance <= 1
    assert centre.distance == pytest.approx(DEAD_CENTRE, abs=0.01)
    assert DEAD_CENTRE < edge.distance < 1 and corners.distance < 1


def test_few_and_uniform_objects_have_no_place():
    rng = np.random.default_rng(0)
    few, even = placement_test(rng.random((9, 2))), placement_test(rng.random((200, 2)))
    assert few.verdict == "too few" and even.verdict == "unbiased"
    assert few.gathering is None and even.gathering is None


def _discs(centres, side=64):
    y, x = np.mgrid[:side, :side] + 0.5
    return [
        ((x - cx * side) ** 2 + (y - cy * side) ** 2 < 25).astype(np.uint8) for cx, cy in centres
    ]


def _told(centres):
    frames = ((f"{k:03d}", (mask, None)) for k, mask in enumerate(_discs(centres)))
    return to_section([measure_dataset("made", frames)]).verdict[1]


def test_the_words_name_places_in_shares_of_the_frame():
    rng = np.random.default_rng(0)
    above = _told(np.clip(rng.normal((0.5, 0.25), 0.03, (60, 2)), 0.1, 0.9))
    assert "objects gather above the centre, about x 0.5" in above and "y 0.2" in above
    assert "at the centre" not in above and "instead of the image" in above
    corner = _told(np.clip(rng.normal((0.12, 0.12), 0.01, (60, 2)), 0.1, 0.9))
    assert "gather in the upper left corner, about x 0.1" in corner
    two = np.concatenate([rng.normal((x, 0.5), 0.03, (40, 2)) for x in (0.25, 0.75)])
    assert "gather in 2 places: " in _told(two) and "50 %" in _told(two)
    rim = 0.1 + 0.8 * _rim(200, rng)
    assert "lie along the border" in _told(rim)
    column = np.stack([rng.uniform(0.1, 0.15, 200), rng.uniform(0.1, 0.9, 200)], 1)
    assert "gather at x 0.1" in _told(column) and "(the left edge), at any height" in _told(column)
    assert "no bias of position shown" in _told(rng.uniform(0.1, 0.9, (60, 2)))


def test_large_objects_are_named_by_the_room_that_their_size_leaves():
    rng = np.random.default_rng(0)
    positions = _about(0.05, 0.5, 100, rng, 0.03)
    centres = 0.45 + 0.1 * positions  # objects of 0.9 of the frame
    place = placement_test(positions, centres).gathering.places[0]
    assert place.words == "the left edge" and 0.45 < place.centre[0] < 0.46
