"""The code of README and docs/ runs as it stands; commands run on small data, by a handler below.

A command without a handler fails a test: no page shows a command that nobody has tried.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import cv2
import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
TEXT = "\n".join(PAGES.values())
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
# What makes a command of minutes one of seconds; data and network, not what it does.
PHANTOMS = ["--config.data.train_split=train[:16]", "--config.data.test_split=test[:8]"]
SMALL = ["--config.data.size=32", "--config.net.width=2", "--config.net.depth=2"]
SMALL += ["--config.optim.epochs=1", "--config.eval.border_px=4", "--grid", "seed=0:2"]


def commands():
    """Every command of the shell blocks, and of the paper's table, without its variables."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    table = "\n".join(re.findall(r"\| `((?:python|jaxseg) [^`]*)`", TEXT))
    lines = f"{blocks}\n{table}".replace("\\\n", " ").replace(" && ", "\n").splitlines()
    return list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))


def kind_of(command):
    """The one handler that a command falls to."""
    grid = r"(?:python launch/grid\.py|jaxseg grid) "
    audit = r"(?:python launch/audit\.py|jaxseg audit) "
    kinds = {
        "install": r"pip install -e ",
        "tests": r"python -m pytest$",
        "help": r"(?:python launch/\w+\.py|jaxseg \w+) --help$",
        "shards": r"python launch/grid\.py … --shard i/n$",
        "downloads": rf"{grid}.*(isic2017|:hc18|:paper)",
        "dry run": rf"{grid}.*--dry_run",
        "own network": rf"{grid}.*my_net\.py",
        "grid": grid,
        "inspect": r"python launch/inspect_checkpoint\.py ",
        "compare": r"jaxseg compare ",
        "audit": audit,
        "benchmark": r"python launch/benchmark\.py ",
    }
    return next((kind for kind, pattern in kinds.items() if re.match(pattern, command)), None)


def of_kind(*kinds):
    return [command for command in commands() if kind_of(command) in kinds]


def test_every_command_has_a_handler():
    assert len(commands()) > 20
    assert [command for command in commands() if kind_of(command) is None] == []


def test_installations_name_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(extras["optional-dependencies"])
    named = set(re.findall(r"pip install (?:-c \S+ )?-e '?\.\[(\w+)\]", TEXT))
    assert named and named <= known
    assert of_kind("install", "tests")


def test_python_blocks_run(capsys):
    blocks = [block for block in BLOCKS if not block.startswith("# mymodel.py")]
    assert blocks and len(BLOCKS) == len(blocks) + 1
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_named_files_and_figures_exist():
    named = re.findall(r"(?:launch|configs|tests|jaxseg)/[\w/]+\.(?:py|sh|sbatch|yaml)", TEXT)
    assert len(named) > 20
    for name in set(named):
        assert (ROOT / name).is_file(), name


def anchors(page):
    """The names under which a page's headings can be linked to."""
    heads = re.findall(r"(?m)^#+ (.*)$", PAGES[page])
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_of_docs_is_linked_from_the_front_page():
    front = PAGES[ROOT / "README.md"]
    assert [page.name for page in PAGES if page.parent == ROOT / "docs"] == [
        page.name for page in PAGES if f"](docs/{page.name})" in front
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with images and masks of squares, as a stranger would have them, and a model."""
    folder = tmp_path_factory.mktemp("stranger")
    rng = np.random.default_rng(0)
    for part in (".", "test", "train"):
        for name in ("images", "masks", "predictions"):
            (folder / "DIR" / part / name).mkdir(parents=True)
        for k in range(30):
            mask = np.zeros((48, 64), np.uint8)
            top, left = rng.integers(4, 24), rng.integers(4, 40)
            mask[top : top + 16, left : left + 16] = 255
            image = np.repeat(mask[..., None] // 2 + rng.integers(0, 90), 3, axis=2)
            Image.fromarray(mask).save(folder / "DIR" / part / "masks" / f"im{k}.png")
            Image.fromarray(mask).save(folder / "DIR" / part / "predictions" / f"im{k}.png")
            Image.fromarray(image.astype(np.uint8)).save(
                folder / "DIR" / part / "images" / f"im{k}.png"
            )
    downloads(folder / "DIR")
    (folder / "ONE").mkdir()  # with no other layout beside it
    for name in ("images", "masks"):
        (folder / "ONE" / name).symlink_to(folder / "DIR" / name)
    for name in ("launch", "configs", "jaxseg"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def downloads(root):
    """What ISIC 2017 and HC18 leave when unpacked, a few files of each."""
    for part in ("Training", "Validation", "Test_v2"):
        images, masks = (
            root / f"ISIC-2017_{part}_Data",
            root / f"ISIC-2017_{part}_Part1_GroundTruth",
        )
        images.mkdir()
        masks.mkdir()
        for k in range(24):
            Image.open(root / f"images/im{k}.png").save(images / f"ISIC_{k:07}.jpg")
            shutil.copy(root / f"masks/im{k}.png", masks / f"ISIC_{k:07}_segmentation.png")
    (root / "training_set").mkdir()
    for k in range(20):
        line = np.zeros((48, 64), np.uint8)
        cv2.ellipse(line, (32, 24), (20, 14), k, 0, 360, 255)
        shutil.copy(root / f"images/im{k}.png", root / f"training_set/{k:03}_HC.png")
        Image.fromarray(line).save(root / f"training_set/{k:03}_HC_Annotation.png")


def call(home, words):
    environment = os.environ | {"JAXSEG_CACHE": str(home / "cache"), "PYTHONPATH": str(home)}
    python = {"python": [sys.executable], "jaxseg": [sys.executable, "-m", "jaxseg"]}
    words = [*python[words[0]], *words[1:]]
    done = subprocess.run(
        words, cwd=home, env=environment, capture_output=True, text=True, timeout=900
    )
    said = f"{shlex.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert done.returncode == 0, said
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("help", "dry run", "downloads", "shards"))
def test_command_is_understood(command, home):
    """Where the data are a download: all but the data is checked, and every cell laid out."""
    config = "--config configs/padding_ablation.py"
    words = shlex.split(command.replace("…", config).replace("i/n", "0/2"))
    words += ["--dry_run"] * (kind_of(command) in ("downloads", "shards"))
    if ":small" in command:  # which takes slices of more files than these
        words += ["--config.data.train_split=train[:18]", "--config.data.val_split=train[18:]"]
    told = call(home, words)
    assert ("cells" in told) == (kind_of(command) != "help") or "help" in command


@pytest.fixture(scope="module")
def grid(home):
    """The first command of README, on less data; what others inspect and audit."""
    assert "python launch/grid.py --config configs/padding_ablation.py" in commands()
    words = ["python", "launch/grid.py", "--config", "configs/padding_ablation.py"]
    call(home, [*words, *PHANTOMS, *SMALL])
    return home / "runs/padding_ablation"


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("grid"))
def test_grid_command_leaves_its_report(command, home, grid):
    words = shlex.split(command.replace("manual_dir=DIR", "manual_dir=ONE"))
    if "caliper" in command:
        pytest.skip("its report from the real entry point is tests/test_launch.py's")
    own = "folders" in command
    workdir = f"{grid}_folders" if own else str(grid)
    workdir = words[words.index("--workdir") + 1] if "--workdir" in words else workdir
    call(home, [*words, *SMALL, *(() if own else PHANTOMS)])
    assert (home / workdir / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("inspect", "audit"))
def test_command_on_a_grid_or_a_folder_leaves_its_page(command, home, grid):
    if "mymodel" in command:
        write_model(home)
    meant = {"WORKDIR": "runs/padding_ablation", "A": "zeros-center-s0", "B": "reflect-center-s0"}
    words = [meant.get(word, word) for word in shlex.split(command)]
    if kind_of(command) == "audit" and "--out" not in words:
        words += ["--out", "audits/table"]
    out = home / words[words.index("--out") + 1] if "--out" in words else None
    if out is not None:
        shutil.rmtree(out, ignore_errors=True)
    assert call(home, words).strip()
    assert out is None or (out / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("compare"))
def test_compare_command_leaves_its_page(command, home):
    for arm in ("reflect", "zeros"):
        for seed in range(2):
            run = home / "runs" / arm / f"seed{seed}"
            shutil.copytree(home / "DIR/predictions", run, dirs_exist_ok=True)
    words = shlex.split(command)
    out = words[words.index("--out") + 1] if "--out" in words else "compared"
    shutil.rmtree(home / out, ignore_errors=True)
    assert call(home, words).strip()
    assert (home / out / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("own network"))
def test_a_network_of_readme_is_trained_in_a_grid(command, home):
    (block,) = (block for block in BLOCKS if block.startswith("# my_net.py"))
    (home / "my_net.py").write_text(block)
    less = [word for word in SMALL if "depth" not in word]
    call(home, [*shlex.split(command), *less, *PHANTOMS, "--workdir", "runs/own"])
    assert (home / "runs/own/report.html").stat().st_size > 10_000


def write_model(home):
    """README's mymodel.py, and an exported network that calls bright pixels the object."""
    torch = pytest.importorskip("torch")
    (block,) = (block for block in BLOCKS if block.startswith("# mymodel.py"))
    (home / "mymodel.py").write_text(block)
    layer = torch.nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(-1.2)
    size = [torch.export.Dim(name, min=8, max=4096) for name in ("height", "width")]
    exported = torch.export.export(
        layer, (torch.zeros(1, 3, 48, 64),), dynamic_shapes=({2: size[0], 3: size[1]},)
    )
    torch.export.save(exported, home / "model.pt2")


@pytest.mark.slow
@pytest.mark.parametrize("command", of_kind("benchmark"))
def test_benchmark_command_prints_its_rows(command, home):
    if "torch" in command:
        pytest.importorskip("torch")
    less = "--width 4 --size 32 --repeats 3 --steps 1 --cells 4 --epochs 1 --file_height 64"
    assert "ms" in call(home, shlex.split(f"{command} {less}"))
