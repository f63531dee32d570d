"""README's library example runs as it stands; its commands name files that are there."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_python_blocks_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_named_files_exist():
    for name in set(re.findall(r"(?:launch|configs|tests)/[\w/]+\.py", README)):
        assert (ROOT / name).is_file(), name
