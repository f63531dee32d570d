"""The two kinds of rows that all studies make: an estimate, and a contrast of estimates."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxseg.metrics.verdict import HIGHER, LOWER


class EstimateRow(NamedTuple):
    """One number of one arm (a model is an arm of one seed), with its 95 % interval.

    Metrics are shares in [0, 1], differences of them lie in [-1, 1]; intervals end where the metric
    does. `band` is `all`, `outer`, `inner`, `inner-outer`, `centre:<outer half-width, px>`,
    `border:<from>-<to, px>`, `plane:<name>` or `stage:<k>`. `sd_seeds` is the spread between
    training runs. `n_left_out` counts images without a value of their own (nothing there and
    nothing predicted in that band), averaged over runs. `cls` is `all` or one class.
    """

    arm: str
    test_set: str
    band: str
    metric: str
    value: float
    ci_low: float
    ci_high: float
    n_images: int
    n_seeds: int
    sd_seeds: float
    n_left_out: float
    cls: str = "all"


class ContrastRow(NamedTuple):
    """One difference between arms: paired by seed, or by image where each arm is one model.

    A `pair` is arm_a − arm_b, where arm_b has the first value of `axis` and arm_a another one. An
    `interaction` is (arm_a − arm_b) − (arm_c − arm_d) for `axis` = "X x Y": the effect of Y under
    another value of X, minus its effect under the first value of X. `p` is the exact sign-flip p
    of the pairs, which cannot be below `p_floor`; `p_holm` is corrected over all rows of one metric
    and test set. `smallest_detectable` is what would be shown with 80 % power. `verdict` is a word
    of `metrics.verdict`. `n_left_out` counts pairs without a value.
    """

    kind: str
    axis: str
    arm_a: str
    arm_b: str
    arm_c: str
    arm_d: str
    test_set: str
    band: str
    metric: str
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_floor: float
    p_holm: float
    n_seeds: int
    n_images: int
    sd: float
    smallest_detectable: float
    seeds_needed: float
    verdict: str
    n_left_out: int = 0

    @property
    def arms(self) -> tuple[str, ...]:
        """The two or four arms compared, one for a row of a single arm."""
        return tuple(arm for arm in (self.arm_a, self.arm_b, self.arm_c, self.arm_d) if arm)

    @property
    def is_shown(self) -> bool:
        """Whether the verdict is `higher` or `lower`."""
        return self.verdict in (HIGHER, LOWER)


# The columns of summary.csv and comparisons.csv.
SUMMARY_COLUMNS = EstimateRow._fields[: EstimateRow._fields.index("n_left_out") + 1]
COMPARISON_COLUMNS = ContrastRow._fields[: ContrastRow._fields.index("verdict") + 1]


def value_of(
    rows: Sequence[EstimateRow], arm: str, test_set: str, band: str, metric: str, cls: str = "all"
) -> EstimateRow | None:
    """The one row with these keys, or None."""
    wanted = (arm, test_set, band, metric, cls)
    return next((r for r in rows if (r.arm, r.test_set, r.band, r.metric, r.cls) == wanted), None)


def families(rows: Sequence[ContrastRow]) -> list[list[ContrastRow]]:
    """The rows of each (test set, band, metric), in order: what Holm corrects together."""
    found: dict[tuple[str, str, str], list[ContrastRow]] = {}
    for row in rows:
        found.setdefault((row.test_set, row.band, row.metric), []).append(row)
    return list(found.values())
