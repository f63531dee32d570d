"""The typed config: made from fields by name, checked in one place, read by attribute below it."""

import ast
import copy
import dataclasses
import importlib.util
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxseg.errors import UsageError
from jaxseg.grid.config import Config, NetConfig, check_config, make_config, make_net

ROOT = pathlib.Path(__file__).parents[2]
STUDIES = {
    "padding_ablation": ("default", "quick", "folders"),
    "caliper_ablation": ("default", "quick", "hc18", "paper"),
    "isic2017": ("paper", "small"),
}


def _study(name, variant):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"configs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(variant).to_dict()


@pytest.mark.parametrize(
    "name, variant", [(name, variant) for name, known in STUDIES.items() for variant in known]
)
def test_every_study_makes_a_config_that_can_run_and_goes_back_to_its_fields(name, variant):
    fields = _study(name, variant)
    config = make_config(fields)
    check_config(config)
    assert make_config(config.flat()) == config
    assert make_config(json.loads(json.dumps(config.flat()))) == config  # tuples are lists there
    for section, values in fields.items():
        found = getattr(config, section)
        if isinstance(values, dict):
            assert {k: getattr(found, k) for k in values} == values
    assert (config.annotate is None) == (name != "caliper_ablation")


FIELDS = _study("padding_ablation", "quick")
NAMES = sorted(make_config(FIELDS).flat())


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_config(FIELDS).optim.epochs = 3


@pytest.mark.parametrize(
    "field, message",
    [
        ({"data.sise": 3}, r"config field data\.sise: is not a field .*mean '(data\.)?size'"),
        (
            {"optim.epoch": 3},
            r"config field optim\.epoch: is not a field .*mean '(optim\.)?epochs'",
        ),
        ({"mine.note": 3}, r"config field mine\.note: is not a field of the config"),
        ({"data.size": "48"}, r"config field data\.size='48': must be of type int"),
        ({"data.size": 48.5}, r"config field data\.size=48.5: must be of type int"),
        ({"data.rehash": 1}, r"config field data\.rehash=1: must be of type bool"),
        ({"eval.test_sets": "full"}, r"config field eval\.test_sets='full': must be of type tuple"),
        ({"optim.epochs": True}, r"config field optim\.epochs=True: must be of type int"),
    ],
)
def test_fields_that_are_unknown_or_of_another_type_are_named(field, message):
    with pytest.raises(UsageError, match=message):
        make_config(make_config(FIELDS).flat() | field)


@given(name=st.sampled_from(NAMES), value=st.sampled_from([None, "x", -1, 0.5, True, (), ["a"]]))
def test_config_json_of_other_versions_has_defaults_where_a_field_cannot_be_used(name, value):
    fields = make_config(FIELDS).flat() | {"data.later": 1, name: value}
    config = make_config(fields, strict=False)
    assert config.flat().keys() == set(NAMES)
    default = Config().flat()[name]
    assert config.flat()[name] in (default, value, tuple(value) if value == ["a"] else default)
    assert make_config({}, strict=False) == Config()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"optim.select": "best", "data.val_split": ""},
         r"optim\.select='best': requires data\.val_split"),
        ({"optim.patience": 3}, r"optim\.patience=3: .* requires optim\.select=best"),
        ({"data.planes": "^x"}, r"data\.planes='\^x': must hold one \(group\)"),
        ({"data.mask_threshold": 2.0}, "mask threshold 2: must be above 0 and at most 1"),
        ({"net.width": 3}, r"net\.width=3: must be even"),
        ({"net.options.heads": 3}, r"net\.options\.heads: unet takes no options"),
    ],
)  # fmt: skip
def test_rules_are_checked_before_anything_runs(fields, message):
    with pytest.raises(UsageError, match=message):
        check_config(make_config(make_config(FIELDS).flat() | fields))


def test_what_selection_goes_by_is_enough():
    best = {"optim.select": "best", "optim.patience": 3, "data.val_split": "validation"}
    check_config(make_config(make_config(FIELDS).flat() | best))


def test_options_of_a_network_are_kept_by_their_names():
    fields = copy.deepcopy(FIELDS)
    fields["net"]["options"] = {"heads": 4, "kernel": [3, 5]}
    config = make_config(fields)
    assert config.net.options == {"heads": 4, "kernel": (3, 5)}
    assert config.flat()["net.options.heads"] == 4 and make_config(config.flat()) == config
    assert "net.options" not in make_config(FIELDS).flat()


def test_networks_have_the_settings_of_the_config():
    net = make_net(NetConfig(width=4, depth=2, padding="reflect"), classes=3, batch_axis="data")
    found = (net.poolings, net.padding, net.classes, net.batch_axis)
    assert found == ((2,), "reflect", 3, "data")
    assert make_net(NetConfig(name="dtunet", depth=4), classes=1).poolings == (4, 3)


def _string_keyed(tree):
    """Reads of a field of the config by its dotted name: subscripts and `get`, but of axes."""
    fields = {f for f in (*NAMES, *Config(annotate=_annotate()).flat()) if "." in f}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            place, key = node.value, node.slice
        elif isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute):
            if node.func.attr not in ("get", "pop", "setdefault"):
                continue
            place, key = node.func.value, node.args[0]
        else:
            continue
        name = getattr(place, "attr", getattr(place, "id", ""))
        if isinstance(key, ast.Constant) and key.value in fields and name != "axes":
            yield node.lineno, key.value


def _annotate():
    return make_config(_study("caliper_ablation", "quick")).annotate


def test_nobody_reads_the_config_by_the_name_of_a_field():
    assert [*_string_keyed(ast.parse('s["optim.epochs"]; s.get("data.size")'))]
    assert not [*_string_keyed(ast.parse('r.axes.get("data.crop"); s["seed"]'))]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {field}"
        for folder in ("jaxseg", "launch")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "jaxseg/grid/config.py"
        for line, field in _string_keyed(ast.parse(path.read_text()))
    ]
    assert found == []
