"""Which fields may be axes: settings of training, not what cells are tested on and scored by."""

import copy
import importlib.util
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxseg.errors import UsageError
from jaxseg.grid.cells import expand
from jaxseg.grid.config import DEFAULTS, make_config
from jaxseg.grid.describe import describe
from jaxseg.grid.run import run_grid
from jaxseg.grid.storage import as_folder, write_with_digest
from jaxseg.grid.sweeps import (
    axis_names,
    grid_axes,
    override_axes,
    product,
    resolve_overlays,
    why_no_axis,
)
from jaxseg.grid.workdir import check_same_settings

ROOT = pathlib.Path(__file__).parents[2]


def _config(name, variant=None):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"configs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(variant).to_dict()


def fields_of(config):
    """All fields of a config by their dotted names."""
    return make_config(config).flat()


STUDIES = {name: _config(name) for name in ("padding_ablation", "caliper_ablation", "isic2017")}
CONFIG = STUDIES["padding_ablation"]
EVERY = fields_of(STUDIES["caliper_ablation"]) | fields_of(CONFIG)
OTHER = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2 + 0.25,
         str: lambda v: v + "x", tuple: lambda v: v[:1]}  # fmt: skip


@given(study=st.sampled_from(sorted(STUDIES)), data=st.data())
def test_every_field_is_an_axis_or_is_refused_by_name_with_the_axes_there_are(study, data):
    settings = fields_of(STUDIES[study])
    field = data.draw(st.sampled_from(sorted(settings)))
    values = (settings[field], OTHER[type(settings[field])](settings[field]))
    if not why_no_axis(field):
        assert grid_axes(product(**{field: values}), settings).keys() <= {field}
        return
    with pytest.raises(UsageError) as error:
        expand(STUDIES[study], product(**{field: values}))
    told = str(error.value)
    assert told.startswith(f"grid axis {field}=") and why_no_axis(field) in told
    assert f"--config.{field}=VALUE" in told and "net.padding" in told


def test_the_table_says_what_may_be_an_axis():
    assert set(axis_names(EVERY)) == {
        "seed", "data.crop", "data.train_split", "net.name", "net.width", "net.depth",
        "net.padding", "net.upsampling", "net.norm", "net.dtype", "optim.loss",
        "optim.learning_rate", "optim.batch_size", "optim.epochs", "optim.weight_decay",
        "optim.schedule", "optim.select", "optim.patience", "annotate.contamination",
        "annotate.placement", "annotate.removal", "annotate.drawn",
    }  # fmt: skip
    assert why_no_axis("mine.note") and why_no_axis("data.what_comes_later")


@pytest.mark.parametrize(
    "overlays",
    [
        [{"size": 32}, {"size": 64}],
        [{"padding": "zeros"}, {"padding": "reflect", "border_px": 6}],  # one overlay lacks it
        [{"test_split": "test[:50]"}, {"test_split": "test[50:]", "seed": 1}],
        [{"data.name": "lesion_phantoms"}, {"data.name": "folders", "padding": "reflect"}],
    ],
)
def test_library_command_and_dry_run_refuse_before_anything_is_made(overlays, tmp_path):
    for ask in (run_grid, lambda *args: describe(*args[:2], as_folder(args[2]))):
        with pytest.raises(UsageError, match="is not an axis, because "):
            ask(CONFIG, overlays, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_name_of_the_run_as_axis_hints_at_that_of_the_network():
    with pytest.raises(UsageError, match=r"name=a,b: .*; did you mean net\.name\?"):
        expand(CONFIG, [{"name": "a"}, {"name": "b"}])


def test_what_all_cells_have_alike_is_not_an_axis_and_only_sets_the_field():
    grid = product(size=(64,), border_px=(4,), test_sets=(["full"],), padding=("zeros", "reflect"))
    cells = expand(CONFIG, grid)
    assert [cell.id for cell in cells] == ["zeros-s0", "reflect-s0"]
    assert {(c.config.data.size, c.config.eval.test_sets) for c in cells} == {(64, ("full",))}


def test_an_axis_that_some_overlays_lack_has_the_configs_value_there():
    cells = expand(CONFIG, [{"width": 4}, {"width": 4, "upsampling": "nearest"}])
    assert [cell.id for cell in cells] == ["align_corners-s0", "nearest-s0"]
    base = fields_of(CONFIG)
    same = [{"net.width": 4}, {"net.width": 4, "net.padding": "zeros", "seed": 1}]
    assert grid_axes(same, base) == {}


def test_numbers_are_the_same_arm_however_they_are_written():
    whole, point = (expand(CONFIG, [{"learning_rate": v}])[0] for v in (1, 1.0))
    assert whole == point
    with pytest.raises(UsageError, match="is listed twice"):
        expand(CONFIG, product(learning_rate=(1, 1.0, 2.0)))


@pytest.mark.parametrize(
    "text, message",
    [
        ("padding=zeros,zeros", "holds zeros twice"),
        ("padding=zeros, zeros ", "holds zeros twice"),
        ("learning_rate=1e-3,0.001", "holds 1e-3 and 0.001 twice"),
        ("seed=1,2,01", "holds 1 and 01 twice"),
        ("padding=zeros,", "holds an empty value"),
        ("padding= ", "holds an empty value"),
        ("Padding=zeros", "'Padding': is not a field .*did you mean 'padding'"),
        ("test_sets=full,quarter", "eval.test_sets=full,quarter: is not an axis"),
    ],
)
def test_values_that_are_given_twice_or_empty_are_named(text, message):
    with pytest.raises(UsageError, match=message.replace(".", r"\.").replace(r"\.*", ".*")):
        override_axes([{}], [text], fields_of(CONFIG))


@pytest.mark.parametrize("text", ["padding=Zeros", "crop=Center,random", "loss=DICE"])
def test_another_case_of_a_value_names_the_right_one(text):
    with pytest.raises(UsageError, match=r"did you mean '(zeros|center|dice)'"):
        expand(CONFIG, override_axes([{}], [text], fields_of(CONFIG)))


def test_a_field_that_the_config_leaves_out_can_be_an_axis():
    config = copy.deepcopy(CONFIG)
    del config["optim"]["weight_decay"]
    grid = override_axes([{}], ["weight_decay=0,1e-4"], fields_of(config))
    assert [cell.id for cell in expand(config, grid)] == ["0.0-s0", "0.0001-s0"]


def test_arms_that_would_share_files_are_refused():
    # Slices differ in signs that no file name has.
    with pytest.raises(UsageError, match=r"would share files called train__\d+__"):
        expand(CONFIG, [{"train_split": "train[:50%]"}, {"train_split": "train[:50] "}])
    with pytest.raises(UsageError, match="at most 200 to be a file name"):
        expand(CONFIG, [{"train_split": "train" + "+train" * 99}, {"train_split": "train"}])


@pytest.mark.parametrize("field", ["learning_rate", "weight_decay", "ring_width"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(field, value):
    with pytest.raises(UsageError, match=f"{field}={value}: must be a finite number"):
        expand(CONFIG, [{field: value}])


@given(field=st.sampled_from(sorted(set(fields_of(CONFIG)) - set(DEFAULTS))))
def test_a_config_without_a_field_that_has_no_default_names_it(field):
    config = copy.deepcopy(CONFIG)
    *sections, name = field.split(".")
    place = config
    for section in sections:
        place = place[section]
    del place[name]
    try:
        expand(config, [{}])
    except UsageError as error:
        assert f"config field {field}: is missing" in str(error)
    else:
        assert field.startswith("net.")  # the network has a default of its own


def test_a_setting_that_the_network_does_not_have_is_named():
    config = copy.deepcopy(CONFIG)
    config["net"]["dropout"] = 0.1
    with pytest.raises(UsageError, match=r"net\.dropout: is not a field of the config"):
        expand(config, [{}])


@given(field=st.sampled_from(sorted(set(DEFAULTS) - {"net.name"})), gained=st.booleans())
def test_a_config_that_gains_or_loses_a_field_at_its_default_resumes(
    field, gained, tmp_path_factory
):
    workdir = as_folder(tmp_path_factory.mktemp("run"))
    with_it, without = copy.deepcopy(CONFIG), copy.deepcopy(CONFIG)
    section, _, name = field.partition(".")
    with_it[section][name] = DEFAULTS[field]
    without[section].pop(name, None)
    there, here = (without, with_it) if gained else (with_it, without)
    grid = product(padding=("zeros", "reflect"))
    about = {"config": there, "grid": grid, "data": {}}
    write_with_digest(workdir / "config.json", json.loads(json.dumps(about)))
    check_same_settings(workdir, here, grid)
    other = OTHER[type(DEFAULTS[field])](DEFAULTS[field])
    with_it[section][name] = other
    write_with_digest(workdir / "config.json", json.loads(json.dumps(about)))
    if field == "data.rehash":  # it changes no number
        check_same_settings(workdir, here, grid)
        return
    with pytest.raises(UsageError, match=f"{name}|must be"):
        check_same_settings(workdir, here, grid)


def test_overlays_with_lists_resume(tmp_path):
    grid = resolve_overlays(product(test_sets=(("full",),), seed=(0, 1)), fields_of(CONFIG))
    about = {"config": CONFIG, "grid": grid, "data": {}}
    write_with_digest(tmp_path / "config.json", json.loads(json.dumps(about)))
    check_same_settings(as_folder(tmp_path), CONFIG, grid)


@pytest.mark.parametrize(
    "change, grid, message",
    [
        ({"test_split": "tst"}, [{}], "did you mean 'test'"),
        ({"val_split": "validation[:5"}, [{}], "must look like train"),
        ({}, [{}, {"data.train_split": "trane"}], "did you mean 'train'"),
        ({"name": "folders", "manual_dir": "/none"}, [{}], "data.manual_dir='/none': no such"),
    ],
)
def test_splits_of_all_cells_are_checked_before_the_first_is_prepared(
    change, grid, message, tmp_path, monkeypatch
):
    config = copy.deepcopy(CONFIG)
    config["data"] |= change
    monkeypatch.setattr("jaxseg.grid.group.prepared_views", lambda *_: pytest.fail("prepared"))
    for ask in (run_grid, lambda *args: describe(*args[:2], as_folder(args[2]))):
        with pytest.raises(UsageError, match=message):
            ask(config, grid, tmp_path / "run")
