r"""Trains a grid, scores it by distance from the centre and the border, and writes a report.

    jaxseg grid --config padding_ablation
    jaxseg grid --config padding_ablation:quick --workdir runs/smoke
    jaxseg grid --config padding_ablation:folders --config.data.manual_dir=DIR
    jaxseg grid --config isic2017:small --config.data.manual_dir=DIR
    jaxseg grid --config my_study.py --grid padding=zeros,circular --grid seed=0:10 \
        --config.optim.epochs=12 --dry_run

--config is a Python file, or the name of one that comes with jaxseg (`jaxseg configs` lists them),
with an optional variant behind a colon; --config.FIELD=VALUE sets a field of it.
The same command on the same --workdir resumes what is missing and then rewrites the report.
Several processes share a --workdir, which may be gs://…: a job array by --shard i/n, processes that
a launcher starts together by JAXSEG_DISTRIBUTED=1. The last to finish writes the report.
SIGINT (Ctrl-C) and SIGTERM finish the training step and save it; a second one ends at once.
Exit codes: 0 done, 1 data or disk, 2 usage, 130 interrupted, 143 terminated.
"""

import ast
import contextlib
import importlib.util
import logging as stdlib_logging
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from jaxseg.cli import resume_hint
from jaxseg.cli.arguments import check_writable, usage
from jaxseg.cli.configs import find_config
from jaxseg.cli.report import write_and_print_report
from jaxseg.errors import UsageError, disk_errors
from jaxseg.grid import interrupt
from jaxseg.grid.processes import Share, check_own_devices, find_share, keep_to_own_devices

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file or the name of one that comes with jaxseg, with an optional variant: "
    "padding_ablation:quick",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for results and checkpoints (default: runs/<config.name>)"
)
_GRID = flags.DEFINE_multi_string(
    "grid", [], "Replaces or adds an axis: padding=zeros,reflect or seed=0:10; may be repeated"
)
_SHARD = flags.DEFINE_string(
    "shard", None, "Run only the cells of process i of n, as in a job array: 0/4 … 3/4"
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print cells, groups, steps, memory and expected time; train nothing"
)


def parse_flags(argv: list[str]) -> None:
    """Parses the command line; raises UsageError for an unknown flag, field or value."""
    app.define_help_flags()
    whole, sys.argv = sys.argv, argv  # from which --config reads its fields
    try:
        rest = flags.FLAGS(argv)[1:]
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error)
        if isinstance(error, AttributeError | KeyError):
            # ml_collections passes on the repr of a KeyError, with quotes and escapes.
            text = text.replace("\\n", ". ").replace("\\'", "'").strip("'\"")
            text = f"--config: has no field '{text}"
        message = " ".join(text.split())
        raise UsageError(f"{message}; see --help") from error
    finally:
        sys.argv = whole
    if rest:
        raise UsageError(f"argument {rest[0]!r}: not understood; see --help")
    if _CONFIG.value is None:
        raise UsageError("--config: is required, such as --config padding_ablation")


def split_options(argv: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The command line without `--config.net.options.<name>=<value>`, and these by name.

    The options of a user's own network are in no config file, so the flag cannot know them.
    """
    rest, options = [], {}
    for word in argv:
        flag, _, value = word.partition("=")
        _, found, name = flag.lstrip("-").partition("config.net.options.")
        if not (flag.startswith("-") and found and "=" in word):
            rest.append(word)
            continue
        options[name] = value
        with contextlib.suppress(ValueError, SyntaxError):
            options[name] = ast.literal_eval(value)
    return rest, options


def load_grid(raw: str) -> list[dict]:
    """The overlays of `get_grid` in the config file named on the command line."""
    path, _, variant = raw.partition(":")
    module = load_module(path)
    module.get_config(
        variant or None
    )  # a wrong variant ends in one line here, in a stack trace in the flag
    return module.get_grid(variant or None) if hasattr(module, "get_grid") else [{}]


def load_module(path: str) -> Any:
    """The config file as a module."""
    spec = importlib.util.spec_from_file_location("jaxseg_config", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--config {path}: is not a Python file; give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_fields(raw: str, settings: dict, grid: list[dict], overrides: list[str]) -> None:
    """Raises UsageError for a field set by --config that an axis of the grid would replace."""
    from jaxseg.grid.config import make_config
    from jaxseg.grid.sweeps import resolve_field

    path, _, variant = raw.partition(":")
    default = make_config(load_module(path).get_config(variant or None).to_dict()).flat()
    names = [
        *(key for overlay in grid for key in overlay),
        *(o.partition("=")[0].strip() for o in overrides),
    ]
    for field in dict.fromkeys(resolve_field(name, default) for name in names):
        if settings[field] != default[field]:
            short = field.rpartition(".")[2]
            raise UsageError(
                f"--config.{field}={settings[field]}: is an axis of the grid, whose values "
                f"would replace it; give --grid {shlex.quote(f'{short}={settings[field]}')}"
            )


def locate_config(argv: Sequence[str]) -> tuple[list[str], str]:
    """The words with the value of --config as PATH[:VARIANT], and that value; empty for none."""
    words = list(argv)
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in ("--config", "-config") and (equals or i + 1 < len(words)):
            found = find_config(value if equals else words[i + 1])
            if equals:
                words[i] = f"--config={found}"
            else:
                words[i + 1] = found
            return words, found
    return words, ""


def start(share: Share) -> None:
    """Devices, memory and caches for this process's share."""
    keep_to_own_devices(share)
    import jax

    from jaxseg.grid.devices import check_devices, start_devices
    from jaxseg.homes import default_data_dir

    start_devices(default_data_dir() / "compiled")
    # Orbax and TensorFlow log settings and errors; users get one line instead.
    logging.set_verbosity(logging.FATAL)
    stdlib_logging.getLogger("asyncio").setLevel(stdlib_logging.CRITICAL)
    check_devices()
    check_own_devices(jax.process_count())


def score_saliency(workdir: str, test_sets: tuple[str, ...]) -> None:
    """In a study of annotations, scores how much of each network's saliency lies on them."""
    from jaxseg.studies.annotations.grid_saliency import is_current, write_saliency

    if {"clean", "annotated"} <= set(test_sets) and not is_current(workdir):
        print("scoring saliency …", file=sys.stderr, flush=True)
        write_saliency(workdir)


def main(argv: Sequence[str]) -> None:
    """Runs or describes the grid, then writes and prints the report."""
    if {"--help", "-h", "-help", "--helpshort", "-helpshort"} & {*argv}:
        print(help_text())
        return
    with interrupt.handled(f"{argv[0]}: interrupted. {resume_hint()}"):
        run(argv)


def help_text() -> str:
    """The help text of the command: its purpose and flags."""
    found = flags.FLAGS.module_help(__name__).strip().removeprefix(f"{__name__}:")
    return f"{usage(__doc__, 'grid')}\nflags:\n{found}"


def run(argv: Sequence[str]) -> None:
    """The work of `main`, after signals are handled."""
    words, found = locate_config(argv)
    words, options = split_options(words)
    grid = load_grid(found) if found else []
    parse_flags(words)
    if _WORKDIR.value:
        check_writable("--workdir", _WORKDIR.value)
    share = find_share(_SHARD.value, os.environ)
    start(share)
    from jaxseg.grid.cells import expand, group_cells
    from jaxseg.grid.config import make_config
    from jaxseg.grid.describe import describe
    from jaxseg.grid.run import run_grid
    from jaxseg.grid.storage import as_folder
    from jaxseg.grid.sweeps import override_axes
    from jaxseg.studies.annotations.grid_saliency import check_saliency_layer

    config = _CONFIG.value.to_dict()
    if options:
        config["net"]["options"] = config["net"].get("options", {}) | options
    settings = make_config(config).flat()
    check_fields(found, settings, grid, _GRID.value)
    grid = override_axes(grid, _GRID.value, settings) if _GRID.value else grid
    groups = group_cells(expand(config, grid))
    for cells in groups:
        check_saliency_layer(cells[0].config)
    first = groups[0][0].config  # overlays may set a name or test sets, the same in all
    workdir = _WORKDIR.value or os.path.join("runs", first.name)
    if _DRY_RUN.value:
        print(describe(config, grid, as_folder(workdir)))
        return
    with disk_errors(as_folder(workdir)):
        missing = run_grid(config, grid, workdir, share)
        if missing:
            report = "the last process writes the report"
            print(f"{len(missing)} of {len(grid)} cells are missing; {report}")
            return
        score_saliency(workdir, first.eval.test_sets)
        write_and_print_report(workdir)
