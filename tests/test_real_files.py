"""Files as users have them, tried by every command: the grid, `dataset`, `predictions`, `shift`.

Each is read with the right values, or refused in one line before any work; what could mislead is
said. The inputs are discs on noise, as public problem reports describe them.
"""

import pathlib
import subprocess
import sys
import unicodedata

import cv2
import numpy as np
import PIL.Image
import pytest

from jaxseg.data.prepare import prepare_views
from jaxseg.errors import JaxsegError
from jaxseg.grid.config import DataConfig
from jaxseg.grid.data_cautions import data_cautions
from jaxseg.progress import silent
from jaxseg.studies.dataset.measures import measure_folder
from jaxseg.studies.folders import frames_with_truth, read_predictions
from jaxseg.studies.predictions.measures import audit_predictions

SIDE, OBJECT, AROUND = 64, 150, 30
ROOT = pathlib.Path(__file__).parents[1]


def disc(side, y, x, r):
    rows, columns = np.ogrid[:side, :side]
    return (rows - y) ** 2 + (columns - x) ** 2 <= r * r


def pictures(n=8, side=SIDE, seed=0):
    """(name, image, mask): about 30 around and 150 on the object."""
    rng = np.random.default_rng(seed)
    for k in range(n):
        r = rng.integers(6, 12) * side / 64
        mask = disc(side, *rng.uniform(r, side - r, 2), r)
        image = rng.integers(0, 60, (side, side, 3)).astype(np.uint8)
        image[mask] += OBJECT - AROUND
        yield f"a{k}", image, mask


def put(array, *path, **options):
    path = pathlib.Path(*path)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(array).save(path, **options)


def folder(root, write, suffix="png", **options):
    for name, image, mask in pictures():
        put(image, root, "images", f"{name}.png")
        put(write(mask), root, "masks", f"{name}.{suffix}", **options)
    return root


def prepared(root, cache, split="train", size=32, views=("full",)):
    return prepare_views("folders", split, size=size, views=list(views), manual_dir=root,
                         data_dir=cache, progress=silent)  # fmt: skip


def grey(mask, on=255):
    return (mask * on).astype(np.uint8)


def in_alpha(mask):
    return np.dstack([np.full((SIDE, SIDE, 3), 255, np.uint8), grey(mask)])


def two_classes(mask):
    return np.where(np.arange(SIDE)[:, None] < SIDE // 2, grey(mask, 75), grey(mask, 38))


def as_palette(mask):
    return mask.astype(np.uint8)


CODINGS = {
    "grey128": (lambda m: grey(m, 128), 1, "labels 0 and 128"),
    "alpha": (in_alpha, 1, "labels 0 and 255"),
    "luminance": (two_classes, 2, "labels 0, 38 and 75"),
    "one": (lambda m: grey(m, 1), 1, "labels 0 and 1"),
    "rgb": (lambda m: np.repeat(grey(m)[..., None], 3, -1), 1, "labels 0 and 255"),
    "16 bits": (lambda m: (m * 65535).astype(np.uint16), 1, "labels 0 and 65535"),
}


@pytest.mark.parametrize("name", CODINGS)
def test_a_coding_is_the_same_by_every_command(name, tmp_path):
    write, classes, said = CODINGS[name]
    root = folder(tmp_path / "data", write)
    area = np.mean([mask.mean() for *_, mask in pictures()])
    store = prepared(root, tmp_path / "cache", size=SIDE)["full"]
    assert len(store.classes) == classes and said in store.taken
    assert f"{100 * area:.0f} % of the frame" in store.taken
    assert np.mean(store.masks > 0) == pytest.approx(area)
    seen = measure_folder("d", root / "masks")
    assert said in seen.taken[0] and seen.area.mean() == pytest.approx(area)
    found = read_predictions(root / "masks", [("m", root / "masks")])
    assert audit_predictions(found.items, ["m"]).score("m", "all", "dice").value == 1
    frames = frames_with_truth(root / "masks", root / "images")
    assert frames.masks.coding.n_classes == classes
    image, mask = frames.read(frames.items[0][1])
    assert image[mask > 0].mean() > 3 * image[mask == 0].mean()


def jpeg_indices(tmp_path):
    return folder(tmp_path, lambda m: grey(m, 2), "jpg", quality=95), "JPEG spoils class indices"


def photographs(tmp_path):
    """The pictures in place of the masks, which stay below 255."""
    for name, image, _ in pictures():
        for part in ("images", "masks"):
            put(image[..., 0], tmp_path, part, f"{name}.png")
    return tmp_path, "as a photograph"


def mixed(tmp_path):
    root = folder(tmp_path, grey)
    put(grey(next(pictures())[2], 1), root, "masks", "a3.png")
    return root, "use one for all"


def other_sizes(tmp_path):
    root = folder(tmp_path, grey)
    put(np.zeros((9, 9), np.uint8), root, "masks", "a3.png")
    return root, r"a3\.png: 9×9 pixels but|a3\.png: .*9×9"


@pytest.mark.parametrize("make", [jpeg_indices, photographs, mixed, other_sizes])
def test_what_cannot_be_read_is_refused_by_every_command(make, tmp_path):
    root, words = make(tmp_path / "data")
    good = folder(tmp_path / "good", grey) / "masks"

    def frames():
        found = frames_with_truth(root / "masks", root / "images")
        for _, paths in found.items:
            found.read(paths)

    def predictions():
        found = read_predictions(good, [("m", root / "masks")])
        list(found.items)
        if found.left_out:
            raise JaxsegError(found.left_out[0])

    commands = [lambda: prepared(root, tmp_path / "cache"), frames, predictions]
    if make is not other_sizes:
        commands.append(lambda: measure_folder("d", root / "masks"))
    if make is mixed:
        commands.remove(predictions)
    for command in commands:
        with pytest.raises(JaxsegError, match=words) as caught:
            command()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tag", [3, 6, 8])
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_the_orientation_tag_is_applied_by_every_command(tag, suffix, tmp_path):
    exif = PIL.Image.Exif()
    exif[274] = tag
    turns = {3: 2, 6: 1, 8: 3}  # counterclockwise quarter turns from what is shown to what is kept
    for name, image, mask in pictures(side=96):
        kept = np.ascontiguousarray(np.rot90(image, turns[tag]))
        put(kept, tmp_path, "images", f"{name}.{suffix}", exif=exif, quality=95)
        put(grey(mask), tmp_path, "masks", f"{name}.png")
    store = prepared(tmp_path, tmp_path / "cache", size=96)["full"]
    assert "8 of 8 images carry an orientation tag, which is applied" in store.cautions[0]
    frames = frames_with_truth(tmp_path / "masks", tmp_path / "images")
    read = [frames.read(paths) for _, paths in frames.items]
    for pairs in (zip(store.images[:, 0], store.masks[:, 0]), read):
        for image, mask in pairs:
            inner = cv2.erode((mask > 0).astype(np.uint8), np.ones((5, 5))) > 0
            outer = cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5))) == 0
            assert abs(image[inner].mean() - OBJECT) < 8 and abs(image[outer].mean() - AROUND) < 5


PREDICTED = {
    **{f"{on}": (lambda m, on=on: grey(m, on)) for on in (1, 128, 254, 255)},
    "probability": lambda m: (cv2.GaussianBlur(grey(m), (5, 5), 1) * 0.98).astype(np.uint8),
}


@pytest.mark.parametrize("kind", PREDICTED)
def test_predictions_of_any_coding_have_the_same_score(kind, tmp_path):
    expected = []
    for name, _, mask in pictures(12):
        moved = np.roll(mask, 2, 1)
        put(grey(mask), tmp_path, "truth", f"{name}.png")
        put(PREDICTED[kind](moved), tmp_path, "pred", f"{name}.png")
        expected.append(2 * (mask & moved).sum() / (mask.sum() + moved.sum()))
    found = read_predictions(tmp_path / "truth", [("m", tmp_path / "pred")])
    audit = audit_predictions(found.items, ["m"])
    score = audit.score("m", "all", "dice_per_image").value
    assert score == pytest.approx(np.mean(expected), abs=0.005 if kind == "probability" else 1e-9)
    assert len(found.taken) == 2 and "truth: 12 files, labels 0 and 255" in found.taken[0]


def test_pictures_and_several_masks_in_one_folder(tmp_path):
    rng = np.random.default_rng(0)
    first = {}
    for k in range(1, 13):
        mask = disc(96, *rng.integers(30, 76, 2), 10)
        scan = np.clip(rng.normal(90, 20, (96, 96)) - 50 * mask, 0, 240).astype(np.uint8)
        put(scan, tmp_path, "benign", f"benign ({k}).png")
        put(grey(mask), tmp_path, "benign", f"benign ({k})_mask.png")
        if k % 4 == 0:
            put(grey(disc(96, 8, 8, 5)), tmp_path, "benign", f"benign ({k})_mask_1.png")
        put(grey(np.roll(mask, 1, 0)), tmp_path, "pred", f"benign ({k}).png")
        first[k] = 2 * (mask & np.roll(mask, 1, 0)).sum() / (2 * mask.sum())
    seen = measure_folder("d", tmp_path / "benign")
    assert len(seen.ids) == 12 and np.mean(seen.n_objects > 1) == 0.25
    assert "12 pictures lie among the masks" in seen.taken[1] and "joined" in seen.taken[0]
    store = prepared(tmp_path / "benign", tmp_path / "cache", size=96)["full"]
    assert len(store.ids) == 12 and "3 of 12 pictures have several masks" in store.cautions[0]

    from jaxseg.data.mask_coding import MaskOptions
    from jaxseg.data.sources import Reading

    def dice(several):
        reading = Reading(truth=MaskOptions(several=several))
        found = read_predictions(tmp_path / "benign", [("m", tmp_path / "pred")], reading=reading)
        return audit_predictions(found.items, ["m"]).score("m", "all", "dice_per_image").value

    assert dice("first") == pytest.approx(np.mean(list(first.values())))
    assert dice("join") < dice("first")


def test_masks_that_are_all_empty_are_refused_by_every_command(tmp_path):
    root = folder(tmp_path / "data", lambda mask: grey(mask, 0))
    masks, images = root / "masks", root / "images"
    for command in (
        lambda: prepared(root, tmp_path / "cache"),
        lambda: measure_folder("d", masks),
        lambda: audit_predictions(read_predictions(masks, [("m", masks)]).items, ["m"]),
        lambda: frames_with_truth(masks, images),
    ):
        with pytest.raises(JaxsegError, match="all 8 masks are empty"):
            command()


def cautions_of(root, cache, size=32, **splits):
    chosen = {"train_split": "train[:80%]", "test_split": "train[80%:]", **splits}
    data = DataConfig(name="folders", **chosen)
    train = prepared(root, cache, data.train_split, size)
    test = prepared(root, cache, data.test_split, size)
    return " ".join(data_cautions(data, train, {}, test))


def test_masks_that_resizing_empties_are_reported(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(10):
        mask = disc(512, *rng.integers(80, 430, 2), 3 if k % 2 else 60)
        put(np.where(mask, 200, 40).astype(np.uint8), tmp_path, "images", f"a{k}.png")
        put(grey(mask), tmp_path, "masks", f"a{k}.png")
    told = cautions_of(tmp_path, tmp_path / "cache", test_split="train[40%:]")
    store = prepared(tmp_path, tmp_path / "cache", "train[:80%]")["full"]
    lost = sum(not mask.any() for mask in store.masks)
    assert lost > 1 and f"{lost} of 8 training images have a mask that becomes empty" in told
    assert "or more no mask would become empty" in told
    assert "empty" not in cautions_of(tmp_path, tmp_path / "cache", size=256)
    small = tmp_path / "small"
    for name, mask in (("a", disc(512, 101, 105, 3)), ("b", disc(512, 205, 201, 3))):
        put(grey(mask), small, "images", f"{name}.png")
        put(grey(mask), small, "masks", f"{name}.png")
    with pytest.raises(JaxsegError, match=r"all 2 masks are empty; resizing has .* data\.size="):
        prepared(small, tmp_path / "cache", size=16)


def test_split_folders_that_are_not_used_are_reported(tmp_path):
    for part, n, seed in (("train", 10, 0), ("val", 4, 1), ("test", 6, 2)):
        for name, image, mask in pictures(n, seed=seed):
            put(image, tmp_path, part, "images", f"{name}.png")
            put(grey(mask), tmp_path, part, "masks", f"{name}.png")
    told = cautions_of(tmp_path, tmp_path / "cache")
    assert "validation (4 images) and test (6 images) of data.manual_dir are not used" in told
    assert "--config.data.test_split=test" in told
    used = cautions_of(tmp_path, tmp_path / "cache", train_split="train", test_split="test")
    assert "test (6" not in used and "validation (4 images)" in used


def test_images_in_two_splits_are_reported_by_their_content(tmp_path):
    for part in ("train", "test"):
        for name, image, mask in pictures(8, seed=5):
            put(image, tmp_path, part, "images", f"{part}{name}.png")
            put(grey(mask), tmp_path, part, "masks", f"{part}{name}.png")
    told = cautions_of(tmp_path, tmp_path / "cache", train_split="train", test_split="test")
    assert "8 of 8 test images are training images too (testa" in told
    overlap = cautions_of(
        tmp_path, tmp_path / "cache", train_split="train[:80%]", test_split="train[50%:]"
    )
    assert "2 of 4 test images are training images too" in overlap
    apart = cautions_of(
        tmp_path, tmp_path / "cache", train_split="train[:50%]", test_split="train[50%:]"
    )
    assert "training images too" not in apart


def test_images_saved_again_in_another_split_are_reported(tmp_path):
    """Other bytes, the same pictures: as JPEG, smaller, brighter."""
    rng = np.random.default_rng(0)
    for k in range(10):
        scene = cv2.resize(rng.integers(0, 200, (6, 6, 3)).astype(np.uint8), (96, 96))
        mask = grey(disc(96, *rng.integers(20, 76, 2), 12))
        put(scene, tmp_path, "train", "images", f"a{k}.png")
        put(mask, tmp_path, "train", "masks", f"a{k}.png")
        if k < 3:
            again = cv2.resize(scene, (80, 80), interpolation=cv2.INTER_AREA) + np.uint8(20)
            put(again, tmp_path, "test", "images", f"b{k}.jpg", quality=80)
        else:
            other = cv2.resize(rng.integers(0, 200, (6, 6, 3)).astype(np.uint8), (80, 80))
            put(other, tmp_path, "test", "images", f"b{k}.jpg")
        put(mask[8:88, 8:88], tmp_path, "test", "masks", f"b{k}.png")
    told = cautions_of(tmp_path, tmp_path / "cache", train_split="train", test_split="test")
    assert "3 of 10 test images look like a training image" in told
    assert all(f"b{k} like a{k}" in told for k in range(3))
    assert "training images too" not in told


def test_inverted_masks_are_reported(tmp_path):
    root = folder(tmp_path / "data", lambda m: grey(~m))
    assert "look inverted" in cautions_of(root, tmp_path / "cache")
    assert "look inverted" in measure_folder("d", root / "masks").cautions[0]


def test_composed_and_decomposed_names_are_one(tmp_path):
    for k, (_, image, mask) in enumerate(pictures()):
        name = f"Läsion é {k}"
        put(image, tmp_path, "images", unicodedata.normalize("NFC", f"{name}.png"))
        put(grey(mask), tmp_path, "masks", unicodedata.normalize("NFD", f"{name}.png"))
    assert len(prepared(tmp_path, tmp_path / "cache")["full"].ids) == 8
    assert len(frames_with_truth(tmp_path / "masks", tmp_path / "images").items) == 8


def test_links_out_of_a_folder_are_read_by_every_command(tmp_path):
    plain = folder(tmp_path / "store", grey)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for file in sorted((plain / part).iterdir()):
            (tmp_path / "data" / part / file.name).symlink_to(file)
    store = prepared(tmp_path / "data", tmp_path / "cache")["full"]
    np.testing.assert_array_equal(store.masks, prepared(plain, tmp_path / "other")["full"].masks)
    seen = measure_folder("d", tmp_path / "data/masks", tmp_path / "data/images")
    assert len(seen.ids) == 8 and not seen.left_out


def test_labels_that_scaling_has_made_nearly_whole_are_read(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    for k in range(3):
        volume = np.stack([disc(48, 14 + k + z, 26, 7) for z in range(6)], -1).astype(np.float32)
        for part in ("images", "masks"):
            (tmp_path / part).mkdir(exist_ok=True)
            scaled = volume * np.float32(1.00000006)
            nibabel.save(nibabel.Nifti1Image(scaled, np.eye(4)), tmp_path / part / f"c{k}.nii.gz")
    assert len(measure_folder("d", tmp_path / "masks").ids) == 18
    store = prepared(tmp_path, tmp_path / "cache", size=48)["full"]
    assert len(store.ids) == 18 and store.masks.max() == 1
    assert "labels 0 and 1" in store.taken


def test_what_a_grid_was_given_is_on_its_page_and_terminal(tmp_path):
    """One run through the real entry point: masks in one folder, several, some lost by resizing."""
    rng = np.random.default_rng(0)
    for k in range(8):
        mask = disc(96, *rng.integers(20, 76, 2), 12 if k else 1)
        put(np.where(mask, 200, 40).astype(np.uint8), tmp_path, "data dir", f"f{k}.png")
        put(grey(mask), tmp_path, "data dir", f"f{k}_mask.png")
    put(grey(disc(96, 8, 8, 5)), tmp_path, "data dir", "f1_mask_1.png")
    fields = {"data.manual_dir": tmp_path / "data dir", "data.size": 16, "data.data_dir": tmp_path,
              "data.train_split": "train", "data.test_split": "train", "net.width": 2,
              "net.depth": 1, "optim.epochs": 1, "optim.batch_size": 4, "eval.border_px": 2,
              "eval.ring_width": 32}  # fmt: skip
    command = [sys.executable, "launch/grid.py", "--config=configs/padding_ablation.py:folders",
               f"--workdir={tmp_path / 'run #1'}", "--grid=padding=zeros", "--grid=crop=center",
               "--grid=seed=0"]  # fmt: skip
    command += [f"--config.{name}={value}" for name, value in fields.items()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "masks: 9 files, labels 0 and 255, read as background and 1 class" in done.stderr
    page = (tmp_path / "run #1/report.html").read_text()
    for told in ("1 of 8 pictures have several masks", "8 of 8 test images are training images too",
                 "1 of 8 training images have a mask that becomes empty"):  # fmt: skip
        assert told in " ".join(done.stdout.split()) and told in done.stderr and told in page
