"""Configs that come with jaxseg: found by name wherever jaxseg lies, and copied to be edited."""

import pytest

from jaxseg.cli import configs, grid
from jaxseg.errors import UsageError

BASE = "def fields(size):\n    return {'size': size}\n"
STUDY = '''"""Asks whether size matters.

    jaxseg grid --config sizes
"""

import runpy
from pathlib import Path

fields = runpy.run_path(str(Path(__file__).with_name("base.py")))["fields"]
VARIANTS = ("default", "small")


def get_config(variant=None):
    return fields(16 if variant == "small" else 64)
'''


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of configs of which one uses another file there."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "base.py").write_text(BASE)
    (folder / "sizes.py").write_text(STUDY)
    monkeypatch.setattr(configs, "configs_folder", lambda: folder)
    return folder


def test_the_configs_of_this_repository_are_listed_with_their_variants():
    told = configs.list_configs()
    for name in ("padding_ablation", "isic2017", "caliper_ablation"):
        assert f"{name}\n" in told
    assert "variants: default, quick, folders" in told and "Shortcut B on ISIC 2017" in told
    assert "base\n" not in told


def test_files_that_are_only_used_are_not_configs(home):
    assert configs.config_names() == ["sizes"]
    assert "Asks whether size matters." in configs.list_configs()


def test_a_name_is_one_of_ours_and_a_path_is_a_path(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configs.find_config("sizes:small") == f"{home}/sizes.py:small"
    assert configs.find_config("sizes") == f"{home}/sizes.py"
    assert configs.find_config("configs/sizes.py:small") == "configs/sizes.py:small"
    (tmp_path / "sizes").mkdir()  # a folder of that name is in nobody's way
    assert configs.find_config("sizes") == f"{home}/sizes.py"
    with pytest.raises(UsageError, match=r"--config='size': must be one of sizes; did you mean"):
        configs.find_config("size")
    for path in ("sizes.py", "other/sizes", f"{tmp_path}/none.py"):
        with pytest.raises(UsageError, match=f"--config {path}: no such file; a name without .py"):
            configs.find_config(path)


def test_the_value_of_the_flag_alone_becomes_a_path(home):
    typed = ["jaxseg grid", "--workdir", "sizes", "--config", "sizes:small", "--grid", "a=sizes"]
    words, found = grid.locate_config(typed)
    assert found == f"{home}/sizes.py:small"
    assert words == [*typed[:4], found, *typed[5:]]
    assert grid.locate_config(["g", "--config=sizes"])[0] == ["g", f"--config={home}/sizes.py"]
    assert grid.locate_config(["g", "--config.seed=1"]) == (["g", "--config.seed=1"], "")


def test_a_config_is_copied_with_what_it_uses(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    configs.main(["jaxseg configs", "copy", "sizes", "mine"])
    assert (tmp_path / "mine/sizes.py").read_text() == STUDY
    assert (tmp_path / "mine/base.py").read_text() == BASE
    copied = grid.load_module("mine/sizes.py")
    assert copied.get_config("small") == {"size": 16}
    assert "jaxseg grid --config mine/sizes.py" in capsys.readouterr().out


def test_nothing_is_overwritten(home, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "base.py").write_text("mine")
    with pytest.raises(UsageError, match=r"base\.py exists already; give another folder"):
        configs.copy_config("sizes", str(mine))
    assert [path.name for path in mine.iterdir()] == ["base.py"]
    (mine / "base.py").write_text(BASE)  # as an earlier copy left it
    assert len(configs.copy_config("sizes", str(mine))) == 2
    with pytest.raises(UsageError, match=r"sizes\.py exists already"):
        configs.copy_config("sizes", str(mine))
