r"""Writes the masks that a trained network of a grid predicts for a folder of images.

    jaxseg predict runs/padding_ablation --cell zeros-center-s0 --images data/images \
        --out predictions

Every image is shown whole to the network, resized to the frame it was trained on, and its mask is
enlarged to the image's own size. Masks are png files with the images' names: 0 and 255 where there
is one class, else class indices 0, 1, 2, …; `jaxseg audit predictions` reads both without a flag.
Images that cannot be read are named and left out. Existing files are kept unless --overwrite is
given.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from absl import logging

from jaxseg.cli.arguments import Parser, check_folder, check_writable, usage
from jaxseg.command_line import start_of
from jaxseg.data.files import named_files, split_roles
from jaxseg.data.images import LIMIT_PX, check_limit, png_bytes, read_image, stem_of
from jaxseg.errors import JaxsegError, UsageError, check_choice, printable
from jaxseg.homes import expand
from jaxseg.progress import track

_BATCH = 16
_MAX_LEFT_OUT = 10


def main(argv: Sequence[str]) -> None:
    """Predicts, writes the masks and prints the next command."""
    logging.set_verbosity(logging.FATAL)  # hides log messages of Orbax about errors
    args = _parser(argv[0]).parse_args(argv[1:])
    check_limit(args.limit_px)
    if "://" not in args.workdir:
        check_folder("WORKDIR", args.workdir)
    check_folder("--images", args.images, args.pattern)
    out = _check_out(args.out, args.images)
    from jaxseg.grid.checkpoints import find_cells
    from jaxseg.grid.loading import load_cell
    from jaxseg.grid.storage import write_bytes

    cells = find_cells(args.workdir)
    check_choice("--cell", args.cell, cells)
    classes = cells[args.cell][2]["classes"]
    left_out: list[str] = []
    found = named_files(args.images, left_out, pattern=args.pattern)
    pictures, masks = split_roles(found)
    targets = {
        name: out / path.parent.relative_to(expand(args.images)) / f"{stem_of(path)}.png"
        for name, path in pictures.items()
    }
    if not args.overwrite:
        _refuse_existing(args.out, targets.values())
    predict, config = load_cell(args.workdir, args.cell)
    size = config.data.size
    images = _readable(pictures, args.limit_px, left_out)
    written = empty = 0
    for name, mask in predicted_masks(predict, images, size):
        mask = mask * 255 if len(classes) == 1 else mask
        write_bytes(targets[name], png_bytes(mask))
        written += 1
        empty += not mask.any()
    if not written:
        raise JaxsegError(f"--images {args.images}: no image could be read; {left_out[0]}")
    coding = "0 is background, 255 the object" if len(classes) == 1 else (
        "0 is background, " + ", ".join(f"{k} {name}" for k, name in enumerate(classes, 1))
    )  # fmt: skip
    print(f"{written} masks in {printable(str(out))} ({empty} of them empty): {coding}")
    print(f"Images were shown to {args.cell} whole, resized to {size} × {size} pixels.")
    if masks:
        print(f"{len(masks)} masks lie among the images and were left out (known by their names).")
    _print_left_out(left_out)
    truth = expand(args.images).parent / "masks"
    known = truth.is_dir() and truth.resolve() != out.resolve()
    pair = ["--truth", str(truth) if known else "MASKS", "--pred", f"{args.cell}={out}"]
    print(f"Next: {start_of('audit')} predictions {shlex.join(pair)}")


def predicted_masks(
    predict: Any, images: Iterator[tuple[str, Any]], size: int
) -> Iterator[tuple[str, Any]]:
    """(name, class indices uint8 [H, W]) of (name, image uint8 [H, W, 3]), each in its own size.

    `predict` maps uint8 [B, size, size, 3] to class indices uint8 [B, size, size].
    """
    import cv2
    import numpy as np

    from jaxseg.data.cuts import cut

    def whole_frame(image: Any) -> Any:
        """An image resized as in prepared data sets, so that the network sees it as in its test."""
        blank = np.zeros(image.shape[:2], np.uint8)
        return cut(image, blank, (0.0, 0.0, 1.0, 1.0), size)[0]

    while batch := list(islice(images, _BATCH)):
        frames = [whole_frame(image) for _, image in batch]
        # The last batch is padded, so that one compiled program serves all.
        frames += [frames[0]] * (_BATCH - len(frames))
        for (name, image), mask in zip(batch, predict(np.stack(frames))):
            across, down = image.shape[1], image.shape[0]
            yield name, cv2.resize(mask, (across, down), interpolation=cv2.INTER_NEAREST_EXACT)


def _parser(program: str) -> Parser:
    parser = Parser(prog=program, description=usage(__doc__))
    parser.add_argument("workdir", metavar="WORKDIR", help="folder of a grid, which may be gs://…")
    parser.add_argument("--cell", required=True, help="cell of the grid, such as zeros-center-s0")
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of images")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the masks")
    parser.add_argument("--overwrite", action="store_true", help="replace existing masks")
    parser.add_argument(
        "--pattern", default="*", help="names of the images to read, such as '*_0000.png'"
    )
    parser.add_argument(
        "--limit_px",
        type=int,
        default=LIMIT_PX,
        help=f"most pixels of an image (default: {LIMIT_PX})",
    )
    return parser


def _check_out(out: str, images: str) -> Path:
    check_writable("--out", out)
    folder, home = expand(out), expand(images).resolve()
    if folder.resolve() == home or home in folder.resolve().parents:
        raise UsageError(f"--out {out}: lies in the folder of the images; give another folder")
    return folder


def _refuse_existing(out: str, targets: Iterable[Path]) -> None:
    there = [path for path in targets if path.exists()]
    if there:
        which = f"{there[0].name} exists"
        if there[1:]:
            which = f"{there[0].name} and {len(there) - 1} more files exist"
        raise UsageError(f"--out {out}: {which} already; give --overwrite or another folder")


def _readable(
    pictures: Mapping[str, Path], limit_px: int, left_out: list[str]
) -> Iterator[tuple[str, Any]]:
    for name, path in track(pictures.items(), len(pictures), "predicting"):
        try:
            yield name, read_image(path, limit_px)
        except JaxsegError as error:
            left_out.append(str(error))


def _print_left_out(left_out: Sequence[str]) -> None:
    if left_out:
        print(f"Left out: {len(left_out)} file{'s' if len(left_out) > 1 else ''}")
        print("\n".join(f"  {printable(line)}" for line in left_out[:_MAX_LEFT_OUT]))
    if len(left_out) > _MAX_LEFT_OUT:
        print(f"  … and {len(left_out) - _MAX_LEFT_OUT} more")
