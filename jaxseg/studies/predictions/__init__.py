"""Does a model lose objects near the border? Asked of its predictions alone, whoever made it.

Measured are Dice and recall by distance from the centre and from the border, the border shortcut
index (recall inside minus recall near the border), the width of a border in which nothing is found,
a fixed mask that ignores the image, and the differences between models.
"""

from jaxseg.metrics.bootstrap import RESAMPLES
from jaxseg.report.section import Section
from jaxseg.studies.folders import Predicted
from jaxseg.studies.predictions.counts import BORDER_PX
from jaxseg.studies.predictions.examples import Shown, choose_examples
from jaxseg.studies.predictions.measures import audit_predictions
from jaxseg.studies.predictions.sections import to_section


def section(
    found: Predicted,
    *,
    border_px: int = BORDER_PX,
    scale_to: int | None = None,
    empty: str = "nan",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Section:
    """The audit of one or several models, each compared with the first.

    Args:
      found: truths and predictions, of `folders.read_predictions` or `predictions.cells`.
      border_px, scale_to, empty, resamples, seed: as in `measures.audit_predictions`, with its
        errors.
    """
    audit = audit_predictions(
        found.items,
        found.names,
        border_px=border_px,
        scale_to=scale_to,
        left_out=found.left_out,
        empty=empty,
        resamples=resamples,
        seed=seed,
    )
    examples = [Shown(chosen, *found.show(chosen.id)) for chosen in choose_examples(audit.counts)]
    made = to_section(audit, examples)
    return made._replace(taken=found.taken, notes=[*found.cautions, *made.notes])
