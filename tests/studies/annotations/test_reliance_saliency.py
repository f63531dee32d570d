import numpy as np
import pytest
from fake_annotation_workdir import PLANTED, WHOLE, fake_study

from jaxseg.errors import JaxsegError
from jaxseg.studies.annotations.measures import read_saliency, saliency_rows
from jaxseg.studies.rows import value_of
from jaxseg.studies.workdir_files import load

ARMS = [WHOLE, WHOLE | {"annotate.removal": "telea"}]
SETTINGS = ("none", "telea")
SMALL = {"arms": ARMS, "seeds": 3, "frames": 16}


def rewrite(path, **changes):
    with np.load(path) as stored:
        arrays = dict(stored) | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def scores(root):
    results = load(root)
    return list(saliency_rows(results, read_saliency(results)))


def test_the_planted_dwelling_on_annotations_is_found(tmp_path):
    rows = scores(fake_study(tmp_path, **SMALL))
    ratio = value_of(rows, "none", "annotated", "all", "saliency_ratio")
    assert ratio.value == pytest.approx(1 + 30 * PLANTED, abs=0.15) and ratio.n_seeds == 3
    for arm, metric in (("telea", "saliency_ratio"), ("none", "saliency_ratio_random")):
        row = value_of(rows, arm, "annotated", "all", metric)
        assert row.value == pytest.approx(1, abs=0.1)
    pointing = [value_of(rows, arm, "annotated", "all", "saliency_pointing") for arm in SETTINGS]
    assert pointing[0].value == pytest.approx(0.42, abs=0.15) and pointing[1].value < 0.1


def test_ratio_and_pointing_by_hand(tmp_path):
    """Frame 0: share (0.4 + 0.2) / 2 of area 0.1; frame 1: 0.1 of 0.05; frame 2: no map.

    Ratio (0.3 + 0.1) / (0.1 + 0.05); pointing (1/2 + 0) / 2.
    """
    root = fake_study(tmp_path, arms=[WHOLE], seeds=1, frames=8)
    nan = np.nan
    rewrite(
        root / "saliency.npz",
        classes=np.array(["a", "b"]),
        frame=np.arange(3, dtype=np.int32),
        area=np.array([0.1, 0.05, 0.5], np.float32),
        share=np.array([[[0.4, 0.2], [0.1, nan], [nan, nan]]], np.float32),
        hit=np.array([[[1, 0], [0, -1], [-1, -1]]], np.int8),
        random_share=np.full((1, 3, 2), nan, np.float32),
        random_hit=np.full((1, 3, 2), -1, np.int8),
    )
    rows = scores(root)
    ratio = value_of(rows, "single", "annotated", "all", "saliency_ratio")
    assert ratio.value == pytest.approx(0.4 / 0.15) and ratio.n_left_out == 1
    pointing = value_of(rows, "single", "annotated", "all", "saliency_pointing")
    assert pointing.value == pytest.approx(0.25)
    assert np.isnan(value_of(rows, "single", "annotated", "all", "saliency_ratio_random").value)


def test_without_a_file_there_is_nothing_to_say(tmp_path):
    results = load(fake_study(tmp_path, saliency=False, **SMALL))
    assert read_saliency(results) is None and not list(saliency_rows(results, None))


def test_cells_that_are_no_longer_done_take_no_part(tmp_path):
    root = fake_study(tmp_path, **SMALL)
    table = root / "cells.csv"
    table.write_text(table.read_text().replace("telea-s1,done", "telea-s1,diverged"))
    saliency = read_saliency(load(root))
    assert len(saliency.cells("telea")) == 2 and len(saliency.cells("none")) == 3


def test_a_file_of_another_run_is_refused(tmp_path):
    root = fake_study(tmp_path, **SMALL)
    rewrite(root / "saliency.npz", cells=np.array([f"other-s{k}" for k in range(6)]))
    with pytest.raises(JaxsegError, match="none of the finished cells"):
        read_saliency(load(root))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04cut"])
def test_a_damaged_file_is_named(tmp_path, content):
    root = fake_study(tmp_path, **SMALL)
    (root / "saliency.npz").write_bytes(content)
    with pytest.raises(JaxsegError, match=r"saliency\.npz: damaged"):
        read_saliency(load(root))


def test_a_lacking_array_is_named(tmp_path):
    root = fake_study(tmp_path, **SMALL)
    rewrite(root / "saliency.npz", random_hit=None)
    with pytest.raises(JaxsegError, match="holds no 'random_hit'"):
        read_saliency(load(root))


def test_whose_map_is_shown_is_told_where_the_file_does(tmp_path):
    root = fake_study(tmp_path, **SMALL)
    assert read_saliency(load(root)).example_names == ["skull", "abdomen", "femur", "cervix"]
    rewrite(root / "saliency.npz", example_class=None)
    assert read_saliency(load(root)).example_names == [""] * 4
