"""Volumes: however a scan was stored, its voxels meet those of its masks and predictions."""

import numpy as np
import pytest

from jaxseg.data import volumes
from jaxseg.data.images import check_same_size, read_file, read_image
from jaxseg.errors import JaxsegError

nibabel = pytest.importorskip("nibabel")
orientations = pytest.importorskip("nibabel.orientations")

VALUES = np.random.default_rng(0).integers(0, 255, (5, 6, 7)).astype(np.int16)
AFFINE = np.array([[0.7, 0, 0, 3], [0, 0.8, 0, -2], [0, 0, 3, 9], [0, 0, 0, 1.0]])


def save(path, values=VALUES, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def frames(path):
    return [volumes.read_slice(one) for one in volumes.slices(path)]


def test_slices_are_frames_with_rows_down_the_second_axis(tmp_path):
    path = save(tmp_path / "a.nii.gz")
    found = frames(path)
    assert len(found) == 7
    for k, frame in enumerate(found):
        np.testing.assert_array_equal(frame, VALUES[:, :, k].T)
        assert volumes.frame_shape(volumes.slices(path)[k]) == frame.shape
    assert read_image(volumes.slices(path)[0]).shape == (6, 5, 3)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "RPI", "AIL", "IPL"])
def test_however_a_volume_is_stored_its_frames_are_the_same(tmp_path, codes):
    expected = frames(save(tmp_path / "a.nii.gz"))
    turn = orientations.ornt_transform(
        orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(tuple(codes))
    )
    stored = nibabel.Nifti1Image(VALUES, AFFINE).as_reoriented(turn)
    nibabel.save(stored, tmp_path / "b.nii")
    for mine, other in zip(frames(tmp_path / "b.nii"), expected, strict=True):
        np.testing.assert_array_equal(mine, other)
    volumes.check_same_place(tmp_path / "a.nii.gz#1", tmp_path / "b.nii#1")


@pytest.mark.parametrize(
    "affine", [np.eye(4), AFFINE * np.diag([1, 1, 0.5, 1]), np.diag([-0.7, 0.8, 3, 1])]
)
def test_a_volume_of_another_place_is_refused_by_name(tmp_path, affine):
    a, b = save(tmp_path / "a.nii"), save(tmp_path / "b.nii", affine=affine)
    frame = read_file(volumes.slices(a)[0]).pixels
    with pytest.raises(
        JaxsegError, match=r"b\.nii#0: its affine puts it elsewhere than .*a\.nii#0"
    ):
        check_same_size(volumes.slices(a)[0], frame, volumes.slices(b)[0], frame)


def test_a_picture_is_not_compared_with_a_slice_that_an_affine_has_turned(tmp_path):
    frame, picture = np.zeros((6, 5), np.uint8), tmp_path / "b.png"
    check_same_size(save(tmp_path / "a.nii"), frame, picture, frame)
    flipped = save(tmp_path / "c.nii", affine=AFFINE @ np.diag([-1, -1, 1, 1]))
    for paths in ((flipped, picture), (picture, flipped)):
        with pytest.raises(JaxsegError, match="turned by its affine, which a picture"):
            check_same_size(paths[0], frame, paths[1], frame)


def test_slices_are_cut_across_the_thickest_voxels(tmp_path):
    sagittal = np.diag([4, 0.5, 0.5, 1])
    assert [f.shape for f in frames(save(tmp_path / "a.nii", affine=sagittal))] == [(7, 6)] * 5
    even = frames(save(tmp_path / "b.nii", affine=np.eye(4)))
    assert [f.shape for f in even] == [(6, 5)] * 7


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 1, 1)])
def test_one_slice_is_one_frame_of_the_files_own_name(tmp_path, shape):
    path = save(tmp_path / "a.nii.gz", VALUES[..., :1].reshape(shape))
    assert volumes.slices(path) == [path]
    np.testing.assert_array_equal(volumes.read_slice(path), VALUES[..., 0].T)
    assert volumes.frame_shape(path) == (6, 5)


def test_what_is_not_a_volume_is_named(tmp_path, monkeypatch):
    (tmp_path / "bad.nii.gz").write_bytes(b"no volume")
    with pytest.raises(JaxsegError, match=r"bad\.nii\.gz: not a readable NIfTI file"):
        volumes.slices(tmp_path / "bad.nii.gz")
    with pytest.raises(JaxsegError, match=r"bad\.nii\.gz: not a readable NIfTI file"):
        volumes.read_slice(tmp_path / "bad.nii.gz")
    four = save(tmp_path / "four.nii", np.zeros((3, 4, 5, 2), np.uint8))
    with pytest.raises(JaxsegError, match=r"shape \(3, 4, 5, 2\); must have two or three axes"):
        volumes.read_slice(four)
    with pytest.raises(JaxsegError, match="the volume has 7 slices"):
        volumes.read_slice(save(tmp_path / "a.nii").with_name("a.nii#9"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "c.nii.gz").write_bytes(b"")
    with pytest.raises(JaxsegError, match=r"c\.nii\.gz: NIfTI files require nibabel; pip install"):
        read_file(tmp_path / "c.nii.gz")


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_an_affine_that_drops_an_axis_is_refused_by_name(tmp_path, lost):
    affine = AFFINE.copy()
    affine[:, lost] = 0
    image = nibabel.Nifti1Image(VALUES, None)
    image.header.set_sform(affine, code=1)
    content = bytearray(image.to_bytes())
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(JaxsegError, match=r"a\.nii: its affine drops an axis"):
        read_file(tmp_path / "a.nii")
