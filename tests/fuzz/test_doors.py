"""A few inputs on every door; `campaign.py` tries as many as wanted."""

import pytest
from doors import DOORS, tried
from guard import bounded_memory
from hypothesis import HealthCheck, Phase, given, settings

FEW = {"checkpoints": 4, "report: page": 1, "report: grid": 8, "report: study": 4}
FEW |= {"grid: resumed workdir": 8}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_hostile_input_is_read_or_refused_in_one_line(door, tmp_path):
    if door.name == "weights":
        pytest.importorskip("torch")

    @settings(
        max_examples=FEW.get(door.name, 60), derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(door.cases())
    def once(case):
        assert tried(door, case, tmp_path) in ("accepted", "refused")

    with bounded_memory():
        once()
