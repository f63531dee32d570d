import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def own_network(tmp_path, monkeypatch):
    """README's example as a user has it: my_net.py in the working folder."""
    code = re.search(r"```python\n(# my_net\.py\n.*?)```", README.read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "my_net.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return "my_net.py:ResidualUNet"
