"""Folders as users have them: what is found, what is passed over, what belongs together."""

import os
import unicodedata

import numpy as np
import pytest

from jaxseg.data.files import (
    by_id,
    group_masks,
    mask_groups,
    match_files,
    match_masks,
    scan,
    split_roles,
)
from jaxseg.errors import JaxsegError, UsageError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0")
    return root


def names(files, root):
    return [path.relative_to(root).as_posix() for path in files]


def test_files_are_sorted_and_foreign_ones_passed_over(tmp_path):
    foreign = (".hidden.png", ".git/d.png", "e_superpixels.png", "@eaDir/a.png", "._a.png",
               "__MACOSX/images/._a.png", ".AppleDouble/a.png", "deep/@eaDir/c.png",
               "#recycle/a.png", "notes.txt", "Thumbs.db")  # fmt: skip
    touch(tmp_path, "b.png", "a.npy", "deep/er/c.PNG", *foreign)
    assert names(scan(tmp_path).files, tmp_path) == ["a.npy", "b.png", "deep/er/c.PNG"]
    assert names(scan(tmp_path, (".npy",)).files, tmp_path) == ["a.npy"]
    assert names(scan(tmp_path, pattern="b*").files, tmp_path) == ["b.png"]
    assert names(scan(tmp_path, pattern="deep/*").files, tmp_path) == ["deep/er/c.PNG"]


def test_links_are_followed_wherever_they_lead_but_in_no_circle(tmp_path):
    root = touch(tmp_path / "root", "good.png")
    touch(tmp_path, "outside.png", "elsewhere/far.png")
    (root / "inside.png").symlink_to(root / "good.png")
    (root / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "itself.png").symlink_to(root / "itself.png")
    (root / "nowhere.png").symlink_to(root / "none.png")
    (root / "circle").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    with open(os.fsencode(root / "name-") + b"\xff.png", "wb"):
        pass
    found = scan(root)
    assert names(found.files, root) == ["good.png", "inside.png", "linked/far.png", "out.png"]
    told = "\n".join(sorted(found.left_out))
    for name, rule in (("circle", "link to a folder above it"), ("itself.png", "a link that loops"),
                       ("nowhere.png", "a link that loops or leads"),
                       ("pipe.png", "not a regular file"),
                       ("'name-\\udcff.png'", "name is not valid UTF-8")):  # fmt: skip
        assert f"{root / name}: {rule}" in told
    assert len(found.left_out) == 5


def test_a_root_may_itself_be_a_link_or_begin_with_a_tilde(tmp_path, monkeypatch):
    touch(tmp_path, "real/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(scan(tmp_path / "link").files) == 1
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(scan("~/real").files) == 1
    assert len(match_files("~/real", "~/link").pairs) == 1


@pytest.mark.parametrize("made, error", [(False, UsageError), (True, JaxsegError)])
def test_a_folder_that_is_missing_or_empty(made, error, tmp_path):
    if made:
        (tmp_path / "masks").mkdir()
    with pytest.raises(error, match=r"masks: (no such folder|holds no files to read)"):
        scan(tmp_path / "masks")


def test_names_are_compared_in_one_unicode_form(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Läsion é") for form in ("NFC", "NFD"))
    assert composed != decomposed
    touch(tmp_path, f"t/{composed}_mask.png", f"p/{decomposed}.png")
    pairs, left_out, _ = match_files(tmp_path / "t", tmp_path / "p")
    assert [name for name, _ in pairs] == [composed] and not left_out
    assert len(scan(tmp_path, pattern=f"{composed}*").files) == 2
    touch(tmp_path, f"p/{composed}.png")
    left_out = []
    assert len(by_id(scan(tmp_path / "p").files, tmp_path / "p", left_out)) == 1
    assert "same name as" in left_out[0]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("x", "x"),
        ("x", "x_mask"),
        ("x", "x_Segmentation"),
        ("x", "x_GT"),
        ("x", "x_lesion"),
        ("x", "x-label"),
        ("x_gt", "x_gt_mask"),
        ("x_gt", "x_gt"),
        ("X_0000", "X"),
        ("deep/x", "deep/x_seg"),
    ],
)
def test_a_mask_belongs_to_the_picture_of_its_stem(tmp_path, image, mask):
    touch(tmp_path, f"images/{image}.png", f"masks/{mask}.tif", "images/y.png", "masks/y.png")
    images, masks = (by_id(scan(tmp_path / p).files, tmp_path / p, []) for p in ("images", "masks"))
    found, lacking, alone = match_masks(images, masks)
    assert found[image] == (tmp_path / f"masks/{mask}.tif",) and not lacking and not alone
    for roots in (("masks", "images"), ("images", "masks")):  # true masks may have either name
        pairs, left_out, _ = match_files(*(tmp_path / root for root in roots))
        assert len(pairs) == 2 and not left_out


PATTERNED = [  # image, mask, and the patterns of both, as public data sets name them
    ("21_training.tif", "21_manual1.gif", "*_training.tif", "*_manual1.gif"),
    ("Image_01L.jpg", "Image_01L_1stHO.png", "*", "*_1stHO.png"),
    ("img_7.png", "gt_7.png", "img_*", "gt_*"),
    ("p1/image.png", "p1/mask.png", "image.png", "mask.png"),
    ("p1/image_3.png", "p1/mask_3.png", "image_*.png", "mask_[0-9]*.png"),
    ("läsion_3.png", "läsion_3_contour.png", "*", "*ä*_contour.png"),
]


@pytest.mark.parametrize(("image", "mask", "of_images", "of_masks"), PATTERNED)
def test_what_patterns_say_of_names_is_not_part_of_the_stem(
    image, mask, of_images, of_masks, tmp_path
):
    image, of_masks = (unicodedata.normalize("NFD", text) for text in (image, of_masks))
    touch(tmp_path, f"images/{image}", f"masks/{mask}")
    images, masks = (by_id(scan(tmp_path / p).files, tmp_path / p, []) for p in ("images", "masks"))
    found, lacking, alone = match_masks(images, masks, (of_images, of_masks))
    name = next(iter(images))
    assert found == {name: (tmp_path / "masks" / mask,)} and not lacking and not alone
    roots = tmp_path / "masks", tmp_path / "images"
    pairs, left_out, _ = match_files(*roots, patterns=(of_masks, of_images))
    assert len(pairs) == 1 and not left_out


def test_several_masks_of_a_picture_belong_together():
    pictures = {"a": "a.png", "b": "b.png"}
    masks = {"a_mask": 1, "a_mask_1": 2, "a_mask_2": 3, "b_mask": 4, "c_mask": 5}
    found, lacking, alone = match_masks(pictures, masks)
    assert found == {"a": (1, 2, 3), "b": (4,)} and not lacking and alone == ["c_mask"]
    assert group_masks(masks) == {"a": (1, 2, 3), "b": (4,), "c": (5,)}


def test_numbers_alone_do_not_join_the_masks_of_frames():
    frames = {f"scan_mask_{k:03d}": k for k in range(5)}
    assert list(group_masks(frames).values()) == [(k,) for k in range(5)]
    assert len({name for name in group_masks(frames)}) == 5
    assert group_masks({"a": 1, "a_mask": 2}) == {"a": (1,), "a_mask": (2,)}


def test_pictures_and_masks_of_one_folder_are_distinguished(tmp_path):
    touch(tmp_path, "benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png",
          "benign (2).png", "benign (2)_mask.png", "normal (1).png")  # fmt: skip
    pictures, masks = split_roles(by_id(scan(tmp_path).files, tmp_path, []))
    assert sorted(pictures) == ["benign (1)", "benign (2)", "normal (1)"] and len(masks) == 3
    groups, left_out, separated = mask_groups(tmp_path)
    assert {name: len(paths) for name, paths in groups.items()} == {
        "benign (1)": 2,
        "benign (2)": 1,
    }
    assert separated == 3 and "normal (1).png: no mask of this picture" in left_out[0]


def test_stems_are_matched_and_the_rest_is_listed(tmp_path):
    touch(tmp_path, "t/x_mask.png", "t/case/y_GT.png", "t/alone.png", "p/x.npy", "p/case/y.png",
          "p/extra.png", "p/x.png")  # fmt: skip
    pairs, left_out, _ = match_files(tmp_path / "t", tmp_path / "p")
    assert [name for name, _ in pairs] == ["case/y", "x"]
    assert dict(pairs)["case/y"] == ((tmp_path / "t/case/y_GT.png",), (tmp_path / "p/case/y.png",))
    told = "\n".join(left_out)
    assert f"alone.png: no file of this stem in {tmp_path / 'p'}" in told
    assert f"extra.png: no file of this stem in {tmp_path / 't'}" in told
    assert "x.png: same name as x.npy" in told and len(left_out) == 3


def test_an_exact_name_goes_before_one_with_an_ending(tmp_path):
    touch(tmp_path, "t/x.png", "t/x_gt.png", "p/x.png", "p/x_gt.png")
    pairs, left_out, _ = match_files(tmp_path / "t", tmp_path / "p")
    assert {name: other[0].stem for name, (_, other) in pairs} == {"x": "x", "x_gt": "x_gt"}
    assert not left_out


def test_patterns_choose_the_files_of_each_folder(tmp_path):
    touch(tmp_path, "t/a_mask.png", "t/a_outline.png", "p/a_pred.png", "p/a_map.png")
    pairs, _, _ = match_files(tmp_path / "t", tmp_path / "p", patterns=("*_mask.*", "*_pred.*"))
    ((_, (true, predicted)),) = pairs
    assert (true[0].stem, predicted[0].stem) == ("a_mask", "a_pred")
    with pytest.raises(JaxsegError, match=r"holds no files to read \(\*_none\.\* of"):
        match_files(tmp_path / "t", tmp_path / "p", patterns=("*_none.*", "*"))


def test_no_stem_in_common_says_what_there_is(tmp_path):
    touch(tmp_path, "t/a.png", "p/b.png")
    with pytest.raises(JaxsegError, match=r"no stem in common \(a against b\)"):
        match_files(tmp_path / "t", tmp_path / "p")


def test_slices_of_a_volume_are_files_of_their_own(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.zeros((4, 5, 3), np.uint8)
    for name in ("case.nii.gz", "case_mask.nii", "flat.nii.gz"):
        shape = volume[..., :1] if name == "flat.nii.gz" else volume
        nibabel.save(nibabel.Nifti1Image(shape, np.eye(4)), tmp_path / name)
    found = by_id(scan(tmp_path).files, tmp_path, [])
    assert list(found) == [*(f"case#00{k}" for k in range(3)),
                           *(f"case_mask#00{k}" for k in range(3)), "flat"]  # fmt: skip
    pictures, masks = split_roles(found)
    assert list(pictures) == [*(f"case#00{k}" for k in range(3)), "flat"]
    assert list(match_masks(pictures, masks)[0]) == list(pictures)[:3]
    channels = {f"x_0000#00{k}": k for k in range(2)}
    assert not match_masks(channels, {f"x#00{k}": k for k in range(2)})[2]
    numbered = {"a_mask#001": 1, "a_mask_1#001": 2, "a_mask_2#001": 3, "b_mask#001": 4}
    assert group_masks(numbered) == {"a#001": (1, 2, 3), "b#001": (4,)}


def test_a_volume_of_more_axes_is_left_out_with_its_shape(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 3, 2)), np.eye(4)), tmp_path / "a.nii")
    touch(tmp_path, "b.png")
    (refused,) = scan(tmp_path).left_out
    assert refused.endswith("a.nii: shape (4, 5, 3, 2); must have two or three axes")
