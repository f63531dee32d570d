"""Runs of other frameworks as results: found by pattern, read, paired, and what is missing told."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics.bands import border_depth
from jaxseg.studies import position
from jaxseg.studies.foreign_runs import find_runs, read_runs
from jaxseg.studies.rows import value_of

SIDE = 256  # distances are pixels of such a frame
IMAGES = 12
PATTERN = "runs/{arm}/seed{seed}"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Truths of squares, and two arms of three seeds: one erases 20 px along the border, one 2."""
    root = tmp_path_factory.mktemp("foreign")
    rng = np.random.default_rng(0)
    (root / "masks").mkdir()
    for k in range(IMAGES):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        top, left = rng.integers(0, SIDE - 80, 2)
        mask[top : top + 80, left : left + 80] = 1
        if k % 2:
            mask[:40, 100:140] = 1
        save(root / "masks" / f"im{k}.png", mask * 255)
        for arm, width in (("wide", 20), ("narrow", 2)):
            for seed in range(3):
                kept = border_depth((SIDE, SIDE)) >= width + seed
                save(root / "runs" / arm / f"seed{seed}" / f"im{k}.png", mask * kept * 255)
    return root


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def load(path):
    return np.asarray(Image.open(path)) > 127


def border_recall(home, arm, seed, names=None, zone=8):
    """By hand: of all true pixels within 8 px of the border, how many are found."""
    near = border_depth((SIDE, SIDE)) < zone
    hit = true = 0
    for path in sorted((home / "masks").glob("*.png")):
        if names is None or path.stem in names:
            truth = load(path) & near
            hit += (load(home / "runs" / arm / f"seed{seed}" / path.name) & truth).sum()
            true += truth.sum()
    return hit / true


def read(home, pattern=PATTERN, arms=("wide", "narrow"), **options):
    runs = find_runs(str(home / pattern), arms)
    return runs, read_runs(runs, home / "masks", resamples=100, **options)


def test_recall_and_difference_are_those_counted_by_hand(home):
    _, found = read(home)
    findings = position.findings(found.results)
    for arm in ("wide", "narrow"):
        row = value_of(findings.estimates, arm, "given", "outer", "recall")
        assert row.value == pytest.approx(np.mean([border_recall(home, arm, s) for s in range(3)]))
        assert (row.n_seeds, row.n_images) == (3, IMAGES)
    (row,) = (r for r in findings.contrasts if (r.metric, r.band) == ("recall", "outer"))
    expected = [border_recall(home, "narrow", s) - border_recall(home, "wide", s) for s in range(3)]
    assert (row.arm_a, row.arm_b, row.difference) == (
        "narrow",
        "wide",
        pytest.approx(np.mean(expected)),
    )
    assert found.notes == [] and found.left_out == []


def test_an_image_that_one_run_lacks_is_left_out_of_the_pair_and_named(home, tmp_path):
    copy(home, tmp_path)
    (tmp_path / "runs/narrow/seed1/im3.png").unlink()
    _, found = read(tmp_path)
    assert any("narrow, seed 1, lacks 1 image" in n and "(im3)" in n for n in found.notes)
    (row,) = (
        r
        for r in position.findings(found.results).contrasts
        if (r.metric, r.band) == ("recall", "outer")
    )
    without = {f"im{k}" for k in range(IMAGES) if k != 3}
    expected = [
        border_recall(home, "narrow", s, without if s == 1 else None)
        - border_recall(home, "wide", s, without if s == 1 else None)
        for s in range(3)
    ]
    assert row.difference == pytest.approx(np.mean(expected))


def test_a_seed_that_one_arm_lacks_is_left_out_of_the_pair_and_named(home, tmp_path):
    copy(home, tmp_path)
    for path in (tmp_path / "runs/narrow/seed2").iterdir():
        path.unlink()
    (tmp_path / "runs/narrow/seed2").rmdir()
    _, found = read(tmp_path)
    assert found.results.seeds == {"wide": (0, 1, 2), "narrow": (0, 1)}
    assert any("narrow lacks 1 seed that another arm has (2)" in n for n in found.notes)
    assert {r.n_seeds for r in position.findings(found.results).contrasts} == {2}


def test_folds_hold_different_images_and_are_compared_fold_by_fold(home, tmp_path):
    for path in sorted((home / "masks").glob("*.png")):
        save(tmp_path / "masks" / path.name, load(path) * 255)
        fold = int(path.stem.removeprefix("im")) % 3
        for arm in ("wide", "narrow"):
            mask = load(home / f"runs/{arm}/seed0/{path.name}")
            save(tmp_path / f"{arm}/fold_{fold}/validation" / path.name, mask)
    _, found = read(tmp_path, "{arm}/fold_{seed}/validation")
    (row,) = (
        r
        for r in position.findings(found.results).contrasts
        if (r.metric, r.band) == ("recall", "outer")
    )
    folds = [{f"im{k}" for k in range(f, IMAGES, 3)} for f in range(3)]
    expected = [
        border_recall(home, "narrow", 0, f) - border_recall(home, "wide", 0, f) for f in folds
    ]
    assert row.difference == pytest.approx(np.mean(expected)) and row.n_images == IMAGES


def copy(home, target):
    for path in home.rglob("*.png"):
        save(target / path.relative_to(home), np.asarray(Image.open(path)))


def test_masks_of_0_and_1_are_those_of_0_and_255_and_other_sizes_are_named(home, tmp_path):
    copy(home, tmp_path)
    for path in (tmp_path / "runs/wide/seed0").iterdir():
        save(path, load(path) * 1)
    save(tmp_path / "runs/narrow/seed0/im0.png", np.ones((64, 64)) * 255)
    _, found = read(tmp_path)
    row = value_of(position.findings(found.results).estimates, "wide", "given", "outer", "recall")
    assert row.value == pytest.approx(np.mean([border_recall(home, "wide", s) for s in range(3)]))
    assert any("64" in line and "im0.png" in line for line in found.left_out)
    assert any("narrow, seed 0, lacks 1 image" in note for note in found.notes)


@pytest.mark.parametrize(
    "pattern, arms, message",
    [
        ("runs/wide/seed{seed}", [], r"must hold \{arm\} once"),
        ("runs/{arm}/seed0", [], r"must hold \{seed\} once"),
        ("runs/{arm}/{arm}{seed}", [], r"must hold \{arm\} once"),
        ("runs/{arm}/{fold}/{seed}", [], r"'\{fold\}' is unknown; known are \{arm\} and \{seed\}"),
        ("runs/{arm}/nothing{seed}", [], r"no folder matches"),
        ("runs/{arm}/seed{seed}", ["wide", "broad"], r"--arms 'broad': no folder of that arm"),
    ],
)
def test_patterns_that_cannot_be_used_are_one_line(home, pattern, arms, message):
    with pytest.raises(UsageError, match=message) as error:
        find_runs(str(home / pattern), arms)
    assert "\n" not in str(error.value)


def test_two_folders_of_one_seed_are_refused(tmp_path):
    for name in ("a/seed1/x", "a/seed01/x"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"arm 'a', seed 1: .* both match"):
        find_runs(str(tmp_path / "{arm}/seed{seed}"))


def test_arms_are_found_by_name_in_order_and_files_are_no_runs(home):
    runs = find_runs(str(home / PATTERN))
    assert [(run.arm, run.seed) for run in runs] == [
        (arm, seed) for arm in ("narrow", "wide") for seed in range(3)
    ]
    assert all(pathlib.Path(run.folder).is_dir() for run in runs)


def test_a_run_whose_files_have_no_truth_is_named(home, tmp_path):
    copy(home, tmp_path)
    for path in (tmp_path / "runs/narrow/seed1").iterdir():
        path.rename(path.with_name(f"other_{path.name}"))
    with pytest.raises(JaxsegError, match=r"narrow, seed 1") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
