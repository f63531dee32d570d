"""What an audit of predictions says: sentences with their numbers, tables that fit, figures."""

import math

import numpy as np
import pytest

from jaxseg.metrics.bands import border_rings
from jaxseg.report.plot import rendered
from jaxseg.studies import predictions as study
from jaxseg.studies.folders import Predicted
from jaxseg.studies.predictions import to_section
from jaxseg.studies.predictions.figures import Shown, choose_examples, model_styles, shown_depths
from jaxseg.studies.predictions.measures import audit_predictions


def discs(n, seed=0, size=64, at=(0.0, 1.0)):
    """uint8 [n, size, size]: discs whose centres lie anywhere in `at`, in frame fractions."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size)) / size
    centres, radius = rng.uniform(*at, (n, 2)), rng.uniform(0.15, 0.3, n)
    inside = [np.hypot(y - cy, x - cx) < r for (cy, cx), r in zip(centres, radius)]
    return np.array(inside, np.uint8)


def lost(masks, share, seed=0):
    return masks * (np.random.default_rng(seed).random(masks.shape) >= share)


def without_border(masks, k):
    return masks * (border_rings(masks.shape[-1], 1) >= k)


def audit_of(truth, *predictions, names=("first", "second"), **options):
    items = [(f"case{i}", *masks) for i, masks in enumerate(zip(truth, *predictions))]
    chosen = list(names[: len(predictions)])
    return audit_predictions(items, chosen, **({"resamples": 200} | options))


@pytest.fixture(scope="module")
def both():
    truth = discs(30)
    predictions = [lost(truth, 0.1), without_border(lost(truth, 0.1, seed=1), 8)]
    audit = audit_of(truth, *predictions, names=("sound", "eraser"))
    shown = [
        Shown(c, truth[c.index], [p[c.index] for p in predictions], None)
        for c in choose_examples(audit.counts)
    ]
    return audit, to_section(audit, shown)


def said(outcome):
    return "\n".join(outcome.verdict)


def test_the_verdict_holds_the_numbers_and_the_rules(both):
    audit, outcome = both
    inner = audit.score("eraser", "inner", "recall").value
    outer = audit.score("sound", "outer", "recall")
    assert (
        f"eraser: finds 0 % of the object within 8 px of the border, {100 * inner:.0f} % inside"
        in said(outcome)
    )
    assert f"across 30 images of one model, {outer.n_images} of them with an object there" in said(
        outcome
    )
    assert "Less is found at the border than inside." in outcome.verdict[1]
    assert "Erased border of sound: none." in outcome.verdict
    assert "Erased border of eraser: 8 px. Within this distance of the border it finds 0 %" in said(
        outcome
    )
    fixed = audit.score("fixed mask", "all", "dice_per_image").value
    assert f"A fixed mask that ignores the image reaches Dice {fixed:.3f}, sound" in said(outcome)
    assert "better than position alone" in said(outcome)
    assert "eraser against sound, recall at the border: −0." in said(outcome)
    assert outcome.verdict[-1].startswith("Rules:") and "below 5 % of" in outcome.verdict[-1]


def test_no_difference_is_said_with_its_interval(both):
    _, outcome = both
    assert outcome.verdict[0].endswith("No difference shown.")
    assert "[−0.0" in outcome.verdict[0] or "[0.0" in outcome.verdict[0]


def test_equal_models_are_not_told_apart():
    truth = discs(12)
    sentences = said(to_section(audit_of(truth, lost(truth, 0.2), lost(truth, 0.2, seed=1))))
    assert sentences.count("no difference shown.") >= 2


def test_one_image_gives_no_verdict_but_numbers():
    truth = discs(1, at=(0.1, 0.2))
    outcome = to_section(audit_of(truth, truth))
    assert "One image gives no interval, so no verdict." in outcome.verdict[0]
    assert any("Too few images with an object for the fixed mask" in note for note in outcome.notes)
    assert [table.name for table in outcome.tables if table.name == "prediction_differences"] == []


def test_what_cannot_be_said_is_said():
    truth = discs(12, at=(0.5, 0.5))
    sentences = said(to_section(audit_of(truth, truth)))
    assert "no object lies within 8 px of the border in any of the 12 images" in sentences
    assert "so nothing can be said of what it does there" in sentences
    assert "first finds nothing anywhere" in said(to_section(audit_of(truth, 0 * truth)))


def test_notes_name_what_is_odd_and_left_out():
    truth = discs(6)
    truth[5] = 0
    prediction = truth.copy()
    prediction[0] *= 2
    items = [(f"{i}", t, p) for i, (t, p) in enumerate(zip(truth, prediction))]
    items += [("large", *np.ones((2, 96, 80), np.uint8)), ("odd", truth[0], truth[0, :9])]
    outcome = to_section(audit_predictions(items, ["m"], resamples=50))
    notes = "\n".join(outcome.notes)
    assert "Class 2 is predicted but never true" in notes
    assert "Frames have 2 sizes, 64 to 96 px high" in notes
    assert "1 image of 7 without an object" in notes
    assert "1 image left out of m's Dice per image" in notes
    assert "images with an object within 8 px of the border: intervals from so few" in notes
    assert outcome.left_out == [
        "odd: prediction of m has 9×64 pixels, its truth 64×64; the sizes must agree"
    ]


def test_a_lower_index_without_recall_at_the_border_is_no_cure():
    truth = discs(40)
    sound = without_border(truth, 4)
    hollow = np.where(border_rings(64, 1) < 8, sound, lost(truth, 0.5))
    outcome = to_section(audit_of(truth, sound, hollow))
    assert any("which is no cure" in note for note in outcome.notes)


def test_tables_are_rectangular_and_hold_every_model(both):
    audit, outcome = both
    tables = {table.name: table for table in outcome.tables}
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
    main = tables["predictions"]
    assert [row[0] for row in main.rows] == ["sound", "eraser", "fixed mask"]
    erased = main.columns.index("erased_px")
    assert [row[erased] for row in main.rows] == [0, 8, None]
    bands = tables["prediction_bands"]
    assert {row[2] for row in bands.rows} >= {"centre:128", "border:0-8", "inner-outer"}
    depths = tables["prediction_depths"]
    truth_px = sum(row[2] for row in depths.rows if row[0] == "sound")
    assert truth_px == audit.counts.depth[0, :, :, [0, 2]].sum()
    assert all(math.isnan(r[4]) or r[4] == pytest.approx(r[3] / r[2]) for r in depths.rows)


def test_pictures_are_drawn_and_described(both):
    audit, outcome = both
    names = [picture.name for picture in outcome.figures]
    assert names == ["prediction_bands", "prediction_depths", "prediction_examples"]
    for picture in outcome.figures:
        assert picture.alt and picture.title
        assert rendered(picture.figure, "png")[:4] == b"\x89PNG"
    assert "no image twice" in outcome.figures[-1].title
    assert "sound: recall" in outcome.figures[0].alt
    assert shown_depths(audit) == 24


def test_equal_audits_give_equal_files(both):
    audit, _ = both
    first, second = (to_section(audit).figures for _ in range(2))
    for one, other in zip(first, second):
        assert rendered(one.figure, "svg") == rendered(other.figure, "svg")


def test_axes_name_quantity_and_unit(both):
    audit, outcome = both
    for picture in outcome.figures[:2]:
        labels = [ax.get_xlabel() for ax in picture.figure.axes if ax.get_xlabel()]
        assert labels and all("px" in label for label in labels)
        assert all(ax.get_ylabel() for ax in picture.figure.axes)
    curve = outcome.figures[0].figure.axes[1].lines[1]
    assert curve.get_ydata()[0] == audit.score("eraser", "border:0-8", "recall").value == 0


def test_models_differ_in_more_than_colour():
    styles = model_styles(["a", "b", "c", "fixed mask"])
    assert len({(style.marker, str(style.dash)) for style in styles.values()}) == 4


def test_several_classes_get_a_panel_and_rows_each():
    truth = discs(10) + discs(10) * (np.indices((64, 64))[1] > 32)
    outcome = to_section(audit_of(truth, lost(truth, 0.2)))
    classes = next(p for p in outcome.figures if p.name == "prediction_classes")
    assert [ax.get_title() for ax in classes.figure.axes] == ["class 1", "class 2"]
    rows = outcome.tables[0].rows
    assert [row[:2] for row in rows[::2]] == [
        ("first", "all"),
        ("first", "class 1"),
        ("first", "class 2"),
    ]
    assert any("2 classes together" in note for note in outcome.notes)


def test_large_and_oblong_frames_are_drawn_whole():
    truth = np.zeros((2, 500, 900), np.uint8)
    truth[:, :300, 100:500] = 1
    audit = audit_of(truth, truth)
    image = np.zeros((500, 900, 3), np.uint8)
    shown = [Shown(c, truth[0], [truth[0]], image) for c in choose_examples(audit.counts)]
    figure = to_section(audit, shown).figures[-1].figure
    ax = figure.axes[1]
    assert ax.get_aspect() == pytest.approx(213 / 384)
    paths = [line for line in ax.collections if line.get_paths()]
    ends = np.concatenate([path.vertices for line in paths for path in line.get_paths()])
    np.testing.assert_allclose(ends.min(0), [100 / 900, 0], atol=0.01)
    np.testing.assert_allclose(ends.max(0), [500 / 900, 300 / 500], atol=0.01)
    assert "100 % found at the border" in ax.get_xlabel()


def test_the_study_shows_examples_and_says_how_masks_were_read():
    truth = discs(6)
    masks = {f"case{k}": mask for k, mask in enumerate(truth)}
    items = [(name, mask, mask) for name, mask in masks.items()]
    found = Predicted(
        ["m"], items, lambda name: (masks[name], [masks[name]], None),
        ["truth: 6 files"], ["truth: looks odd"], ["x.png: damaged"],
    )  # fmt: skip
    section = study.section(found, resamples=50)
    assert section.figures[-1].name == "prediction_examples"
    assert section.taken == ["truth: 6 files"] and section.notes[0] == "truth: looks odd"
    assert section.left_out == ["x.png: damaged"]


def test_verdicts_in_rows_are_those_of_the_sentences(both):
    audit, section = both
    rows = {(row.arm_a, row.metric): row for row in audit.differences if row.arm_b == "sound"}
    assert rows["eraser", "recall"].verdict == "lower"
    assert rows["eraser", "border_shortcut_index"].verdict == "higher"
    assert all((row.kind, row.axis, row.n_seeds) == ("pair", "model", 1) for row in rows.values())
    assert section.verdict[-2].endswith("across 30 images of one model each: lower.")
