"""Preparing data: one pass, the paper's order, resumed after a kill, clear about damage."""

import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
from data_oracles import draw_pair, pil_cut

from jaxseg.data import prepare as prepare_module
from jaxseg.data.crops import fixed_boxes, pixel_box
from jaxseg.data.prepare import prepare_views
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.progress import silent

SIZE = 24
VIEWS = ["full", "quarter", "random", "frame2x"]


def run(root, split="train", views=VIEWS, **options):
    options = {"size": SIZE, "data_dir": root.parent / "cache", "progress": silent, **options}
    return prepare_views("folders", split, views=views, manual_dir=root, **options)


def test_every_view_is_cut_at_original_resolution_and_then_resized(make_folder):
    prepared = run(make_folder())
    assert prepared["quarter"].images.shape == (5, 4, SIZE, SIZE, 3)
    assert prepared["frame2x"].masks.shape == (5, 1, 2 * SIZE, 2 * SIZE)
    for view, store in prepared.items():
        assert sorted(store.ids) == [f"im{i}" for i in range(5)]
        assert store.classes == ("foreground",) and not store.images.flags.writeable
        boxes = fixed_boxes("full" if view == "frame2x" else view, 5)
        for row, name in enumerate(store.ids):
            image, mask = draw_pair(int(name[2:]), 61 + 2 * int(name[2:]), 83)
            for v, box in enumerate(boxes[row]):
                expected = pil_cut(image, mask, box, store.masks.shape[-1])
                assert np.abs(store.images[row, v].astype(int) - expected[0]).max() <= 1
                np.testing.assert_array_equal(store.masks[row, v], expected[1])


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".bmp"])
def test_image_formats(make_folder, suffix):
    store = run(make_folder(n=2, suffix=suffix), views=["full"])["full"]
    for row, name in enumerate(store.ids):
        image, mask = draw_pair(int(name[2:]), 61 + 2 * int(name[2:]), 83)
        expected = pil_cut(image, mask, [0, 0, 1, 1], SIZE)[0]
        apart = np.abs(store.images[row, 0].astype(int) - expected)
        assert apart.mean() < 5 if suffix == ".jpg" else apart.max() <= 1


def test_class_index_masks(make_folder):
    root = make_folder(n=3)
    for index in range(3):
        mask = draw_pair(index, 61 + 2 * index, 83)[1] * (index + 1)
        cv2.imwrite(str(root / "masks" / f"im{index}.png"), mask)
    store = run(root, views=["full"])["full"]
    assert store.classes == ("class 1", "class 2", "class 3")
    values = {name: int(store.masks[row].max()) for row, name in enumerate(store.ids)}
    assert values == {"im0": 1, "im1": 2, "im2": 3}


def test_slices_are_parts_of_the_whole_and_keep_their_order(make_folder):
    root = make_folder()
    whole = run(root, views=["full"])["full"]
    parts = [run(root, split, ["full"])["full"] for split in ("train[:60%]", "train[60%:]")]
    assert [len(part.ids) for part in parts] == [3, 2]
    assert parts[0].ids + parts[1].ids == whole.ids
    np.testing.assert_array_equal(np.concatenate([p.images for p in parts]), whole.images)
    with pytest.raises(UsageError, match="selects no images"):
        run(root, "train[:0]")


def test_a_prepared_cache_imports_neither_tensorflow_nor_opencv(make_folder):
    root = make_folder(n=2)
    run(root, views=["full"])
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['cv2'] = None\n"
        "sys.modules['tensorflow_datasets'] = None\n"
        "from jaxseg.data.prepare import prepare_views\n"
        f"p = prepare_views('folders', 'train', size={SIZE}, views=['full'], "
        f"manual_dir={str(root)!r}, data_dir={str(root.parent / 'cache')!r})['full']\n"
        "assert p.images.shape[0] == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_tensorflow_is_missing_the_same_is_prepared(make_folder):
    root, elsewhere = make_folder(), make_folder("elsewhere").parent / "without"
    with_it = run(root)
    code = f"""
        from importlib.machinery import PathFinder
        find_spec = PathFinder.find_spec
        def hide(cls, name, *more):
            return None if name == "tensorflow" else find_spec(name, *more)
        PathFinder.find_spec = classmethod(hide)
        from jaxseg.data.prepare import prepare_views
        from jaxseg.progress import silent
        prepare_views("folders", "train", size={SIZE}, views={VIEWS}, manual_dir={str(root)!r},
            data_dir={str(elsewhere)!r}, progress=silent)
        from jaxseg.data.pipeline import has_tensorflow
        assert not has_tensorflow()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    for view, store in run(root, data_dir=elsewhere).items():
        assert store.checksum == with_it[view].checksum


def test_frames_come_in_the_order_of_a_tfds_copy(make_folder, tmp_path):
    """Prepared data of earlier versions was read from such copies: numbers must not change."""
    pytest.importorskip("tensorflow")
    import tensorflow_datasets as tfds

    from jaxseg.data.builders import Folders

    root = make_folder(n=23)
    builder = Folders(data_dir=str(tmp_path / "tfds"), manual_dir=root)
    builder.download_and_prepare()
    for split in ("train", "train[:35%]", "train[35%:]", "train[-4:]+train[3:5]", "train[10%:11%]"):
        config = tfds.ReadConfig(interleave_cycle_length=1)
        copied = builder.as_dataset(split=split, read_config=config)
        names = [example["id"].decode() for example in tfds.as_numpy(copied)]
        store = run(root, split, ["full"])["full"]
        assert list(store.ids) == names


def test_what_is_there_is_not_made_again(make_folder, monkeypatch):
    root = make_folder(n=2)
    run(root, views=["full"])
    monkeypatch.setattr(prepare_module, "_fill_stores", None)
    run(root, views=["full"])


def test_a_changed_folder_is_noticed(make_folder):
    root = make_folder(n=2)
    before = run(root, views=["full"])["full"]
    cv2.imwrite(str(root / "masks" / "im0.png"), np.full((61, 83), 255, np.uint8))
    after = run(root, views=["full"])["full"]
    row = after.ids.index("im0")
    assert after.masks[row].min() == 1 and before.masks[before.ids.index("im0")].min() == 0


def interrupt_after(count):
    def progress(items, total, label):
        for done, item in enumerate(items):
            if label.startswith("preparing") and done == count:
                raise KeyboardInterrupt
            yield item

    return progress


def test_an_interrupted_view_is_finished_beside_a_new_one(make_folder, monkeypatch):
    monkeypatch.setattr("jaxseg.data.store.SAVE_EVERY", 2)
    root = make_folder()
    with pytest.raises(KeyboardInterrupt):
        run(root, views=["full"], progress=interrupt_after(3))
    seen = []

    def count(items, total, label):
        seen.append((label, total))
        return iter(items)

    resumed = run(root, views=["full"], progress=count)
    assert seen[-1] == (f"preparing folders train at {SIZE}", 3)  # two of five were safe
    undisturbed = run(root, data_dir=root.parent / "other")
    for view, store in {**run(root), **resumed}.items():
        np.testing.assert_array_equal(store.images, undisturbed[view].images)
        np.testing.assert_array_equal(store.masks, undisturbed[view].masks)
        assert store.ids == undisturbed[view].ids


def test_a_kill_leaves_nothing_that_is_taken_for_whole(make_folder):
    root = make_folder(n=6)
    code = f"""
        import os, pathlib
        from jaxseg.data import prepare, store
        store.SAVE_EVERY = 1
        def progress(items, total, label):
            for done, item in enumerate(items):
                if label.startswith("preparing") and done == 4: os._exit(9)
                yield item
        prepare.prepare_views("folders", "train", size={SIZE}, views=["full", "quarter"],
            manual_dir={str(root)!r}, data_dir={str(root.parent / "cache")!r}, progress=progress)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)])
    assert killed.returncode == 9
    partial = list((root.parent / "cache" / "prepared").rglob("*.partial"))
    assert len(partial) == 2 and not list(root.parent.rglob("store.json"))
    undisturbed = run(root, views=["full", "quarter"], data_dir=root.parent / "other")
    for view, store in run(root, views=["full", "quarter"]).items():
        np.testing.assert_array_equal(store.images, undisturbed[view].images)
        np.testing.assert_array_equal(store.masks, undisturbed[view].masks)
    assert not list((root.parent / "cache").rglob("*.partial"))


def truncate_image(root):
    path = root / "images" / "im1.png"
    path.write_bytes(path.read_bytes()[:-200])


def no_image(root):
    (root / "images" / "im1.png").write_text("not an image")


def truncate_mask(root):
    path = root / "masks" / "im1.png"
    path.write_bytes(path.read_bytes()[:60])


def other_size(root):
    cv2.imwrite(str(root / "masks" / "im1.png"), np.full((30, 40), 255, np.uint8))


def grey_mask(root):
    cv2.imwrite(str(root / "masks" / "im1.png"), np.array([[0, 37, 255]], np.uint8))


def mixed_coding(root):
    cv2.imwrite(str(root / "masks" / "im1.png"), np.full((63, 83), 2, np.uint8))


def all_empty(root):
    for path in (root / "masks").iterdir():
        cv2.imwrite(str(path), 0 * cv2.imread(str(path)))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate_image, r"images/im1\.png: cannot be read as an image"),
        (no_image, r"images/im1\.png: cannot be read as an image"),
        (truncate_mask, r"masks/im1\.png: cannot be read as an image"),
        (other_size, r"masks/im1\.png: 30×40 pixels but .*images/im1\.png has 63×83"),
        (grey_mask, r"labels 0, 37 and 255: .*masks/im1\.png holds 0, 37 and 255"),
        (mixed_coding, r"holds .* but .* holds .*; use one for all"),
        (all_empty, r"folders train: all 3 masks are empty"),
    ],
)
def test_damage_is_named_in_one_line_and_can_be_mended(make_folder, capfd, damage, words):
    root = make_folder(n=3)
    good = {path: path.read_bytes() for path in root.rglob("*.png")}
    damage(root)
    with pytest.raises(JaxsegError, match=words) as caught:
        run(root, views=["full"])
    assert "\n" not in str(caught.value)
    for path, content in good.items():
        path.write_bytes(content)
    assert len(run(root, views=["full"])["full"].ids) == 3
    capfd.readouterr()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"views": ["ful"]}, "views='ful'.*did you mean 'full'"),
        ({"size": 0}, "data.size=0"),
        ({"split": "test"}, "folder test is missing"),
    ],
)
def test_wrong_arguments_are_named(make_folder, options, words):
    with pytest.raises(UsageError, match=words):
        run(make_folder(n=1), **options)


def test_isic_quarters_of_real_images(real_data, tmp_path):
    root = tmp_path / "official"
    root.mkdir()
    for folder in ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"):
        (root / folder).symlink_to(real_data / "isic2017" / folder)
    store = prepare_views(
        "isic2017",
        "validation[:8]",
        size=64,
        views=["quarter"],
        manual_dir=root,
        data_dir=tmp_path,
        progress=silent,
    )["quarter"]
    assert store.images.shape == (8, 4, 64, 64, 3) and store.classes == ("lesion",)
    assert set(np.unique(store.masks)) == {0, 1}
    for row in (0, 7):
        name = store.ids[row]
        image = cv2.imread(str(root / "ISIC-2017_Validation_Data" / f"{name}.jpg"))[..., ::-1]
        folder = root / "ISIC-2017_Validation_Part1_GroundTruth"
        mask = cv2.imread(str(folder / f"{name}_segmentation.png"), cv2.IMREAD_GRAYSCALE)
        for v, box in enumerate(fixed_boxes("quarter", 1)[0]):
            y0, x0, y1, x1 = pixel_box(box, 256, 256)
            assert (y1 - y0, x1 - x0) == (128, 128)
            expected = pil_cut(image, mask // 255, box, 64)
            assert np.abs(store.images[row, v].astype(int) - expected[0]).max() <= 1
            np.testing.assert_array_equal(store.masks[row, v], expected[1])
    with pytest.raises(UsageError, match=r"ISIC-2017_Test_v2_Data is missing in data.manual_dir"):
        prepare_views(
            "isic2017", "test", size=64, views=["full"], manual_dir=root, data_dir=tmp_path
        )
