"""Ellipse outlines: closed, filled, cut by the frame's edge, and what is refused."""

import pathlib

import cv2
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.data.builders import fill_outline, outline_mask
from jaxseg.errors import JaxsegError

SHAPE = (135, 200)


def ellipse(centre, halves, angle, width):
    canvas = np.zeros(SHAPE, np.uint8)
    return cv2.ellipse(canvas, centre, halves, angle, 0, 360, 1, width)


def overlap(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def regions(mask):
    return cv2.connectedComponents(mask)[0] - 1


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("angle", [0, 25, 90, 140])
def test_a_closed_outline_encloses_the_ellipse(width, angle):
    line = ellipse((97, 66), (60, 45), angle, width)
    np.testing.assert_array_equal(fill_outline(line), ndimage.binary_fill_holes(line))


def test_a_filled_region_stays_as_it_is_also_where_the_frame_cuts_it():
    for centre in [(97, 66), (97, 10), (190, 66), (5, 130)]:
        body = ellipse(centre, (60, 45), 30, -1)
        np.testing.assert_array_equal(fill_outline(body), body)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    "centre",
    [(97, 20), (97, 115), (35, 66), (165, 66), (30, 25), (170, 110), (100, 5)],
    ids=["top", "bottom", "left", "right", "corner", "far corner", "half gone"],
)
def test_an_outline_cut_by_the_frame_is_closed_as_an_ellipse(centre, width):
    line = ellipse(centre, (60, 45), 15, width)
    mask = fill_outline(line)
    assert mask is not None and regions(mask) == 1
    assert overlap(mask, ellipse(centre, (60, 45), 15, -1) | line) > 0.985


def test_an_outline_cut_at_two_opposite_sides():
    line, body = (ellipse((100, 67), (80, 95), 5, width) for width in (1, -1))
    assert overlap(fill_outline(line), body) > 0.985


def test_a_small_gap_does_not_leak():
    line = ellipse((97, 66), (60, 45), 0, 1)
    line[:, 95:99] = 0
    assert overlap(fill_outline(line), ellipse((97, 66), (60, 45), 0, -1)) > 0.985


PATH = pathlib.Path("010_HC_Annotation.png")


def two_outlines():
    return ellipse((50, 66), (30, 25), 0, 1) | ellipse((150, 66), (30, 25), 0, 1)


def open_corner():
    line = np.zeros(SHAPE, np.uint8)
    return cv2.polylines(line, [np.array([[20, 20], [180, 30], [170, 120]])], False, 1)


def straight_line():
    return cv2.line(np.zeros(SHAPE, np.uint8), (20, 20), (180, 120), 1, 3)


def short_arc():
    line = ellipse((97, 66), (60, 45), 0, 1)
    line[:, :110] = 0
    return line


@pytest.mark.parametrize("draw", [two_outlines, open_corner, straight_line, short_arc])
def test_other_lines_are_refused_by_name(draw):
    with pytest.raises(JaxsegError, match=r"010_HC_Annotation\.png: must hold one outline"):
        outline_mask(draw(), PATH)


def test_an_empty_mask_is_named():
    with pytest.raises(JaxsegError, match=r"010_HC_Annotation\.png: holds no outline"):
        outline_mask(np.zeros(SHAPE, np.uint8), PATH)
