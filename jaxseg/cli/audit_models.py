"""Audits of cells of a grid and of functions: predictions, `shift`, `features`."""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import cv2

from jaxseg.cli.arguments import check_folder, check_least
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.checkpoints import find_cells
from jaxseg.grid.loading import load_variables
from jaxseg.progress import track
from jaxseg.report.section import Section
from jaxseg.studies import features as features_study
from jaxseg.studies import shift as shift_study
from jaxseg.studies.cell_frames import cell_frames, data_here, frames_at, predict_cells
from jaxseg.studies.features.measures import RANDOM_SEEDS
from jaxseg.studies.folders import Predicted, frames_with_truth, readable
from jaxseg.studies.models import callable_model, load_callable, network_model

SHIFT = "How predictions change when the frame moves, and how deep the border reaches."
FEWEST_FRAMES = 7  # half of them train the probe
FEATURES = "How well a linear probe reads the distance to the border from a cell's features."


def add_place(parser: argparse.ArgumentParser) -> None:
    """The flag of all that read a grid's own data set."""
    parser.add_argument(
        "--manual_dir",
        metavar="DIR",
        help="Folder of the grid's images (default: the folder it was trained on)",
    )


def add_cells(parser: argparse.ArgumentParser) -> None:
    """Flags of `predictions` for the cells of a grid."""
    parser.add_argument(
        "workdir", nargs="?", help="Folder of a grid, instead of --truth and --pred"
    )
    parser.add_argument(
        "--cell", action="append", help="Cell of the grid; repeat it for further cells"
    )
    parser.add_argument(
        "--test_set", help="Test set of the grid, such as quarter (default: its first)"
    )
    add_place(parser)


def cell_pairs(args: argparse.Namespace) -> Predicted:
    """Cells of a grid on one of its test sets."""
    if not (args.cell and args.workdir) or args.truth or args.pred:
        raise UsageError(
            "predictions: WORKDIR and --cell go together, without --truth and --pred; see --help"
        )
    check_cells(args.workdir, args.cell, args.manual_dir)
    return predict_cells(args.workdir, args.cell, args.test_set, manual_dir=args.manual_dir)


def check_cells(workdir: str, cells: Sequence[str], manual_dir: str | None) -> None:
    """Raises UsageError for a folder that does not exist or a cell that the grid lacks."""
    if "://" not in workdir:
        check_folder("WORKDIR", workdir)
    check_folder("--manual_dir", manual_dir)
    known = find_cells(workdir)
    for cell in cells:
        check_choice("--cell", cell, known)


def add_shift(parser: argparse.ArgumentParser) -> None:
    """Flags of `shift`."""
    parser.add_argument(
        "model",
        metavar="WORKDIR|MODULE:FUNCTION",
        help="Folder of a grid, or a function from an image, uint8 [H, W, 3], to its mask [H, W]: "
        "bool, {0, 255} or class indices",
    )
    parser.add_argument("--cell", help="Cell of the grid, such as zeros-center-s0")
    add_place(parser)
    parser.add_argument("--images", metavar="DIR", help="For a function: folder of images")
    parser.add_argument("--truth", metavar="DIR", help="For a function: folder of their masks")
    parser.add_argument(
        "--size",
        type=int,
        default=256,
        help="For a function: side of its frames in pixels (default: 256)",
    )
    parser.add_argument(
        "--batched", action="store_true", help="For a function: it maps [B, H, W, 3] to [B, H, W]"
    )
    parser.add_argument(
        "--classes",
        type=int,
        help="For a function: foreground classes (default: as many as the truth has)",
    )
    parser.add_argument("--frames", type=int, default=24, help="Number of frames (default: 24)")
    parser.add_argument("--step", type=int, help="Pixels between two positions of the window")


def shift(args: argparse.Namespace) -> Section:
    """A cell of a grid by its logits, or any function from images to masks by its masks."""
    check_least("--frames", args.frames)
    check_least("--step", args.step)
    return _shift_of_cell(args) if args.cell else _shift_of_function(args)


def _shift_of_cell(args: argparse.Namespace) -> Section:
    if args.images or args.truth:
        raise UsageError(
            "--images, --truth: are for a function; a cell gets its own test images, which "
            "--manual_dir finds"
        )
    check_cells(args.model, [args.cell], args.manual_dir)
    net, variables, config = load_variables(args.model, args.cell)
    model = network_model(args.cell, net, variables, config.data.size)
    place = data_here(config, args.manual_dir)
    taken = cell_frames(place, model.size, 1).taken
    section = shift_study.section(model, frames_at(place, args.frames), step=args.step)
    return section._replace(taken=[taken])


def _shift_of_function(args: argparse.Namespace) -> Section:
    if not (args.images and args.truth):
        raise UsageError("shift: give --cell of a grid, or --images and --truth for a function")
    reading = args.reading(args)
    check_folder("--images", args.images, reading.pattern)
    check_folder("--truth", args.truth, reading.truth_pattern)
    check_least("--size", args.size, 8)
    check_least("--classes", args.classes)
    found = frames_with_truth(args.truth, args.images, reading=reading, progress=track)
    classes = args.classes or max(found.masks.coding.n_classes, 1)
    predict = load_callable(
        args.model, classes=classes, batched=args.batched, side=args.size,
        threshold=reading.threshold,
    )  # fmt: skip
    model = callable_model(args.model, predict, size=args.size, classes=classes)
    left_out: list[str] = []

    def at(side: int) -> Iterator[Any]:
        left_out.clear()
        for name, (image, mask) in readable(found.items[: args.frames], found.read, left_out):
            frame = (side, side)
            nearest = cv2.resize(mask, frame, interpolation=cv2.INTER_NEAREST)
            yield name, cv2.resize(image, frame, interpolation=cv2.INTER_AREA), nearest

    section = shift_study.section(model, at, step=args.step)
    return section._replace(
        taken=found.taken,
        notes=[*found.masks.cautions, *section.notes],
        left_out=[*section.left_out, *found.left_out, *left_out],
    )


def add_features(parser: argparse.ArgumentParser) -> None:
    """Flags of `features`."""
    parser.add_argument("workdir", metavar="WORKDIR", help="Folder of a grid")
    parser.add_argument(
        "--cell",
        action="append",
        required=True,
        help="Cell of the grid; repeat it for further cells",
    )
    add_place(parser)
    parser.add_argument("--layer", help="Layer to map (default: the last)")
    parser.add_argument("--frames", type=int, default=48, help="Number of frames (default: 48)")
    parser.add_argument(
        "--random_nets", type=int, default=RANDOM_SEEDS, help="Number of random networks"
    )


def features(args: argparse.Namespace) -> Section:
    """Each cell with its linear probes and their controls."""
    check_least("--frames", args.frames, FEWEST_FRAMES)
    check_least("--random_nets", args.random_nets)
    check_cells(args.workdir, args.cell, args.manual_dir)
    asked = [(name, *load_variables(args.workdir, name)) for name in args.cell]
    cells = []
    for name, net, variables, config in asked:
        place, size = data_here(config, args.manual_dir), config.data.size
        frames = partial(cell_frames, place, size, args.frames)
        cells.append(features_study.Cell(name, net, variables, size, frames))
    return features_study.section(cells, layer=args.layer, seeds=args.random_nets)
