"""Drawn annotations: exact masks, places tied to structures, determinism, sequences, any frame."""

import itertools
import os
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from ultrasound_frames import speckle_frame

import jaxseg
from jaxseg.data import annotations
from jaxseg.data.annotations import PLACEMENTS, annotation_sequence, draw_annotations, marks
from jaxseg.data.images import as_rgb
from jaxseg.errors import UsageError

SIZES = [(64, 64), (96, 128), (256, 256), (270, 400), (540, 800), (1024, 1024)]
KINDS = list(itertools.product(PLACEMENTS, annotations.COLOURS))


def oval(height=200, width=300, centre=(150, 100), axes=(80, 50), angle=30, label=1):
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, centre, axes, angle, 0, 360, label, -1)
    return mask


def on_grey(mask, level=90, **options):
    image = np.full((*mask.shape, 3), level, np.uint8)
    return draw_annotations(image, mask, **({"seed": 0, "image_id": "a"} | options))


def test_mask_is_where_pixels_changed_and_nowhere_else():
    """1,000 draws over noise; noise holds pixels of the overlay's own colour now and then."""
    rng = np.random.default_rng(0)
    for draw in range(1000):
        height, width = np.exp(rng.uniform(np.log(64), np.log(1024.9), 2)).astype(int)
        centre = rng.uniform(0, [width, height]).astype(int).tolist()
        axes = (rng.uniform(0.02, 0.6, 2) * min(height, width)).astype(int).tolist()
        mask = oval(
            height, width, centre, axes, rng.uniform(0, 180), label=int(rng.integers(1, 14))
        )
        clean = rng.integers(0, 256, (height, width, 3), np.uint8)
        placement, colour = KINDS[draw % len(KINDS)]
        drawn, annotated = draw_annotations(
            clean, mask, seed=draw, image_id=str(draw), placement=placement, colour=colour
        )
        changed = np.zeros((height, width), bool)
        for channel in range(3):
            changed |= cv2.absdiff(drawn[..., channel], clean[..., channel]) > 0
        assert drawn.dtype == np.uint8 and annotated.dtype == bool
        assert np.array_equal(annotated, changed), (draw, height, width)
        assert 0.0005 < annotated.mean() < 0.35, (draw, height, width)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_marks_whatever_the_frame_shows(size):
    """Ink found on grey is where any other frame changes; what has its colour already does not."""
    clean, mask = speckle_frame(3, *size)
    options = {"seed": 5, "image_id": "x", "placement": "tied"}
    ink = draw_annotations(np.full(size, 90, np.uint8), mask, **options)[1]
    _, annotated = draw_annotations(clean, mask, **options)
    assert not (annotated & ~ink).any()
    assert annotated.sum() > 0.9 * ink.sum()
    on_black, _ = draw_annotations(np.zeros(size, np.uint8), mask, **options)
    shade = on_black.reshape(-1, 3).max(0)
    own_shade = np.repeat(shade[None, None], size[0], 0).repeat(size[1], 1)
    assert not draw_annotations(own_shade, mask, **options)[1].any()


@pytest.mark.parametrize("colour", annotations.COLOURS)
def test_colours_lie_in_their_ranges(colour):
    (low, high), (least_saturation, _), (least_value, _) = annotations.COLOURS[colour]
    for seed in range(20):
        image, annotated = on_grey(oval(), level=0, seed=seed, colour=colour)
        hsv = cv2.cvtColor(image[annotated][None].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0]
        brightest = hsv[hsv[:, 2] == hsv[:, 2].max()]
        assert (brightest[:, 2] >= least_value - 0.003).all()
        assert (brightest[:, 1] >= least_saturation - 0.003).all()
        if least_saturation:
            assert (
                (low - 0.01 < brightest[:, 0] / 360) & (brightest[:, 0] / 360 < high + 0.01)
            ).all()


def test_a_draw_depends_on_its_arguments_alone():
    first, _ = on_grey(oval())
    np.random.seed(1)
    cv2.setRNGSeed(7)
    np.testing.assert_array_equal(on_grey(oval())[0], first)
    for other in ({"seed": 1}, {"image_id": "b"}, {"placement": "jittered"}, {"plane": "head"}):
        assert (on_grey(oval(), **other)[0] != first).any(), other


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_draws_the_same(hash_seed):
    code = (
        "import zlib, numpy as np, jaxseg; blank = np.zeros((64, 64), np.uint8)\n"
        "print(zlib.crc32(jaxseg.draw_annotations(blank, blank, seed=3, image_id='010_2HC')[0]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )
    blank = np.zeros((64, 64), np.uint8)
    here, _ = jaxseg.draw_annotations(blank, blank, seed=3, image_id="010_2HC")
    assert int(ran.stdout) == zlib.crc32(here.tobytes())


def test_independent_marks_know_nothing_of_the_mask():
    masks = [oval(), oval(centre=(60, 50), axes=(20, 9)), np.zeros((200, 300), np.uint8)]
    frames = [on_grey(mask, placement="independent")[0] for mask in masks]
    np.testing.assert_array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(frames[0], frames[2])


def test_independent_places_cover_the_frame_and_stay_inside():
    rng = np.random.default_rng(0)
    measured = [a for _ in range(600) for a in marks.independent(rng, 1, (200, 300))]
    ends = np.concatenate([axes.reshape(-1, 2) for axes in measured])
    assert (ends >= 0).all() and (ends < [300, 200]).all()
    heads, *_ = np.histogram2d(*ends.T, bins=(3, 2), range=((0, 300), (0, 200)))
    assert heads.min() > 0.08 * len(ends)
    assert 0.6 < np.mean([len(axes) == 2 for axes in measured]) < 0.73
    long = np.array([marks.lengths(axes)[-1] for axes in measured])
    assert long.min() >= 0.15 * 200 - 2 and long.max() <= 0.8 * 200 + 2


@pytest.mark.parametrize("angle", [0, 30, 75, 120])
def test_tied_axes_are_the_ellipse_diameters(angle):
    (axes,) = marks.tied(oval(axes=(80, 50), angle=angle), 2)
    turn = np.deg2rad(angle)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    for axis, reach in zip(axes, (50 * across, 80 * along)):
        expected = np.array([150, 100]) + np.stack([-reach, reach])
        flipped = expected[::-1]
        distance = min(np.abs(axis - e).max() for e in (expected, flipped))
        assert distance <= 2


def test_tied_calipers_are_drawn_on_those_ends():
    for size in SIZES:
        mask = oval(*size, (size[1] // 2, size[0] // 2), (size[0] // 4, size[0] // 6), 20)
        _, annotated = on_grey(mask)
        for x, y in marks.tied(mask, 1)[0].reshape(-1, 2):
            assert annotated[y, x]


def test_a_thin_structure_is_measured_by_its_length():
    mask = np.zeros((100, 200), np.uint8)
    cv2.line(mask, (30, 40), (150, 60), 1, 5)
    ((axis,),) = marks.tied(mask, 2)
    assert axis.shape == (2, 2)
    ends = axis[axis[:, 0].argsort()]
    np.testing.assert_allclose(ends, [[30, 40], [150, 60]], atol=4)


def test_largest_structures_come_first():
    mask = oval(axes=(30, 20), label=9) + oval(centre=(50, 50), axes=(20, 12), label=4)
    mask += oval(centre=(260, 160), axes=(12, 9), label=2)
    long = [marks.lengths(axes)[-1] for axes in marks.tied(mask, 3)]
    np.testing.assert_allclose(long, [60, 40, 24], atol=3)
    assert len(marks.tied(mask, 2)) == 2


def test_a_head_cut_by_the_frame_keeps_its_ellipse_and_calipers_move_to_the_edge():
    """The centre lies 20 px left of the right edge; the fit must not take the cut for outline."""
    mask = oval(centre=(279, 100), axes=(60, 45), angle=0)
    short, long = marks.tied(mask, 1)[0]
    np.testing.assert_allclose(np.sort(long[:, 0]), [219, 299], atol=2)
    np.testing.assert_allclose(long[:, 1], [100, 100], atol=2)
    np.testing.assert_allclose(short[:, 0], [279, 279], atol=3)
    np.testing.assert_allclose(np.sort(short[:, 1]), [55, 145], atol=2)


def test_axes_longer_than_the_frame_are_cut_and_those_outside_left_out():
    axes = np.array([[[-500, 50], [500, 50]], [[-20, -20], [-5, 90]]], float)
    assert marks.clip_axes(axes, (100, 200)).tolist() == [[[0, 50], [199, 50]]]
    whole = np.ones((100, 200), np.uint8)
    assert all((a >= 0).all() and (a < [200, 100]).all() for a in marks.tied(whole, 1))


@pytest.mark.parametrize("seed", range(30))
def test_ragged_masks_have_axes_inside_the_frame(seed):
    rng = np.random.default_rng(seed)
    mask = (cv2.GaussianBlur(rng.random((70, 90)), (0, 0), rng.uniform(1, 9)) > 0.5).astype(
        np.uint8
    )
    for axes in marks.tied(mask, 2):
        assert (axes >= 0).all() and (axes < [90, 70]).all()
        assert (marks.lengths(axes) <= np.hypot(90, 70)).all()


def test_jittered_ends_lie_a_tenth_of_the_length_away():
    rng = np.random.default_rng(0)
    axes = np.array([[[200, 300], [500, 300]]])
    moved = np.concatenate([marks.jittered(rng, [axes], (600, 800))[0] - axes for _ in range(500)])
    assert moved.std(axis=(0, 1)) == pytest.approx([30, 30], rel=0.1)
    assert np.abs(moved.mean((0, 1))).max() < 3


def test_an_empty_structure_gets_text_and_ruler_but_no_calipers():
    blank, speck = np.zeros((200, 300), np.uint8), np.zeros((200, 300), np.uint8)
    speck[100, 150] = 1
    assert marks.tied(blank, 2) == marks.tied(speck, 2) == []
    _, nothing = on_grey(blank)
    _, something = on_grey(oval())
    np.testing.assert_array_equal(on_grey(speck)[1], nothing)
    assert nothing.any() and not (nothing & ~something).any()
    assert not nothing[60:140, 60:240].any()


def test_values_are_those_of_the_axes_in_centimetres():
    head = [np.array([[[0, 0], [0, 300]], [[0, 0], [400, 0]]])]
    femur = [np.array([[[0, 0], [0, 250]]])]
    assert list(annotations._values(head, "head", 50)) == [
        "BPD 6.00 cm",
        "OFD 8.00 cm",
        "HC 22.0 cm",
    ]
    assert list(annotations._values(head, "", 50)) == ["D1 6.00 cm", "D2 8.00 cm", "Circ 22.0 cm"]
    assert list(annotations._values(femur + head, "femur", 50))[:2] == ["FL 5.00 cm", "D2 6.00 cm"]


def test_ruler_ticks_stand_a_centimetre_apart():
    ticks = marks.ruler(1, (540, 800), marks.sizes_of(540), 45.0).dots
    rows, counts = np.unique(ticks[:, 1], return_counts=True)
    np.testing.assert_array_equal(np.diff(rows), 45)
    assert len(rows) == 12 and (np.flatnonzero(counts == counts.max()) == [4, 9]).all()
    assert ticks[:, 0].max() == 799


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 96), (1024, 1024)])
def test_sizes_scale_and_strokes_are_opaque(height, width):
    sizes = marks.sizes_of(height)
    assert min(sizes) >= 1 and sizes.text >= 6
    canvas = np.zeros((height, width), np.uint8)
    middle = np.array([width // 2, height // 2])
    marks.render(canvas, [marks.caliper(middle, "+", sizes)], sizes.line)
    cross = marks.opacity(canvas)
    assert cross[middle[1], middle[0] - sizes.arm + 1 : middle[0] + sizes.arm].min() == 1
    assert (cross > 0).sum() < 8 * (2 * sizes.arm + 1) * sizes.line


@pytest.mark.parametrize(("placement", "colour"), KINDS)
@pytest.mark.parametrize("stages", [2, 6, 15])
def test_sequences_begin_clean_end_drawn_and_only_grow(placement, colour, stages):
    clean, mask = speckle_frame(1, 128, 160)
    options = {"seed": 2, "image_id": "s", "placement": placement, "colour": colour}
    images, annotated = annotation_sequence(clean, mask, stages=stages, **options)
    assert images.shape == (stages, 128, 160, 3) and annotated.shape == (stages, 128, 160)
    np.testing.assert_array_equal(images[0], as_rgb(clean))
    last, last_mask = draw_annotations(clean, mask, **options)
    np.testing.assert_array_equal(images[-1], last)
    np.testing.assert_array_equal(annotated[-1], last_mask)
    assert (annotated[:-1] <= annotated[1:]).all()
    np.testing.assert_array_equal(annotated, (images != images[:1]).any(-1))
    grown = np.diff(annotated.sum((1, 2)))
    assert (grown[:5] > 0).all() if stages <= 6 else (grown > 0).sum() >= 5


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (np.full((32, 40), 7, np.uint8), 7),
        (np.full((32, 40, 1), 7, np.uint8), 7),
        (np.full((32, 40, 3), 7, np.uint8), 7),
        (np.full((32, 40, 4), [7, 7, 7, 255], np.uint8), 7),
        (np.full((32, 40, 4), [100, 100, 100, 51], np.uint8), 20),
        (np.full((32, 40), 7 * 257, np.uint16), 7),
        (np.full((32, 40, 3), 65535, np.uint16), 255),
        (np.full((32, 40), 0, np.uint16), 0),
    ],
)
def test_frames_of_every_usual_kind_become_rgb(frame, expected):
    rgb = as_rgb(frame)
    assert rgb.shape == (32, 40, 3) and rgb.dtype == np.uint8
    assert (rgb == expected).all()
    image, _ = draw_annotations(frame, np.zeros((32, 40), np.uint8), seed=0, image_id="x")
    assert image.shape == (32, 40, 3)


def test_sixteen_bits_are_rounded_and_keep_order():
    values = np.arange(0, 65536, dtype=np.uint16).reshape(256, 256)
    rgb = as_rgb(values)[..., 0].astype(float)
    np.testing.assert_array_equal(rgb, np.rint(values / 257))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((32, 32), np.float32), "frame of type float32: must be uint8 or uint16"),
        (np.zeros((32, 32), bool), "frame of type bool"),
        (np.zeros((32, 32, 2), np.uint8), r"frame of shape \(32, 32, 2\)"),
        (np.zeros((4, 32, 32, 3), np.uint8), r"frame of shape \(4, 32, 32, 3\)"),
        (np.zeros((0, 32), np.uint8), r"frame of shape \(0, 32\): .* not empty"),
        (np.full((32, 32), 200, np.uint16), "values up to 200: it holds 8-bit values"),
    ],
)
def test_other_frames_are_refused_in_one_line(frame, words):
    with pytest.raises(UsageError, match=words) as caught:
        as_rgb(frame)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"placement": "tide"}, "placement='tide': .* did you mean 'tied'"),
        ({"colour": "red"}, "colour='red': must be one of yellow, white, green"),
        ({"seed": -1}, "seed=-1: must not be negative"),
        ({"mask": np.zeros((64, 65), np.uint8)}, r"frame_7: mask uint8 \(64, 65\); must be"),
        ({"mask": np.zeros((64, 64), bool)}, r"frame_7: mask bool"),
        ({"image": np.zeros((20, 64), np.uint8)}, "frame_7: frame of 20×64 pixels; .* 32×32"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    arguments = {
        "image": np.zeros((64, 64), np.uint8),
        "mask": np.zeros((64, 64), np.uint8),
        "seed": 0,
        "image_id": "frame_7",
    } | change
    with pytest.raises(UsageError, match=words):
        draw_annotations(arguments.pop("image"), arguments.pop("mask"), **arguments)


def test_a_sequence_has_two_stages_at_least():
    blank = np.zeros((64, 64), np.uint8)
    with pytest.raises(UsageError, match="stages=1: must be at least 2"):
        annotation_sequence(blank, blank, seed=0, image_id="x", stages=1)
