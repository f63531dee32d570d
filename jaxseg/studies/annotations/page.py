"""What the page of a study of annotations shows between its reading and its settings."""

from collections.abc import Mapping

from jaxseg.studies.annotations import sections as tables
from jaxseg.studies.annotations.arms import told_arms
from jaxseg.studies.annotations.comparisons import PAIR, of_kind
from jaxseg.studies.annotations.examples import shown_roles, shown_seed, study_examples
from jaxseg.studies.annotations.figures import dose_response, sequence, study_look
from jaxseg.studies.annotations.maps import saliency_maps, saliency_scores
from jaxseg.studies.annotations.measures import Study
from jaxseg.studies.annotations.names import arm_names
from jaxseg.studies.annotations.saliency import Saliency
from jaxseg.studies.position import sections
from jaxseg.studies.position.analysis import Analysis
from jaxseg.studies.position.figures import CURVES_TEXT, Planned, learning_curves
from jaxseg.studies.position.forest import forest


def body(analysis: Analysis, pictures: Mapping[str, str]) -> list[str]:
    """Sections in order; those without anything to show are empty."""
    study = _study(analysis)
    table_1 = tables.arms_table(analysis, study) + tables.planes_table(analysis, study)
    table_1 += tables.classes_table(analysis, study)
    scores = pictures.get("saliency_scores", "") + tables.saliency_table(analysis)
    return [
        sections.section("reliance", "With and without annotations", table_1),
        sections.shown(
            pictures, "dose_response", "Dose and response", tables.trend_table(analysis)
        ),
        sections.shown(
            pictures, "sequence", "While a frame is annotated",
            tables.stability_table(analysis, study),
        ),
        sections.shown(pictures, "examples", "Examples"),
        sections.shown(pictures, "saliency_maps", "Saliency", scores),
        sections.comparison_table(pairs_only(analysis), pictures.get("comparisons", "")),
    ]  # fmt: skip


def planned(analysis: Analysis) -> list[Planned]:
    """Every figure of these sections; None for what the workdir holds nothing of."""
    results = analysis.results
    return [
        (
            "dose_response",
            dose_response(results, analysis.rows),
            "Reliance on annotations by the share of annotated training frames",
            "Mean over seeds with 95 % intervals, moved apart sideways where lines meet. Lines "
            "share the networks that never saw an annotation. Of a placebo: the share of training "
            "frames from which spots were removed on which nothing was drawn.",
        ),
        *_sequence(analysis, _study(analysis)),
        *_examples(analysis, _study(analysis)),
        *_saliency(analysis, _study(analysis)),
        (
            "comparisons",
            forest(results, pairs_only(analysis).comparisons, interactions=False),
            "Forest plot of the differences between arms with 95 % intervals",
            "Differences with 95 % intervals, paired by seed.",
        ),
        ("learning_curves", learning_curves(results, study_look(results)), *CURVES_TEXT),
    ]


def pairs_only(analysis: Analysis) -> Analysis:
    """The comparisons that any grid has, without those that only a study of annotations has."""
    return analysis._replace(comparisons=of_kind(analysis.comparisons, PAIR))


def _study(analysis: Analysis) -> Study:
    assert analysis.study is not None
    return analysis.study


def _sequence(analysis: Analysis, study: Study) -> list[Planned]:
    results = analysis.results
    arms = told_arms(results)
    some = f" {len(arms)} of {len(results.arms)} arms." if len(arms) < len(results.arms) else ""
    caption = (
        "Dice between the prediction at each stage and that at the last one, which is 1 by "
        f"definition. Mean over frames and seeds; shaded: 95 % interval.{some}"
    )
    alt = "Dice to the last prediction by stage of annotating, one line per arm"
    return [("sequence", sequence(results, study, analysis.rows), alt, caption)]


def _examples(analysis: Analysis, study: Study) -> list[Planned]:
    results = analysis.results
    rule = results.examples.rule if results.examples else ""
    caption = (
        f"Rule: {rule}. Seed {shown_seed(results, study)}. {_shown(analysis, study)} A pixel of "
        "one structure that is taken for another counts as missed."
    )
    alt = "Example frames with and without annotations, the truth and predictions on both"
    return [("examples", study_examples(results, study), alt, caption)]


def _saliency(analysis: Analysis, study: Study) -> list[Planned]:
    saliency = analysis.saliency
    if saliency is None:
        return []
    caption = (
        f"Seg-Grad-CAM at layer {saliency.layer}, brighter is more; below each map its share on "
        f"annotations over their area. Seed {shown_seed(analysis.results, study)}. "
        f"{_shown(analysis, study)}{_saliency_rule(saliency)}"
    )
    alt = "Saliency maps over example frames with the annotations outlined"
    scores = saliency_scores(analysis.results, analysis.rows)
    return [
        ("saliency_maps", saliency_maps(analysis.results, study, saliency), alt, caption),
        (
            "saliency_scores",
            scores,
            "Dot plot of the share of saliency on annotations and of the pointing game by arm",
            "Mean over frames and seeds with 95 % intervals. Open: the same networks with "
            "randomised weights.",
        ),
    ]


def _saliency_rule(saliency: Saliency) -> str:
    rule = str(saliency.arrays.get("example_rule", ""))
    of = " Above each frame: the structure whose map it is." * any(saliency.example_names)
    return f"{of} Rule: {rule}." if rule else of


def _shown(analysis: Analysis, study: Study) -> str:
    names = arm_names(analysis.results)
    return "Arms: " + "; ".join(names[arm] for arm in shown_roles(study)) + "."
