"""Planes read from ids."""

import pytest

from jaxseg.data.planes import check_planes, label_of, plane_of
from jaxseg.errors import JaxsegError, UsageError


def test_the_group_is_the_plane():
    ids = ["head_0_0000", "abdomen_0_0001", "head_0_0004"]
    assert plane_of(ids, r"^([a-z]+)_") == ["head", "abdomen", "head"]
    assert plane_of(["p12-femur-3.png"], r"-(femur|head)(?:-|$)") == ["femur"]


def test_no_pattern_is_one_plane():
    assert plane_of(["010_HC", "any"], "") == ["", ""]
    check_planes(["", ""], [""])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("([a-z]+", r"data\.planes='\(\[a-z\]\+': not a regular expression"),
        ("[a-z]+", r"must hold one \(group\).*holds 0"),
        ("([a-z]+)_([0-9])", r"must hold one \(group\).*holds 2"),
    ],
)
def test_a_wrong_pattern_is_refused(pattern, words):
    with pytest.raises(UsageError, match=words) as caught:
        plane_of(["head_0_0000"], pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["^([a-z]+)_", "([a-z]*)HC", "(x)?_HC"])
def test_an_id_without_a_plane_is_named(pattern):
    with pytest.raises(JaxsegError, match=r"finds no plane in the id '010_HC'"):
        plane_of(["head_HC"] * (pattern == "^([a-z]+)_") + ["010_HC"], pattern)


def test_a_frame_without_a_plane_gets_no_label():
    pattern = "^([a-z]+)_"
    assert [label_of(name, pattern) for name in ("head_0_0000", "010_HC")] == ["head", ""]
    assert label_of("head_0_0000", "") == ""


def test_a_plane_that_is_trained_on_must_be_tested():
    check_planes(["head", "femur"], ["femur", "head", "cervix"])
    with pytest.raises(JaxsegError, match="plane 'femur' has 2 training frames but no test frame"):
        check_planes(["head", "femur", "femur"], ["head", "head"])
    with pytest.raises(JaxsegError, match=r"planes tested: none"):
        check_planes(["head"], [])
