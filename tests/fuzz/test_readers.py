"""A few inputs on every reader; `campaign.py` tries any number."""

import pytest
from guard import bounded_memory
from hypothesis import HealthCheck, Phase, given, settings
from readers import READERS, tried

FEW = {"checkpoints": 4, "report: page": 1, "report: grid": 8, "report: study": 4}
FEW |= {"grid: resumed workdir": 8}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_hostile_input_is_read_or_refused_in_one_line(reader, tmp_path):
    if reader.name == "weights":
        pytest.importorskip("torch")

    @settings(
        max_examples=FEW.get(reader.name, 60), derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(reader.cases())
    def once(case):
        assert tried(reader, case, tmp_path) in ("accepted", "refused")

    with bounded_memory():
        once()
