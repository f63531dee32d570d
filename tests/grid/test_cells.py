import pytest

from jaxseg.errors import UsageError
from jaxseg.grid.cells import expand, group_cells
from jaxseg.grid.sweeps import flatten, grid_axes, override_axes, product

CONFIG = {
    "name": "t",
    "seed": 0,
    "data": {"name": "lesion_phantoms", "manual_dir": "", "data_dir": "", "train_split": "train",
             "val_split": "", "test_split": "test", "size": 32, "crop": "center",
             "feed": "auto"},
    "net": {"width": 4, "depth": 2, "padding": "zeros", "upsampling": "nearest", "norm": "batch"},
    "optim": {"loss": "dice", "learning_rate": 1e-3, "batch_size": 4, "epochs": 2,
              "select": "last"},
    "eval": {"test_sets": ("full",), "ring_width": 10.0, "border_px": 4, "empty": "nan",
             "resamples": 200},
    "run": {"cells_per_device": 0, "checkpoint_epochs": 5},
}  # fmt: skip


def test_products_make_plain_overlays():
    assert product(a=(1, 2), b=("x",)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_flatten_names_fields_by_their_way_and_makes_lists_tuples():
    flat = flatten({"a": 1, "b": {"c": [2, 3], "d": {"e": "f"}}})
    assert flat == {"a": 1, "b.c": (2, 3), "b.d.e": "f"}


def test_cells_carry_their_settings_arm_and_seed():
    grid = product(padding=("zeros", "reflect"), crop=("center", "random"), seed=range(2))
    cells = expand(CONFIG, grid)
    assert [cell.id for cell in cells][:3] == ["zeros-center-s0", "zeros-center-s1",
                                               "zeros-random-s0"]  # fmt: skip
    assert cells[-1].arm == "reflect/random" and cells[-1].seed == 1
    assert cells[-1].config.data.crop == "random"
    assert cells[-1].config.optim.epochs == 2


def test_standard_paddings_share_a_program_and_others_do_not():
    grid = product(padding=("zeros", "circular", "partial"), crop=("center", "random"))
    groups = group_cells(expand(CONFIG, grid))
    assert [len(group) for group in groups] == [4, 2]
    assert len(group_cells(expand(CONFIG, product(width=(4, 8))))) == 2


def test_axes_are_what_varies_besides_the_seed():
    overlays = [{"net.padding": p, "data.crop": "center", "seed": s} for p in "ab" for s in (0, 1)]
    assert grid_axes(overlays, flatten(CONFIG)) == {"net.padding": ["a", "b"]}


def test_overrides_replace_and_add_axes():
    settings = flatten(CONFIG)
    grid = product(padding=("zeros", "reflect"), seed=range(2))
    replaced = override_axes(grid, ["padding=circular"], settings)
    assert list(replaced[0]) == ["net.padding", "seed"]  # arms keep their names
    assert replaced == [{"seed": 0, "net.padding": "circular"},
                        {"seed": 1, "net.padding": "circular"}]  # fmt: skip
    assert len(override_axes(grid, ["seed=0:5", "learning_rate=1e-3,1e-2"], settings)) == 20
    drawn = override_axes(grid, ["drawn=True,false"], settings | {"annotate.drawn": True})
    assert {row["annotate.drawn"] for row in drawn} == {True, False}


@pytest.mark.parametrize(
    "overlay, message",
    [
        ({"paddin": "zeros"}, "grid axis='paddin'.*did you mean 'padding'"),
        ({"padding": "mirrored"}, "net.padding='mirrored': must be one of"),
        ({"crop": "centre"}, "data.crop='centre'.*did you mean 'center'"),
        ({"size": 30}, "data.size=30: must be a multiple of 4"),
        ({"epochs": 0}, "optim.epochs=0: must be at least 1"),
        ({"learning_rate": -1.0}, "optim.learning_rate=-1.0: must be above 0"),
        ({"loss": "dise"}, "did you mean 'dice'"),
        ({"test_sets": ("full", "quater")}, "did you mean 'quarter'"),
        ({"border_px": 16}, "eval.border_px=16: must be below half"),
        ({"seed": "one"}, "must be of type int"),
        ({"name": "x"}, "ambiguous|name"),
    ],
)
def test_bad_overlays_are_named(overlay, message):
    if "name" in overlay:
        assert expand(CONFIG, [overlay])[0].config.name == "x"  # a full name wins
        return
    with pytest.raises(UsageError, match=message):
        expand(CONFIG, [overlay])


def test_empty_grids_doubles_and_bad_override_words_are_refused():
    with pytest.raises(UsageError, match="no cells"):
        expand(CONFIG, [])
    with pytest.raises(UsageError, match="is listed twice"):
        expand(CONFIG, [{"seed": 1}, {"seed": 1}])
    for text, message in (
        ("padding", "must look like"),
        ("epochs=two", "must be of type int"),
        ("drawn=0:1", "must be of type bool"),
    ):
        with pytest.raises(UsageError, match=message):
            override_axes([{}], [text], flatten(CONFIG) | {"annotate.drawn": True})
