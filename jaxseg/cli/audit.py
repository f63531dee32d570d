r"""Measures shortcuts in a data set, in predictions or in a model. Nothing is trained.

    jaxseg audit dataset data/masks
    jaxseg audit dataset train=data/train/masks test=data/test/masks --out audits/mine
    jaxseg audit dataset data/masks --images data/images
    jaxseg audit predictions --truth data/masks --pred mine=data/predictions
    jaxseg audit predictions runs/padding_ablation --cell zeros-center-s0 \
        --cell reflect-center-s0 --test_set quarter
    jaxseg audit shift runs/padding_ablation --cell zeros-center-s0
    jaxseg audit features runs/padding_ablation --cell zeros-center-s0
    jaxseg audit dataset hc18/training_set --pattern '*_Annotation.png' --fill

Each command prints a table, writes CSV files and figures below --out, and adds its section to
report.html there; the same command again replaces its section. Files that cannot be used are named
and left out. The formats are png, jpg, bmp, tif, npy, npz, and the slices of nii and nii.gz where
nibabel is installed. `jaxseg audit COMMAND --help` explains a command.
Exit codes: 0 done, 1 data or disk, 2 usage, 130 interrupted.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from jaxseg.cli import audit_models
from jaxseg.cli.arguments import Parser, check_folder, check_least, check_writable, usage
from jaxseg.command_line import start_of, this_command
from jaxseg.data.images import LIMIT_PX, check_limit
from jaxseg.data.mask_coding import SEVERAL, MaskOptions
from jaxseg.data.sources import Reading
from jaxseg.errors import UsageError, printable
from jaxseg.homes import expand
from jaxseg.metrics.dice import EMPTY
from jaxseg.progress import track
from jaxseg.report.export import add_to_page, check_out
from jaxseg.report.section import Section
from jaxseg.report.terminal import terminal_text
from jaxseg.studies import dataset as dataset_study
from jaxseg.studies import predictions as predictions_study
from jaxseg.studies.folders import Predicted, read_predictions
from jaxseg.studies.predictions.counts import BORDER_PX

ORDER = ("dataset", "predictions", "shift", "features")  # of the sections of one page


def build_parser(program: str) -> argparse.ArgumentParser:
    """All commands; each adds its own flags and sets `run`, which makes its Section."""
    parser = Parser(prog=program, description=usage(__doc__, "audit"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (add_dataset, add_predictions):
        add(commands)
    models = audit_models
    shift = add_command(commands, "shift", models.shift, models.SHIFT)
    models.add_shift(shift)
    add_reading(shift, "For a function: names of the images to read", predicted=True)
    shift.set_defaults(reading=folder_reading)
    models.add_features(add_command(commands, "features", models.features, models.FEATURES))
    return parser


def add_command(commands: Any, name: str, run: Any, help_text: str) -> argparse.ArgumentParser:
    """A command with the flags that all have."""
    parser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--out", default="audit", help="Folder for the results (default: audit)")
    parser.add_argument(
        "--seed", type=int, default=0, help="Random seed of resampling and tests (default: 0)"
    )
    parser.add_argument(
        "--limit_px",
        type=int,
        default=LIMIT_PX,
        help=f"Most pixels of a frame (default: {LIMIT_PX})",
    )
    parser.set_defaults(run=run, next_step="")
    return parser


def add_reading(parser: argparse.ArgumentParser, pattern: str, *, predicted: bool = False) -> None:
    """The flags of all that read masks in folders; `pattern` is the help of --pattern."""
    parser.add_argument("--pattern", default="*", help=pattern)
    parser.add_argument(
        "--truth_pattern",
        default="*",
        help="Names of the true masks to read, such as '*_Annotation.png'",
    )
    parser.add_argument(
        "--truth_threshold",
        type=float,
        metavar="SHARE",
        help="True masks are soft: pixels from this share of full scale on are foreground",
    )
    parser.add_argument(
        "--ignore_label", type=int, metavar="LABEL", help="Label of pixels that are not scored"
    )
    parser.add_argument(
        "--several_masks",
        choices=SEVERAL,
        default="join",
        help="How several masks of one picture are read (default: join)",
    )
    if predicted:
        parser.add_argument(
            "--threshold",
            type=float,
            metavar="SHARE",
            help="Predictions are probabilities: pixels from this share of full scale on are "
            "foreground (default: 0.5 for files of probabilities; a function that returns "
            "probabilities requires it)",
        )


def folder_reading(args: argparse.Namespace) -> Reading:
    """The options of `add_reading`; UsageError for a value that breaks its rule."""
    truth = MaskOptions(args.truth_threshold, args.ignore_label, args.several_masks).check()
    reading = Reading(
        args.pattern, args.truth_pattern, truth, getattr(args, "threshold", None), args.limit_px
    )
    reading.predicted.check()
    return reading


def add_dataset(commands: Any) -> None:
    """Flags of `dataset`."""
    text = "Where objects lie in a data set, and the Dice that position alone reaches."
    parser = add_command(commands, "dataset", dataset, text)
    parser.add_argument("masks", nargs="+", metavar="[NAME=]MASKS", help="Folders of masks")
    parser.add_argument(
        "--images", nargs="+", metavar="IMAGES", help="Folders of their images, to find duplicates"
    )
    add_reading(parser, "Names of the images, or without --images of the masks, to read")
    parser.add_argument("--fill", action="store_true", help="Fill masks drawn as closed outlines")


def dataset(args: argparse.Namespace) -> Section:
    """Each folder of masks as a data set; one that cannot be used is named, the others go on."""
    folders = named_folders(args.masks)
    args.next_step = training_step([folder for _, folder in folders])
    images = args.images or [None] * len(args.masks)
    if len(images) != len(args.masks):
        raise UsageError(f"--images: {len(images)} folders for {len(args.masks)} of masks")
    # Without images --pattern chooses the masks.
    chosen = args.pattern if not args.images and args.truth_pattern == "*" else args.truth_pattern
    reading = folder_reading(args)._replace(truth_pattern=chosen)
    # All of them before the first is measured, which may take minutes.
    for (_, folder), pictures in zip(folders, images):
        check_folder("MASKS", folder, reading.truth_pattern)
        check_folder("--images", pictures, reading.pattern)
    return dataset_study.section(
        [(name, folder, pictures) for (name, folder), pictures in zip(folders, images)],
        reading=reading,
        fill=args.fill,
        progress=track,
        seed=args.seed,
    )


def training_step(masks: Sequence[str]) -> str:
    """A command that trains on the one folder of `masks`, images/ beside it; else on a DIR."""
    root = expand(masks[0]).parent
    whole = len(masks) == 1 and Path(masks[0]).name == "masks" and (root / "images").is_dir()
    folder = shlex.quote(str(root)) if whole else "DIR"
    config = f"{start_of('grid')} --config padding_ablation:folders"
    return f"does a network use it? {config} --config.data.manual_dir={folder}"


def add_predictions(commands: Any) -> None:
    """Flags of `predictions`."""
    text = "Whether a model misses objects near the border, measured on its predictions."
    parser = add_command(commands, "predictions", predictions, text)
    audit_models.add_cells(parser)
    parser.add_argument("--truth", metavar="DIR", help="Folder of true masks")
    parser.add_argument(
        "--pred",
        action="append",
        metavar="[NAME=]DIR",
        help="Folder of predicted masks; repeat it for further models, compared with the first",
    )
    parser.add_argument("--images", metavar="DIR", help="Folder of images, shown in the examples")
    add_reading(parser, "Names of the predicted masks to read", predicted=True)
    parser.add_argument(
        "--border_px",
        type=int,
        default=BORDER_PX,
        help=f"Width of the border zone (default: {BORDER_PX})",
    )
    parser.add_argument(
        "--scale_to",
        type=int,
        metavar="PX",
        help="Side of the frame to which all images were resized for the model; distances are "
        "measured in its pixels (default: in pixels of each frame)",
    )
    parser.add_argument(
        "--empty",
        choices=EMPTY,
        default="nan",
        help="Dice of an image without truth and prediction (default: nan, left out)",
    )


def predictions(args: argparse.Namespace) -> Section:
    """One or several models against the truth; files that cannot be used are left out."""
    check_least("--border_px", args.border_px)
    check_least("--scale_to", args.scale_to)
    found = audit_models.cell_pairs(args) if args.cell or args.workdir else folder_pairs(args)
    return predictions_study.section(
        found,
        border_px=args.border_px,
        scale_to=args.scale_to,
        empty=args.empty,
        seed=args.seed,
    )


def folder_pairs(args: argparse.Namespace) -> Predicted:
    """Truths and predictions in folders, matched by name and read one by one."""
    if not (args.truth and args.pred):
        raise UsageError(
            "predictions: requires --truth DIR and --pred DIR, or WORKDIR and --cell of a grid; "
            "see --help"
        )
    models = named_folders(args.pred)
    check_folder("--truth", args.truth, args.truth_pattern)
    check_folder("--images", args.images)
    for _, folder in models:
        check_folder("--pred", folder, args.pattern)
    return read_predictions(
        args.truth, models, args.images, reading=folder_reading(args), progress=track
    )


def named_folders(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(name, folder) of arguments FOLDER or NAME=FOLDER; folders of one name get their parent's."""
    pairs = [_named(argument) for argument in arguments]
    short = [name for name, _ in pairs]
    pairs = [
        (name if short.count(name) == 1 else _with_parent(folder), folder) for name, folder in pairs
    ]
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"MASKS: two folders are called {twice!r}; give NAME=FOLDER")
    return pairs


def _with_parent(folder: str) -> str:
    return printable("/".join(Path(folder).absolute().parts[-2:]))


def _named(argument: str) -> tuple[str, str]:
    if "=" not in argument or Path(argument).exists():
        return printable(Path(argument).absolute().name), argument
    parts = argument.split("=")
    splits = [("=".join(parts[:k]), "=".join(parts[k:])) for k in range(1, len(parts))]
    # Names and folders may hold "=" too: the first split whose right side is a folder.
    there = [(name, folder) for name, folder in splits if name and Path(folder).is_dir()]
    name, folder = (there or splits)[0]
    if not name:
        raise UsageError(f"MASKS: {argument!r}: must be FOLDER or NAME=FOLDER")
    return printable(name), folder


def main(argv: Sequence[str]) -> None:
    """Runs one command, writes its section of the page, and prints it."""
    # Hides log messages of Orbax and TensorFlow that do not concern the user.
    logging.set_verbosity(logging.FATAL)
    args = build_parser(argv[0]).parse_args(argv[1:])
    check_limit(args.limit_px)
    if args.seed < 0:
        raise UsageError(f"--seed {args.seed}: must be at least 0")
    check_out(expand(args.out))
    check_writable("--out", args.out)
    section = args.run(args)
    section = section._replace(code=[this_command()])
    page = add_to_page(args.out, section, ORDER)
    next_step = args.next_step or f"open {shlex.quote(str(page))}"
    print(terminal_text([section], {"Report": str(page), "Next": next_step}))
