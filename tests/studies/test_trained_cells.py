"""Two trained phantom cells, zeros and circular, through both audits."""

import numpy as np
import pytest

from jaxseg.errors import UsageError
from jaxseg.grid.loading import load_cell, load_variables
from jaxseg.grid.run import run_grid
from jaxseg.grid.train import class_indices, normalise
from jaxseg.progress import silent
from jaxseg.studies.cell_frames import cell_frames, frames_at
from jaxseg.studies.features import features_section
from jaxseg.studies.features.measures import (
    AS_IS,
    RANDOM,
    ROLLED,
    TRAINED,
    audit_features,
    difference,
    find_probed,
    probed_estimate,
)
from jaxseg.studies.models import network_model
from jaxseg.studies.shift import measure, shift_section
from jaxseg.studies.shift.moving import dice_lost

pytestmark = pytest.mark.slow
ZEROS, CIRCULAR = "zeros-s0", "circular-s0"
GRID = [{"net.padding": padding, "seed": 0} for padding in ("zeros", "circular")]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    home = tmp_path_factory.mktemp("trained")
    config = {
        "name": "trained",
        "seed": 0,
        "data": {
            "name": "lesion_phantoms", "manual_dir": "", "data_dir": str(home / "cache"),
            "train_split": "train[:64]", "val_split": "", "test_split": "test[:24]",
            "size": 32, "crop": "center", "feed": "auto",
        },
        "net": {"width": 4, "depth": 2, "padding": "zeros", "upsampling": "align_corners",
                "norm": "batch"},
        "optim": {"loss": "dice", "learning_rate": 3e-3, "batch_size": 16, "epochs": 15,
                  "select": "last"},
        "eval": {"test_sets": ("full",), "ring_width": 10.0, "border_px": 4, "empty": "nan",
                 "resamples": 100},
        "run": {"cells_per_device": 0, "checkpoint_epochs": 15},
    }  # fmt: skip
    run_grid(config, GRID, home / "run")
    return home / "run"


@pytest.fixture(scope="module")
def cells(workdir):
    return {name: load_variables(workdir, name) for name in (ZEROS, CIRCULAR)}


@pytest.fixture(scope="module")
def shifts(cells):
    def audit(name):
        net, variables, settings = cells[name]
        model = network_model(name, net, variables, 32)
        return measure(model, frames_at(settings, 12, silent))

    return {name: audit(name) for name in cells}


@pytest.fixture(scope="module")
def features(cells):
    def audit(name):
        net, variables, settings = cells[name]
        frames = cell_frames(settings, 32, 24, silent)
        return audit_features(name, net, variables, frames.ids, frames.images, seeds=3)

    return {name: audit(name) for name in cells}


def test_variables_give_the_predictions_of_the_cell(workdir, cells):
    net, variables, settings = cells[ZEROS]
    images = cell_frames(settings, 32, 3, silent).images
    predict, same = load_cell(workdir, ZEROS)
    assert same == settings and net.padding == "zeros"
    by_hand = class_indices(net.logits(variables, normalise(np.asarray(images))))
    assert (predict(images) == np.asarray(by_hand)).mean() > 0.999


def test_frames_are_spread_over_the_test_split(cells):
    settings = cells[ZEROS][2]
    frames = cell_frames(settings, 40, 5, silent)
    assert frames.images.shape == (5, 40, 40, 3) and frames.masks.shape == (5, 40, 40)
    every = cell_frames(settings, 40, 1000, silent)
    assert len(every.ids) == 24 and frames.ids[-1] == every.ids[-1]
    with pytest.raises(UsageError, match="limit=0: must be at least 1 image"):
        cell_frames(settings, 40, 0, silent)


def test_zeros_lose_the_object_at_the_border_and_circular_keeps_more_of_it(shifts):
    for k in range(2):
        lost = dice_lost(shifts[ZEROS].moved[k])
        assert lost.low > 0
        assert lost.value > dice_lost(shifts[CIRCULAR].moved[k]).value + 0.05


def test_only_circular_with_nearest_has_no_shift_error(shifts):
    for shift in shifts.values():
        errors = {(r.padding, r.upsampling): r.aligned.max() for r in shift.rolled}
        assert errors.pop(("circular", "nearest")) < 1e-5
        assert min(errors.values()) > 1e-2


def test_the_probe_separates_zeros_from_circular_trained_and_random(features):
    """On rolled frames; the intervals exclude 0, and circular is told nothing."""
    for cell in features.values():
        for weights in (TRAINED, RANDOM):
            zeros, circular = (find_probed(cell, weights, p, ROLLED) for p in ("zeros", "circular"))
            assert difference(zeros, circular, "down2").low > 0
            assert abs(probed_estimate(circular, "down2").value) < 0.03
    trained = [find_probed(f, TRAINED, f.padding, ROLLED) for f in features.values()]
    assert difference(*trained, "down2").low > 0.1
    as_is = find_probed(features[ZEROS], TRAINED, "zeros", AS_IS)
    assert probed_estimate(as_is, "down2").low > 0.2


def test_both_audits_tell_what_they_found(shifts, features):
    told = shift_section(shifts[ZEROS])
    assert "a loss of" in told.verdict[0] and "0 to rounding with circular" in told.verdict[2]
    told = features_section(list(features.values()))
    assert "random weights separate paddings too" in " ".join(told.notes).lower()
    assert [table.name for table in told.tables] == ["features", "feature_probes", "feature_cells"]
