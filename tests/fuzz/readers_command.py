"""Reader of the command line: overrides of the config, axes of the grid, shards."""

import sys
from pathlib import Path
from typing import Any

from absl import flags
from hypothesis import strategies as st
from strategies import TEXTS

from jaxseg.cli import grid as launcher
from jaxseg.grid.cells import expand, group_cells
from jaxseg.grid.processes import find_share, shares
from jaxseg.grid.sweeps import flatten, override_axes
from jaxseg.studies.annotations.grid_saliency import check_saliency_layer

ROOT = Path(__file__).parents[2]
CONFIG = f"{ROOT}/configs/padding_ablation.py:quick"
FIELDS = sorted(
    flatten(launcher.load_module(CONFIG.partition(":")[0]).get_config("quick").to_dict())
)
WORDS = (*TEXTS, "0", "1", "-1", "3", "1e-3", "zeros", "reflect", "zeros,reflect", "center", "True")
WORDS += ("0:3", "0:1000000000", "5:1", "0:0", "1000000000", "10**9", "(1,2)", "('full',)", "[1")
WORDS += ("((((", "__import__('os').system('true')", "{}", "()", "None", "inf", "1,2,3", ",", "=")
WORDS += ("train[:50%]", "dice", "best", "full", "4", "16", "64", "bfloat16", "random", "valid")


def arguments() -> st.SearchStrategy[list[str]]:
    """Up to three words as they are given to grid.py."""
    values = st.sampled_from(WORDS) | st.text(max_size=8)
    fields = st.sampled_from(
        (*FIELDS, "net", "data", "", "net.", "x", "net.width.x", "keys", "lock")
    )
    short = fields.map(lambda field: field.rpartition(".")[2])
    single = st.one_of(
        st.builds("--config.{}={}".format, fields, values),
        st.builds("--grid={}={}".format, fields | short, values),
        st.builds("--grid={}".format, values),
        st.builds("--shard={}".format, values | st.just("0/2")),
        st.builds("--{}={}".format, short, values),
    )
    return st.lists(single, max_size=3)


def commanded(words: list[str], folder: Path) -> None:
    """`grid.py` up to where it would prepare data."""
    argv = ["grid.py", f"--config={CONFIG}", f"--workdir={folder}", *words]
    before, sys.argv = sys.argv, argv
    try:
        _checked(argv)
    finally:
        sys.argv = before
        _forget()


def _checked(argv: list[str]) -> Any:
    overlays = launcher.load_grid(launcher.locate_config(argv)[1])
    launcher.parse_flags(argv)
    share = find_share(launcher._SHARD.value, {})
    config = launcher._CONFIG.value.to_dict()
    launcher.check_fields(CONFIG, flatten(config), overlays, launcher._GRID.value)
    if launcher._GRID.value:
        overlays = override_axes(overlays, launcher._GRID.value, flatten(config))
    groups = group_cells(expand(config, overlays))
    for cells in groups:
        check_saliency_layer(cells[0].config)
    return shares(groups, share.count)


def _forget() -> None:
    """Flags as they were before the command was parsed."""
    for name in list(flags.FLAGS):
        if name.startswith("config."):
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
    for name in ("grid", "shard", "config", "workdir"):
        flags.FLAGS[name].unparse()
