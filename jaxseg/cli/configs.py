"""Lists the configs that come with jaxseg, and copies one to edit it.

    jaxseg configs
    jaxseg configs copy padding_ablation
    jaxseg configs copy padding_ablation my_study

`jaxseg grid --config NAME` runs one of them, NAME:VARIANT one of its variants. A copy is yours:
edit it and run it by its path. Nothing is overwritten.
"""

import ast
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

import jaxseg
from jaxseg.cli.arguments import Parser, check_writable, usage
from jaxseg.command_line import start_of
from jaxseg.errors import UsageError, check_choice
from jaxseg.homes import expand

_LINE = 88


def configs_folder() -> Path:
    """Where the configs lie: in the installed package, or beside it in a checkout."""
    package = Path(jaxseg.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """Names of the configs that come with jaxseg, without files that only other configs use."""
    return [path.stem for path in sorted(configs_folder().glob("*.py")) if _is_config(path)]


def find_config(given: str) -> str:
    """PATH[:VARIANT] for the value of --config: a path, or the name of a config of jaxseg.

    Raises UsageError for a path that is not a file and for an unknown name, naming the nearest.
    """
    place, colon, variant = given.partition(":")
    if place and (place.endswith(".py") or Path(place).name != place):
        if not Path(place).is_file():
            raise UsageError(
                f"--config {place}: no such file; a name without .py, such as padding_ablation, "
                "is a config that comes with jaxseg"
            )
        return given
    check_choice("--config", place, config_names())
    return f"{configs_folder() / place}.py{colon}{variant}"


def list_configs() -> str:
    """Name, purpose and variants of every config, and what to do with them."""
    parts = []
    for name in config_names():
        tree = _tree(configs_folder() / f"{name}.py")
        purpose = (ast.get_docstring(tree) or "").partition("\n")[0]
        parts.append(name)
        parts += textwrap.wrap(purpose, _LINE, initial_indent="  ", subsequent_indent="  ")
        if variants := _variants(tree):
            parts.append(f"  variants: {', '.join(variants)}")
        parts.append("")
    grid = start_of("grid")
    return "\n".join(
        [
            *parts,
            f"Run one:   {grid} --config padding_ablation:quick",
            "Edit one:  jaxseg configs copy padding_ablation",
        ]
    )


def copy_config(name: str, folder: str = ".") -> list[Path]:
    """Copies a config, and files beside it that it runs, into `folder`; returns the new files.

    Raises UsageError for an unknown name and for a file that exists already, unless it is one of
    these others with the same text.
    """
    check_choice("NAME", name, config_names())
    check_writable("DIR", folder)
    home, texts = configs_folder(), {}
    waiting = [f"{name}.py"]
    while waiting:
        file = waiting.pop()
        texts[file] = (home / file).read_text("utf-8")
        used = _used_files(_tree(home / file))
        waiting += [one for one in used if (home / one).is_file() and one not in texts]
    targets = {expand(folder) / file: text for file, text in texts.items()}
    for target, text in targets.items():
        if not target.exists():
            continue
        if target.stem == name or target.read_text("utf-8", errors="replace") != text:
            raise UsageError(f"DIR {folder}: {target} exists already; give another folder")
    for target, text in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    return list(targets)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _is_config(path: Path) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == "get_config" for n in _tree(path).body)


def _variants(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "VARIANTS" for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return []


def _used_files(tree: ast.Module) -> list[str]:
    """Names of Python files that a config names, such as base.py."""
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [word for word in words if isinstance(word, str) and word.endswith(".py")]


def main(argv: Sequence[str]) -> None:
    """Lists the configs, or copies one."""
    parser = Parser(prog=argv[0], description=usage(__doc__, "grid"))
    commands = parser.add_subparsers(dest="command", metavar="copy")
    copy = commands.add_parser("copy", help="copy a config into a folder")
    copy.add_argument("name", metavar="NAME", help="a name that `jaxseg configs` lists")
    copy.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        default=".",
        help="folder for the copy (default: the working folder)",
    )
    args = parser.parse_args(argv[1:])
    if args.command is None:
        print(list_configs())
        return
    copied = copy_config(args.name, args.folder)
    print("wrote " + " and ".join(map(str, copied)))
    print(f"Next: edit it, then  {start_of('grid')} --config {shlex.quote(str(copied[0]))}")
