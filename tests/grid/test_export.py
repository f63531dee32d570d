"""Exports describe themselves: `load_export` gives what `load_cell` gives, or one line."""

import io
import json
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_oracles import PAIR

import jaxseg
from jaxseg.errors import JaxsegError, UsageError
from jaxseg.grid import loading
from jaxseg.grid.config import make_config, make_net
from jaxseg.grid.run import run_grid
from jaxseg.grid.train import SCALING, class_indices, normalise
from jaxseg.texts import with_digest

CELL = "0.05-s0"  # of the two the one that marks something


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def exported(undisturbed, tmp_path):
    jaxseg.export_cell(undisturbed, CELL, tmp_path / "cell.npz")
    return tmp_path / "cell.npz"


def test_an_export_predicts_what_the_cell_predicts_bit_for_bit(undisturbed, exported, images):
    predict, found = jaxseg.load_export(exported)
    expected, kept = jaxseg.load_cell(undisturbed, CELL)
    np.testing.assert_array_equal(predict(images), expected(images))
    assert found == kept and predict(images).any() and predict(images).dtype == np.uint8


def test_the_description_is_enough_to_predict_without_load_export(exported, images):
    with np.load(exported) as stored:
        about = json.loads(str(stored["description"]))
        variables = {}
        for name in set(stored.files) - {"description"}:
            *parents, leaf = name.split("/")
            place = variables
            for parent in parents:
                place = place.setdefault(parent, {})
            place[leaf] = stored[name]
    scaled = eval(about["input"]["scaling"], {"float32": np.float32, "image": images})
    options = {k[4:]: v for k, v in about["settings"].items() if k.startswith("net.")}
    del options["name"]
    logits = jaxseg.UNet(classes=len(about["classes"]), **options).apply(variables, scaled)
    mask = np.where((logits > 0).any(-1), 1 + np.argmax(logits, -1), 0)
    predict, _ = jaxseg.load_export(exported)
    assert (mask != predict(images)).mean() < 0.002  # not compiled as one program here
    assert about["cell"] == CELL and about["seed"] == 0 and about["jaxseg"] == jaxseg.__version__
    assert about["input"]["padding"] == "zeros" and about["input"]["size"] == [32, 32]


def test_scaling_is_described_as_it_is_done():
    levels = np.arange(256, dtype=np.uint8)
    told = eval(SCALING, {"float32": np.float32, "image": levels})
    # XLA multiplies by the reciprocal.
    np.testing.assert_allclose(told, np.asarray(normalise(jnp.asarray(levels))), rtol=0, atol=2e-7)


@pytest.mark.parametrize(
    "net",
    [
        {"name": "dtunet"},
        *(
            pytest.param(net, marks=pytest.mark.slow)
            for net in (
                {"name": "unet", "norm": "group", "padding": "partial"},
                {"name": "unet", "norm": "none", "upsampling": "transposed", "dtype": "bfloat16"},
            )
        ),
    ],
    ids=str,
)
def test_networks_of_every_kind_come_back(net, tiny_config, images, tmp_path, monkeypatch):
    tiny_config["net"] |= {"depth": 3} | net
    tiny_config["optim"]["loss"] = "dtu" if net["name"] == "dtunet" else "dice"
    config = make_config(tiny_config)
    network = make_net(config.net, classes=2)
    variables = jax.tree.map(np.asarray, network.init(jax.random.key(1), jnp.zeros((1, 32, 32, 3))))
    meta = {"classes": ["a", "b"], "epoch": 3}
    monkeypatch.setattr(loading, "_load", lambda *_: (network, variables, config, meta))
    jaxseg.export_cell("", "c", tmp_path / "c.npz")
    predict, found = jaxseg.load_export(tmp_path / "c.npz")
    own = jax.jit(lambda x: class_indices(network.logits(variables, normalise(x))))(images)
    np.testing.assert_array_equal(predict(images), own)
    assert found.net.name == net["name"] and set(np.unique(own)) <= {0, 1, 2}


def _rewritten(path, change):
    """The export with `change(arrays, about)` applied and stored again."""
    with np.load(path) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays.pop("description")))
    about.pop("digest")
    change(arrays, about)
    np.savez(path, description=np.asarray(json.dumps(with_digest(about))), **arrays)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda a, b: b.update(format="jaxseg export 9"), "this version reads 'jaxseg export 1'"),
        (lambda a, b: b["settings"].update({"net.width": 4}), "by its settings"),
        (lambda a, b: b["settings"].update({"net.padding": "mirror"}), "settings are unusable"),
        (lambda a, b: b["settings"].update({"net.depth": 10**6}), "settings are unusable"),
        (lambda a, b: b["settings"].update({"data.size": "x"}), "settings are unusable"),
        (lambda a, b: b["settings"].pop("optim.loss"), "settings are unusable"),
        (lambda a, b: b.update(settings=[]), "`settings` must be an object"),
        (lambda a, b: b.update(classes=[]), "`classes` must be a list"),
        (lambda a, b: b.update(classes=["a", "b"]), "must be float32"),
        (lambda a, b: a.pop("params/outc/bias"), "lacks the array 'params/outc/bias'"),
        (lambda a, b: a.update(more=np.ones(3)), "has no place for the array 'more'"),
        (lambda a, b: a.update({"params/outc/bias": np.ones(1)}), "is float64"),
        (lambda a, b: a.update({"params/outc/bias": np.ones(1, "f4")}), "do not agree with their"),
    ],
)
def test_a_changed_export_is_refused_in_one_line(exported, change, said):
    _rewritten(exported, change)
    with pytest.raises(JaxsegError, match=said) as error:
        jaxseg.load_export(exported)
    assert str(exported) in str(error.value) and str(error.value).isprintable()


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("member", ["description", "params/outc/bias"])
def test_pickles_are_never_read(exported, member):
    with np.load(exported) as stored:
        arrays = dict(stored)
    buffer = io.BytesIO()
    evil = np.empty((), object)
    evil[()] = Evil()
    np.lib.format.write_array(buffer, evil, allow_pickle=True)
    np.savez(exported, **{name: a for name, a in arrays.items() if name != member})
    with zipfile.ZipFile(exported, "a") as archive:
        archive.writestr(f"{member}.npy", buffer.getvalue())
    with pytest.raises(JaxsegError, match=r"pickles are never read|must be float32"):
        jaxseg.load_export(exported)


def test_other_files_are_refused_in_one_line(exported, tmp_path):
    np.savez(tmp_path / "old.npz", **{"params/outc/bias": np.ones(1, np.float32)})
    with pytest.raises(JaxsegError, match="holds no 'description', so it is not an export"):
        jaxseg.load_export(tmp_path / "old.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(JaxsegError, match="not a readable npz file"):
        jaxseg.load_export(tmp_path / "text.npz")
    with pytest.raises(UsageError, match="no such file"):
        jaxseg.load_export(tmp_path / "none.npz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40,
          deadline=None)  # fmt: skip
@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_damage_is_named_or_harmless(exported, tmp_path, at, flip, cut):
    content = bytearray(exported.read_bytes())
    place = int(at * len(content))
    if cut:
        del content[place:]
    else:
        content[place] ^= flip
    (tmp_path / "damaged.npz").write_bytes(content)
    try:
        found = jaxseg.load_export(tmp_path / "damaged.npz")[1]
    except JaxsegError as error:
        assert "damaged.npz" in str(error) and str(error).isprintable()
    else:
        about = loading.read_description(exported)
        assert found == make_config(about["settings"])  # bytes that say nothing


@pytest.mark.parametrize("name", ["cell", "cell.npy", "cell.npz.gz", "cell.NPZ"])
def test_a_path_without_npz_is_refused_before_anything_is_read(name, tmp_path):
    with pytest.raises(UsageError, match=r"must end in \.npz"):
        jaxseg.export_cell(tmp_path / "no grid", "c", tmp_path / name)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        jaxseg.export_cell(tmp_path / "no grid", "c", tmp_path / "folder.npz")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"kind": "state"}, "stopped after 3 epochs"),
        ({"diverged_at": [5, 5]}, "diverged at step 5"),
    ],
)
def test_unfinished_and_diverged_cells_are_refused(
    undisturbed, tmp_path, monkeypatch, change, said
):
    tree, meta = loading.restore_cell(undisturbed, CELL)
    monkeypatch.setattr(loading, "restore_cell", lambda *_: (tree, meta | change))
    with pytest.raises(JaxsegError, match=said):
        jaxseg.export_cell(undisturbed, CELL, tmp_path / "cell.npz")
    assert not list(tmp_path.iterdir())


def test_a_cell_of_an_interrupted_run_is_refused_and_exported_when_finished(
    tiny_config, tmp_path, monkeypatch
):
    from jaxseg.grid import workdir as files

    tiny_config["optim"]["epochs"] = 2
    monkeypatch.setattr(files, "write_status", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # trained and scored, the row not yet written
        run_grid(tiny_config, PAIR, tmp_path / "run")
    jaxseg.export_cell(tmp_path / "run", CELL, tmp_path / "cell.npz")
    assert jaxseg.load_export(tmp_path / "cell.npz")[1].optim.epochs == 2


def test_loading_takes_neither_the_workdir_nor_tensorflow(exported):
    code = (
        "import sys; sys.modules['tensorflow'] = None; import numpy as np, jaxseg;"
        f"predict, settings = jaxseg.load_export({str(exported)!r});"
        "print(predict(np.zeros((1, 32, 32, 3), np.uint8)).shape)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "(1, 32, 32)"
