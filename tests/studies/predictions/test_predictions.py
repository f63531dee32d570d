"""Counts by place equal the metrics' own; planted borders come back; pairs are paired by image."""

import itertools
import weakref

import cv2
import numpy as np
import pytest
from masks_with_objects import ellipses, erased, items, noisy

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.metrics import statistics
from jaxseg.metrics.bands import (
    N_RINGS,
    band_counts,
    border_depth,
    border_rings,
    centre_rings,
    square_rings,
)
from jaxseg.metrics.dice import dice, recall
from jaxseg.studies.predictions.counts import count_predictions, places
from jaxseg.studies.predictions.figures import choose_examples, example_rule
from jaxseg.studies.predictions.measures import (
    INDEX,
    PER_IMAGE,
    audit_predictions,
    border_labels,
    erased_border,
)


def two_models(n=12, seed=0):
    truth = ellipses(n, seed=seed, reach=0.1)
    return items(
        truth,
        [noisy(mask, 0.2, i) for i, mask in enumerate(truth)],
        [noisy(erased(mask, 5), 0.1, 99 - i) for i, mask in enumerate(truth)],
    )


@pytest.fixture(scope="module")
def audit():
    return audit_predictions(two_models(), ["plain", "eraser"], resamples=300)


def test_counts_equal_band_counts_class_by_class():
    rng = np.random.default_rng(0)
    truth, first, second = rng.integers(0, 4, (3, 5, 64, 64)).astype(np.uint8)
    counts = count_predictions(items(truth, first, second), ["a", "b"], border_px=3)
    classes = np.arange(1, 4)
    for rings, found in (
        (square_rings(64, 2.5), counts.centre),
        (np.minimum(border_rings(64, 3), 15), counts.border),
    ):
        expected = band_counts(
            np.stack([first, second])[..., None] == classes, truth[..., None] == classes, rings
        )
        n = expected.shape[2]
        np.testing.assert_array_equal(found.swapaxes(0, 1)[:, :, :n], expected)
        assert not found[:, :, n:].any()
    rings = border_rings(64, 1)
    for depth, cls in ((0, 1), (7, 3), (31, 2)):
        ours, true = (mask[:, rings == depth] == cls for mask in (first, truth))
        expected = [(ours & true).sum(), (ours & ~true).sum(), (~ours & true).sum()]
        assert counts.depth[0, depth, cls - 1].tolist() == expected


def test_classes_may_first_appear_in_a_later_image():
    masks = ellipses(4)
    counts = count_predictions(items(masks * np.uint8([[[1]], [[3]], [[1]], [[2]]]), masks), ["m"])
    assert counts.centre.shape[3] == 3
    total = counts.centre.sum(axis=(0, 1, 2))
    areas = masks.sum(axis=(1, 2))
    np.testing.assert_array_equal(total[0], [areas[0] + areas[2], areas[1] + areas[3], 0])
    np.testing.assert_array_equal(total[1:, 2], [areas[3], areas[1]])


def test_frames_of_several_sizes_share_the_rings_about_the_centre():
    truth, prediction = ellipses(2, (128, 256), seed=4)
    larger = [mask.repeat(2, axis=0).repeat(2, axis=1) for mask in (truth, prediction)]
    counts = count_predictions([("a", truth, prediction), ("b", *larger)], ["m"])
    np.testing.assert_array_equal(4 * counts.centre[0], counts.centre[1])
    assert counts.shapes == [(128, 256), (256, 512)]
    scaled = count_predictions([("a", truth, prediction), ("b", *larger)], ["m"], scale_to=32)
    np.testing.assert_array_equal(4 * scaled.border[0], scaled.border[1])


@pytest.mark.parametrize("k", [0, 3, 8, 17])
@pytest.mark.parametrize("shape", [(64, 64), (96, 128), (256, 256)])
def test_a_planted_erased_border_comes_back(k, shape):
    truth = ellipses(20, shape, seed=k, reach=0.1)
    predictions = [erased(mask, k) for mask in truth]
    audit = audit_predictions(items(truth, predictions), ["eraser"], resamples=50)
    assert audit.erased["eraser", "all"].px == k


@pytest.mark.parametrize("k", [0, 3, 8, 17])
def test_it_comes_back_from_a_poor_model_and_many_classes(k):
    truth = ellipses(30, seed=k, reach=0.1)
    truth[::2] *= 2
    predictions = [noisy(erased(mask, k), 0.7, i) for i, mask in enumerate(truth)]
    audit = audit_predictions(items(truth, predictions), ["eraser"], resamples=50)
    assert {audit.erased["eraser", cls].px for cls in audit.classes} == {k}


@pytest.mark.parametrize("k", [0, 3, 8, 17])
def test_it_comes_back_in_pixels_of_the_networks_frame(k):
    truths = [
        ellipses(1, shape, seed=i, reach=0.1)[0]
        for i, shape in enumerate([(128, 128), (256, 128), (128, 256)] * 8)
    ]
    predictions = [erased(mask, k, scale_to=64) for mask in truths]
    found = count_predictions(items(truths, predictions), ["eraser"], scale_to=64)
    assert erased_border(found.depth[0, :, 0]).px == k


def test_it_comes_back_on_real_lesions(real_data):
    folder = real_data / "isic2017" / "ISIC-2017_Validation_Part1_GroundTruth"
    paths = sorted(folder.glob("*.png"))
    truth = [(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8) for path in paths]
    audit = audit_predictions(items(truth, [erased(mask, 8) for mask in truth]), ["eraser"])
    assert audit.erased["eraser", "all"].px == 8
    assert audit.score("eraser", "inner-outer", INDEX).value == 1
    assert 0.4 < audit.score("fixed mask", "all", PER_IMAGE).value < 0.6


def test_erased_borders_by_hand():
    def found(recalls, truth=100):
        recalls = np.array(recalls)
        return erased_border(np.stack([truth * recalls, 0 * recalls, truth * (1 - recalls)], 1))

    assert found([0, 0, 0.9, 0.9]).px == 2
    assert found([0.04, 0.04, 0.9, 0.9]).px == 2
    # One px within a larger margin may pass the limit, the margin's own recall may not.
    assert found([0, 0.06, 0, 0, 0, 0.9, 0.9]).px == 5
    assert found([0.2, 0, 0, 0.9]).px == 0
    assert found([0.9, 0, 0.9]).px == 0
    assert found([0, 0, 0]).px == 0 and found([0, 0, 0]).recall_beyond == 0
    centred = found([0.5, 0.5, 0.9], truth=np.array([0, 0, 100]))
    assert (centred.px, centred.first_px) == (0, 2)
    assert found([0.0, 0.0, 0.9], truth=np.array([0, 0, 100])).px == 0


def test_numbers_and_intervals_equal_the_grids_with_one_seed(audit):
    border = audit.counts.border.sum(axis=3, keepdims=True)
    outer_inner = np.concatenate([border[:, :, :1], border[:, :, 1:].sum(2, keepdims=True)], 2)
    index = statistics.difference(
        statistics.pooled(recall, bands=[1]), statistics.pooled(recall, bands=[0])
    )
    clusters = np.arange(12)
    for k, model in enumerate(["plain", "eraser"]):
        arm = outer_inner[None, :, k]
        for band, metric, statistic in (
            ("inner-outer", INDEX, index),
            ("outer", "recall", statistics.pooled(recall, bands=[0])),
            ("all", "dice", statistics.pooled(dice)),
            ("all", PER_IMAGE, statistics.per_image(dice)),
        ):
            theirs = statistics.estimate(arm, statistic, clusters=clusters, resamples=300)
            ours = audit.score(model, band, metric)
            np.testing.assert_allclose([ours.value, ours.ci_low, ours.ci_high], theirs[:3])
    arms = [outer_inner[None, :, 1], outer_inner[None, :, 0]]
    theirs = statistics.contrast(arms, [1, -1], index, clusters=clusters, resamples=300)
    ours = next(row for row in audit.differences if row.metric == INDEX)
    np.testing.assert_allclose([ours.difference, ours.ci_low, ours.ci_high], theirs[:3])
    assert (ours.arm_a, ours.arm_b) == ("eraser", "plain")


def test_p_is_that_of_all_exchanges_of_predictions():
    pairs = two_models(n=6, seed=5)
    audit = audit_predictions(pairs, ["a", "b"], resamples=20)
    border = audit.counts.border.sum(axis=3)

    def difference(swapped, metric):
        order = np.where(np.array(swapped)[:, None], [1, 0], [0, 1])
        sums = np.take_along_axis(border, order[:, :, None, None], axis=1).sum(axis=0)
        outer, inner = recall(sums[:, 0]), recall(sums[:, 1:].sum(axis=1))
        a, b = inner - outer if metric == INDEX else outer
        return abs(b - a)

    for metric in (INDEX, "recall"):
        row = next(row for row in audit.differences if row.metric == metric)
        all_swaps = itertools.product([False, True], repeat=6)
        values = [difference(swapped, metric) for swapped in all_swaps]
        assert row.difference == pytest.approx(values[0]) or row.difference < 0
        assert row.p == pytest.approx(np.mean(np.array(values) >= values[0] - 1e-12))


def test_a_model_against_itself_shows_nothing():
    truth = ellipses(10)
    audit = audit_predictions(items(truth, truth, truth), ["a", "b"], resamples=50)
    for row in audit.differences[:3]:
        assert (row.difference, row.ci_low, row.ci_high, row.p) == (0, 0, 0, 1)


def test_the_baseline_is_a_fixed_mask_scored_like_a_model():
    truth = np.zeros((8, 64, 64), np.uint8)
    truth[:, 16:48, 16:48] = 1
    audit = audit_predictions(items(truth, [noisy(m, 0.5, 0) for m in truth]), ["m"], resamples=20)
    assert audit.models == ["m", "fixed mask"]
    for band in ("all", "inner", "centre:38", "border:16-24"):
        assert audit.score("fixed mask", band, "dice").value == pytest.approx(1)
    assert audit.score("fixed mask", "outer", "dice").n_images == 0
    (row,) = audit.differences
    own = audit.score("m", "all", PER_IMAGE).value
    assert (row.arm_a, row.arm_b) == ("m", "fixed mask")
    assert row.difference == pytest.approx(own - 1) and row.p == 2 / 2**8


def test_the_baseline_loses_the_border_where_objects_are_central():
    truth = ellipses(40, seed=3, reach=-0.3)
    audit = audit_predictions(items(truth, truth), ["m"], resamples=100)
    assert audit.score("fixed mask", "inner-outer", INDEX).ci_low > 0.5
    assert audit.differences[0].ci_low > 0


def test_empty_images_follow_the_rule_and_are_counted():
    blank = np.zeros((64, 64), np.uint8)
    truth = [*ellipses(4), blank, blank]
    prediction = [*truth[:5], truth[0]]
    means = {}
    for empty in ("nan", "one", "smooth1"):
        audit = audit_predictions(items(truth, prediction), ["m"], empty=empty, resamples=20)
        means[empty] = audit.score("m", "all", PER_IMAGE)
    assert means["nan"].value == pytest.approx(4 / 5) and means["nan"].n_left_out == 1
    assert means["one"].value == pytest.approx(5 / 6) and means["one"].n_left_out == 0
    area = truth[0].sum()
    assert means["smooth1"].value == pytest.approx((5 + 1 / (area + 1)) / 6)
    fixed = audit.score("fixed mask", "all", "recall")
    assert (fixed.n_images, fixed.n_left_out) == (4, 2)
    # The baseline is told which images are empty and earns nothing by it.
    assert audit.score("fixed mask", "all", PER_IMAGE).n_images == 4
    assert audit.differences[0].n_images == 4


def test_one_image_has_numbers_and_no_interval():
    truth = ellipses(1)
    audit = audit_predictions(items(truth, truth), ["m"], resamples=20)
    score = audit.score("m", "all", PER_IMAGE)
    assert score.value == 1 and np.isnan([score.ci_low, score.ci_high]).all()
    assert audit.models == ["m"] and audit.differences == []


def test_misfits_are_left_out_by_name_and_the_rest_goes_on():
    truth = ellipses(3)
    pairs = items(truth, truth)
    pairs[1] = ("odd", truth[1], truth[1][:32])
    counts = count_predictions(pairs, ["m"])
    assert counts.ids == ["case000", "case002"]
    assert counts.left_out == [
        "odd: prediction of m has 32×64 pixels, its truth 64×64; the sizes must agree"
    ]
    unread = ["b.png: damaged"]
    assert count_predictions(pairs, ["m"], left_out=unread).left_out is unread
    assert len(unread) == 2
    with pytest.raises(JaxsegError, match="the first of 2 left out: b"):
        count_predictions(pairs[1:2], ["m"], left_out=["b.png: damaged"])
    with pytest.raises(JaxsegError, match="no pair of truth and prediction can be used"):
        count_predictions([], ["m"])


@pytest.mark.parametrize(
    "change, words",
    [
        ({"names": ["m", "m"]}, "all different"),
        ({"names": []}, "must be one a model"),
        ({"names": ["fixed mask"]}, "is the baseline's"),
        ({"border_px": 0}, "border_px=0"),
        ({"scale_to": 1}, "scale_to=1"),
        ({"empty": "zero"}, "must be one of nan, one, smooth1"),
        ({"items": [("x", np.ones((4, 4), np.uint8))]}, "x: 0 predictions for 1 models"),
        ({"items": [("x", *np.ones((2, 4, 4)))]}, "x: mask .* dtype float64"),
        ({"items": [("x", *np.ones((2, 4, 4, 3), bool))]}, r"shape \(4, 4, 3\)"),
    ],
)
def test_wrong_arguments_are_refused(change, words):
    arguments = {"items": items(ellipses(2), ellipses(2)), "names": ["m"]} | change
    with pytest.raises(UsageError, match=words):
        audit_predictions(**arguments)


def test_nothing_to_find_is_an_error():
    blank = np.zeros((3, 16, 16), np.uint8)
    with pytest.raises(JaxsegError, match="truth: all 3 masks are empty"):
        count_predictions(items(blank, blank + 1), ["m"])


def test_masks_are_dropped_as_the_pass_goes_on():
    alive = []

    def stream():
        for i in range(30):
            mask = ellipses(1, seed=i)[0].copy()
            alive.append(weakref.ref(mask))
            yield f"{i}", mask, mask.copy()
            del mask
            assert sum(ref() is not None for ref in alive) <= 2

    assert len(count_predictions(stream(), ["m"]).ids) == 30


def test_examples_follow_their_rule():
    truth = ellipses(5, seed=7, reach=0.1)
    truth[:, 20:44, 20:44] = 1
    shares = [0.3, 0.0, 0.5, 0.1, 0.2]
    inside = [noisy(mask, share, i) for i, (mask, share) in enumerate(zip(truth, shares))]
    first = np.where(border_rings(64, 1) < 8, truth, inside)
    first[3, :8] = 1 - truth[3, :8]
    counts = count_predictions(items(truth, first), ["m"])
    chosen = choose_examples(counts)
    score = dice(counts.centre.sum(axis=(1, 2, 3)))
    left = [i for i in np.argsort(score) if i != 3]
    assert [one.index for one in chosen] == [3, np.argsort(score)[2], left[-1]]
    assert [one.label for one in chosen] == [
        "largest disagreement near the border",
        "median Dice",
        "best Dice",
    ]
    assert "within 8 px of the border on which prediction and truth differ" in example_rule(counts)


def test_with_two_models_their_own_disagreement_counts():
    truth = ellipses(3, seed=1, reach=0.1)
    wrong = truth.copy()
    wrong[0, :8] = 1 - wrong[0, :8]
    other = wrong.copy()
    other[2, :2] = 1 - other[2, :2]
    counts = count_predictions(items(truth, wrong, other), ["a", "b"])
    assert choose_examples(counts)[0].index == 2
    assert counts.disagreement[0] == 0
    assert counts.disagreement[2] == pytest.approx(128 / (border_rings(64, 8) == 0).sum())


def test_labels_of_the_rings_by_border():
    labels = border_labels(8)
    assert labels[0] == "border:0-8" and labels[-1] == "border:120-" and len(labels) == 16


def test_places_hold_both():
    place, n_depths = places((30, 44))
    depth, ring = np.divmod(place.reshape(30, 44), N_RINGS)
    np.testing.assert_array_equal(depth, border_depth((30, 44)))
    np.testing.assert_array_equal(ring, centre_rings((30, 44)))
    assert n_depths == 15
