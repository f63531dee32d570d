"""Does a model, whoever made it, lose objects near the border? The paper's Fig. 4 for any masks."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jaxseg.metrics.bootstrap import RESAMPLES
from jaxseg.studies.predictions.counts import BORDER_PX, PairCounts, count_predictions
from jaxseg.studies.predictions.differences import Difference, differences
from jaxseg.studies.predictions.erased_border import Erased
from jaxseg.studies.predictions.scores import (
    POOLED,
    Score,
    arms,
    erased_borders,
    scores,
)


class PredictionAudit(NamedTuple):
    """Everything `predictions` has to say; `erased` by (model, class).

    `models` are the scored ones, with `fixed mask`, the position-only baseline, as the last where
    there is one.
    """

    counts: PairCounts
    models: list[str]
    scores: list[Score]
    differences: list[Difference]
    erased: dict[tuple[str, str], Erased]

    @property
    def classes(self) -> list[str]:
        """`all` first, then every class that occurs, where there are several."""
        return list(dict.fromkeys(score.cls for score in self.scores))

    def score(self, model: str, band: str, metric: str, cls: str = POOLED) -> Score:
        """The one Score with these keys; KeyError when there is none."""
        wanted = (model, cls, band, metric)
        for row in self.scores:
            if row[:4] == wanted:
                return row
        raise KeyError(wanted)


def audit_predictions(
    items: Iterable[tuple[Any, ...]],
    names: Sequence[str],
    *,
    border_px: int = BORDER_PX,
    scale_to: int | None = None,
    left_out: list[str] | None = None,
    empty: str = "nan",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PredictionAudit:
    """Passes once over (id, truth, prediction, …) and scores every model; see the parts.

    Args:
      items, names, border_px, scale_to, left_out: as in `prediction_counts.count_predictions`.
      empty, resamples, seed: as in `prediction_scores.scores`.
    Raises:
      UsageError, JaxsegError: as `count_predictions`; UsageError for an unknown `empty`.
    """
    counts = count_predictions(
        items, names, border_px=border_px, scale_to=scale_to, left_out=left_out
    )
    found = arms(counts)
    return PredictionAudit(
        counts=counts,
        models=found.names,
        scores=scores(found, border_px, empty=empty, resamples=resamples, seed=seed),
        differences=differences(found, empty=empty, resamples=resamples, seed=seed),
        erased=erased_borders(counts),
    )
